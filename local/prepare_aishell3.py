"""AISHELL-3 (OpenSLR 93): ``DIR/{train,test}/wav/SSBxxxx/SSBxxxxyyyy.wav``, 44.1 kHz.

``{train,test}/content.txt`` holds ``SSB00050001.wav<TAB>char pinyin1 char pinyin2 ...``,
``spk-info.txt`` speaker, age group, sex and accent by TABs, ``#`` before comments. The archive's
ReadMe counts 175 women and 43 men, its ``spk-info.txt`` 176 and 42: the latter is taken.
"""

from dataclasses import dataclass
from pathlib import Path

from separation.corpora.plugin import CorpusCheck, Recording
from separation.errors import MissingInputError, UserError

SUBSETS = ("train", "test")
# As published: utterances of each official split, speakers.
COUNTS = {"train": 63262, "test": 24773}
N_SPEAKERS, N_WOMEN = 218, 176


@dataclass(frozen=True)
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
    found = []
    for subset in SUBSETS:
        words = read_contents(root / subset / "content.txt")
        for path in sorted((root / subset / "wav").glob("SSB*/*.wav")):
            name = path.stem[:7]
            if name not in speakers:
                raise UserError(f"{path}: speaker {name} is not in {root / 'spk-info.txt'}.")
            relative = path.relative_to(root).as_posix()
            speaker, text = speakers[name], words.get(path.name, "")
            told = (speaker.age_group, speaker.accent, path.stem)
            found.append(Recording(name, speaker.sex, relative, path.stem, "", text, subset, *told))
    if not found:
        raise MissingInputError(f"--corpus aishell3={root}: holds no train/wav/SSB*/*.wav.")
    return found


def check_corpus(root: Path, recordings: list[Recording]) -> CorpusCheck:
    """Compare the files with ``content.txt``, and the counts with the published ones."""
    root = find_root(root)
    faults, remarks = [], []
    for subset in SUBSETS:
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
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        fields = [field.strip() for field in line.split("\t") if field.strip()]
        if not fields or line.startswith("#"):
            continue
        sex = {"female": "F", "male": "M"}.get(fields[2].lower(), "") if len(fields) == 4 else ""
        if not sex:
            raise UserError(f"{path}: line {number} should be speaker, age group, sex, accent.")
        speakers[fields[0]] = Speaker(fields[0], fields[1], sex, fields[3])
    return speakers


def read_contents(path: Path) -> dict[str, str]:
    """Characters of every utterance by file name; the pinyin between them is left out.

    Raises:
        MissingInputError: the file is not there.
    """
    if not path.is_file():
        raise MissingInputError(f"{path}: not there; it comes with AISHELL-3's archive.")
    contents = {}
    for line in path.read_text(encoding="utf-8").splitlines():
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
