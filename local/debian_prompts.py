"""Voice prompts from Debian packages: real people, free licences, no account needed.

The speakers are stated by the packages themselves (copyright files, folder names);
asterisk-core-sounds-es is left out because its voice is that of -en.
"""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from separation.corpora.plugin import CorpusInfo, DownloadRequest, Recording
from separation.errors import MissingInputError

INFO = CorpusInfo(
    name="debian_prompts",
    kind="speech",
    title="voice prompts of Debian packages",
    homepage="https://packages.debian.org/",
    unpacked_as="corpus",
    is_shared=False,
    readme="egs/mini/README.md",
)
SCRIPT = Path(__file__).with_name("download_debian_prompts.sh")


@dataclass(frozen=True, kw_only=True)
class Voice:
    """One person: the package, the folder in it, and which file names are theirs."""

    speaker: str
    sex: str
    package: str
    folder: str
    pattern: str = r".*\.(g722|gsm)"
    channel: str = "mono"


SOUNDS = "usr/share/asterisk/sounds"
FILLETS = "usr/share/games/fillets-ng/sound"
# In Fish Fillets the file names say who speaks: -m- the small fish (a woman),
# -v- the big one (a man); files of other characters carry neither.
VOICES = (
    Voice(
        speaker="en_allison",
        sex="F",
        package="asterisk-core-sounds-en-g722",
        folder=f"{SOUNDS}/en_US_f_Allison",
    ),
    Voice(
        speaker="fr_june",
        sex="F",
        package="asterisk-core-sounds-fr-g722",
        folder=f"{SOUNDS}/fr_CA_f_June",
    ),
    Voice(
        speaker="it_carlo",
        sex="M",
        package="asterisk-core-sounds-it-g722",
        folder=f"{SOUNDS}/it_IT_m_Carlo",
    ),
    Voice(
        speaker="ru_ivrvoice",
        sex="F",
        package="asterisk-core-sounds-ru-g722",
        folder=f"{SOUNDS}/ru_RU_f_IvrvoiceRU",
    ),
    Voice(
        speaker="fr_armelle",
        sex="F",
        package="asterisk-prompt-fr-armelle",
        folder=SOUNDS,
    ),
    Voice(
        speaker="es_july",
        sex="F",
        package="asterisk-prompt-es-co",
        folder=SOUNDS,
    ),
    Voice(
        speaker="it_paola",
        sex="F",
        package="asterisk-prompt-it-menardi-gsm",
        folder=f"{SOUNDS}/it_IT_f_Menardi",
    ),
    Voice(
        speaker="cs_small",
        sex="F",
        package="fillets-ng-data-cs",
        folder=FILLETS,
        pattern=r"(.*-)?m-.*\.ogg",
        channel="mean",
    ),
    Voice(
        speaker="cs_big",
        sex="M",
        package="fillets-ng-data-cs",
        folder=FILLETS,
        pattern=r"(.*-)?v-.*\.ogg",
        channel="mean",
    ),
)
PACKAGES = tuple(dict.fromkeys(voice.package for voice in VOICES))


def list_recordings(root: Path) -> list[Recording]:
    """List every voice's prompts under ``root/<package>/``, sorted by path.

    Raises:
        MissingInputError: a package is not unpacked there.
    """
    return [recording for voice in VOICES for recording in _list_voice(voice, root)]


def _list_voice(voice: Voice, root: Path) -> list[Recording]:
    folder = root / voice.package / voice.folder
    if not folder.is_dir():
        raise MissingInputError(
            f"{folder}: the package {voice.package} is not unpacked there; run stage 0 again."
        )
    # The packages hold links such as digits/fr -> fr/digits, and ru's is.g722 is empty.
    paths = sorted(p for p in folder.rglob("*") if p.is_file() and not p.is_symlink())
    paths = [p for p in paths if p.stat().st_size > 0]
    return [
        Recording(
            speaker=voice.speaker,
            sex=voice.sex,
            path=str(path.relative_to(root)),
            prompt=name_prompt(path.stem),
            channel=voice.channel,
        )
        for path in paths
        if "silence" not in path.parts and re.fullmatch(voice.pattern, path.name)
    ]


def name_prompt(stem: str) -> str:
    """A prompt's name without the application's prefix: ``vm-goodbye`` is ``goodbye``.

    >>> name_prompt("vm-Goodbye")
    'goodbye'
    """
    return re.sub(r"^(vm|conf|agent|queue|dir|privacy|priv|spy)-", "", stem.lower())


def download(folder: Path, request: DownloadRequest) -> None:
    """Fetch and unpack all packages into ``folder/corpus/<package>``, with apt and without root.

    Raises:
        MissingInputError: apt is not here, or cannot fetch a package; the script says why.
    """
    command = ["bash", str(SCRIPT), str(folder / INFO.folder), *PACKAGES]
    if subprocess.run(command, check=False).returncode:
        raise MissingInputError("the download of debian_prompts failed, see above.")
