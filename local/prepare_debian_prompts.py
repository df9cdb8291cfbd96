"""Voice prompts from Debian packages: real people, free licences, no account needed.

The speakers are stated by the packages themselves (copyright files, folder names);
asterisk-core-sounds-es is left out because its voice is that of -en.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from separation.corpora.plugin import Recording
from separation.errors import MissingInputError


@dataclass(frozen=True)
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
# In Fish Fillets the file names tell who speaks: -m- the small fish (a woman),
# -v- the big one (a man); files of other characters carry neither.
VOICES = (
    Voice("en_allison", "F", "asterisk-core-sounds-en-g722", f"{SOUNDS}/en_US_f_Allison"),
    Voice("fr_june", "F", "asterisk-core-sounds-fr-g722", f"{SOUNDS}/fr_CA_f_June"),
    Voice("it_carlo", "M", "asterisk-core-sounds-it-g722", f"{SOUNDS}/it_IT_m_Carlo"),
    Voice("ru_ivrvoice", "F", "asterisk-core-sounds-ru-g722", f"{SOUNDS}/ru_RU_f_IvrvoiceRU"),
    Voice("fr_armelle", "F", "asterisk-prompt-fr-armelle", SOUNDS),
    Voice("es_july", "F", "asterisk-prompt-es-co", SOUNDS),
    Voice("it_paola", "F", "asterisk-prompt-it-menardi-gsm", f"{SOUNDS}/it_IT_f_Menardi"),
    Voice("cs_small", "F", "fillets-ng-data-cs", FILLETS, r"(.*-)?m-.*\.ogg", "mean"),
    Voice("cs_big", "M", "fillets-ng-data-cs", FILLETS, r"(.*-)?v-.*\.ogg", "mean"),
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
            voice.speaker,
            voice.sex,
            str(path.relative_to(root)),
            name_prompt(path.stem),
            voice.channel,
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
