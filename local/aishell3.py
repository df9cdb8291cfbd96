"""AISHELL-3 (OpenSLR 93): ``DIR/{train,test}/wav/SSBxxxx/SSBxxxxyyyy.wav``, 44.1 kHz.

``{train,test}/content.txt`` holds ``SSB00050001.wav<TAB>char pinyin1 char pinyin2 ...``,
``spk-info.txt`` speaker, age group, sex and accent by TABs, ``#`` before comments. The archive's
ReadMe counts 175 women and 43 men, its ``spk-info.txt`` 176 and 42: the latter is taken.

No checksum of ``data_aishell3.tgz`` is published, nor was one found elsewhere. What guards the
bytes: the archive's size, which ESPnet's recipe pins; gzip's CRC-32 over all that is unpacked;
the numbers of utterances, which stage 1 can compare with the published ones.
"""

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from separation.corpora.plugin import CorpusCheck, CorpusInfo, DownloadRequest, Licence, Recording
from separation.corpora.recording_checks import read_table_text
from separation.download.fetch import check_space, count_remaining, download_file
from separation.download.unpack import unpack
from separation.errors import MissingInputError, UserError
from separation.files import list_named

INFO = CorpusInfo(
    name="aishell3",
    kind="speech",
    title="AISHELL-3",
    licence=Licence("Apache-2.0", "https://www.apache.org/licenses/LICENSE-2.0"),
    author="Beijing Shell Shell Technology",
    author_link="http://www.aishelltech.com/",
    homepage="https://www.openslr.org/93/",
    language="zh",
    sample_rate=44100,
    subsets=("train", "test"),
    mixtures="AISHELL-3-mix",
    readme="egs/aishell3mix/README.md",
)
# As published: utterances of each official split, speakers.
COUNTS = {"train": 63262, "test": 24773}
N_SPEAKERS, N_WOMEN = 218, 176

# Where the archive lies, by the name that a user gives.
MIRRORS = {
    "openslr": "https://www.openslr.org/resources/93",
    "us": "https://us.openslr.org/resources/93",
    "eu": "https://openslr.elda.org/resources/93",
    "trmal": "https://openslr.trmal.net/resources/93",
    "cn": "https://openslr.magicdatatech.com/resources/93",
}
ARCHIVE = "data_aishell3.tgz"
SIZE = 19_057_141_777  # bytes
UNPACKED_SIZE = 27_500_000_000  # bytes: 85.6 h of 16 bits at 44.1 kHz are 27.2 GB, and blocks
MEMBERS = (  # that are read here
    "spk-info.txt",
    "test/content.txt",
    "test/wav",
    "train/content.txt",
    "train/wav",
)


@dataclass(frozen=True, kw_only=True)
class Speaker:
    """A line of ``spk-info.txt``."""

    name: str
    age_group: str
    sex: str  # F or M
    accent: str


def list_recordings(root: Path) -> list[Recording]:
    """List the utterances of both official splits, sorted by path; ``subset`` is the split.

    Most speakers are in both splits, so they are no splits of speakers.

    Raises:
        MissingInputError: no such folder, or it is not AISHELL-3's.
        UserError: a recording of a speaker whom ``spk-info.txt`` does not have.
    """
    root = find_root(root)
    speakers = read_speakers(root / "spk-info.txt")
    found = [row for subset in INFO.subsets for row in _list_subset(root, subset, speakers)]
    if not found:
        raise MissingInputError(f"--corpus aishell3={root}: holds no train/wav/SSB*/*.wav.")
    return found


def _list_subset(root: Path, subset: str, speakers: dict[str, Speaker]) -> list[Recording]:
    found = []
    words = read_contents(root / subset / "content.txt")
    for path in list_named((root / subset / "wav").glob("SSB*/[!.]*"), ".wav"):
        name = path.stem[:7]
        if name not in speakers:
            raise UserError(f"{path}: speaker {name} is not in {root / 'spk-info.txt'}.")
        recording = Recording(
            speaker=name,
            sex=speakers[name].sex,
            path=path.relative_to(root).as_posix(),
            prompt=path.stem,
            transcript=words.get(path.name, ""),
            subset=subset,
            age=speakers[name].age_group,
            accent=speakers[name].accent,
            utterance=path.stem,
        )
        found.append(recording)
    return found


def check_corpus(root: Path, recordings: list[Recording]) -> CorpusCheck:
    """Compare the files with ``content.txt``, and the counts with the published ones."""
    root = find_root(root)
    faults, remarks = [], []
    for subset in INFO.subsets:
        listed = set(read_contents(root / subset / "content.txt"))
        there = {Path(row.path).name: row.path for row in recordings if row.subset == subset}
        faults += [
            f"{root}/{subset}/wav/{name[:7]}/{name}: is not there, though {subset}/content.txt "
            "names it"
            for name in sorted(listed - set(there))
        ]
        faults += [
            f"{root}/{there[name]}: {subset}/content.txt has no line for it"
            for name in sorted(set(there) - listed)
        ]
        if len(there) != COUNTS[subset]:
            remarks.append(f"{subset} has {len(there)} utterances where {COUNTS[subset]} are known")
    speakers = {row.speaker: row.sex for row in recordings}
    women = sum(sex == "F" for sex in speakers.values())
    if (women, len(speakers)) != (N_WOMEN, N_SPEAKERS):
        remarks.append(
            f"{len(speakers)} speakers, {women} of them women, where AISHELL-3 has {N_SPEAKERS} "
            f"and {N_WOMEN}"
        )
    if remarks:
        remarks.append("not AISHELL-3 as published: its lists will not be those of others")
    return CorpusCheck(faults, remarks)


def find_root(root: Path) -> Path:
    """The folder itself: the archive has no top folder, so people unpack it into one of theirs.

    Raises:
        MissingInputError: nothing of AISHELL-3 is in it.
    """
    for folder in (root, root / "data_aishell3", root / "aishell3"):
        if (folder / "spk-info.txt").is_file():
            return folder
    raise MissingInputError(
        f"--corpus aishell3={root}: holds no spk-info.txt; give the folder into which "
        "data_aishell3.tgz was unpacked, with train, test and spk-info.txt in it."
    )


def read_speakers(path: Path) -> dict[str, Speaker]:
    """Read ``spk-info.txt``.

    Raises:
        UserError: a line that is none of speaker, age group, sex, accent.
    """
    speakers = {}
    for number, line in enumerate(read_table_text(path)[0].splitlines(), 1):
        fields = [field.strip() for field in line.split("\t") if field.strip()]
        if not fields or line.startswith("#"):
            continue
        sex = {"female": "F", "male": "M"}.get(fields[2].lower(), "") if len(fields) == 4 else ""
        if not sex:
            raise UserError(f"{path}: line {number} should be speaker, age group, sex, accent.")
        speakers[fields[0]] = Speaker(
            name=fields[0], age_group=fields[1], sex=sex, accent=fields[3]
        )
    return speakers


def read_contents(path: Path) -> dict[str, str]:
    """Characters of every utterance by file name; the pinyin between them is left out.

    Raises:
        MissingInputError: the file is not there.
    """
    if not path.is_file():
        raise MissingInputError(f"{path}: not there; it comes with AISHELL-3's archive.")
    contents = {}
    for line in read_table_text(path)[0].splitlines():
        name, _, text = line.partition("\t")
        contents[name.strip()] = split_content(text)[0]
    return contents


def split_content(text: str) -> tuple[str, str]:
    """Characters and pinyin of an utterance.

    >>> split_content("广 guang3 州 zhou1 女 nv3 大 da4 学 xue2 生 sheng1")
    ('广州女大学生', 'guang3 zhou1 nv3 da4 xue2 sheng1')
    >>> split_content("九 jiu3 点儿 dianr3 一 yi1 七 qi1")[0]
    '九点儿一七'
    """
    fields = text.split()
    return "".join(fields[::2]), " ".join(fields[1::2])


def download(folder: Path, request: DownloadRequest) -> None:
    """Fetch and unpack the corpus into ``folder/aishell3``; nothing where it is there.

    Interrupted at any moment, the same call goes on. The archive is removed once unpacked: for
    a moment both are on the disk, 46.6 GB.

    Args:
        folder: holds the archive on the way, and ``aishell3/``.
        request: its ``mirror`` is a name among ``MIRRORS``.

    Raises:
        UserError: an unknown mirror, too little disk, a failed download, a corrupt archive.
    """
    mirror = request.mirror
    if mirror not in MIRRORS:
        raise UserError(f"AISHELL-3 has no mirror {mirror} here; use {', '.join(MIRRORS)}.")
    root, archive = folder / INFO.folder, folder / ARCHIVE
    root.mkdir(parents=True, exist_ok=True)
    # Left by a killed unpacking; it must not count as used.
    shutil.rmtree(root / f".{ARCHIVE}.unpacking", ignore_errors=True)
    if _find_missing(root):
        remaining = count_remaining(archive, SIZE)
        print(
            f"AISHELL-3: licence Apache-2.0, {remaining / 1e9:.1f} GB to download from {mirror}, "
            f"{UNPACKED_SIZE / 1e9:.1f} GB unpacked",
            file=sys.stderr,
        )
        check_space(folder, remaining + UNPACKED_SIZE)
        unpack(download_file(f"{MIRRORS[mirror]}/{ARCHIVE}", archive, size=SIZE), root)
    if missing := _find_missing(root):
        raise UserError(
            f"{archive}: {', '.join(missing)} not in it; remove it and run again with another "
            "mirror, or give the corpus with --corpus aishell3=DIR."
        )
    archive.unlink(missing_ok=True)  # also of a run that was killed right after unpacking


def _find_missing(root: Path) -> list[str]:
    """Members appear whole: :func:`unpack` moves ``train`` and ``test`` when all is unpacked."""
    return [name for name in MEMBERS if not (root / name).exists()]
