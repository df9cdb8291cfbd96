"""Corpora and test sets of the ladders in this folder, from a folder of real speech.

    .venv/bin/python -m benchmarks.ladder.prepare SPEECH INPUTS [--nj N]

SPEECH holds ``utterances.csv`` (speaker, path, sex, age, split) in itself or in one sub-folder,
and ``LibriSpeech/``. INPUTS, which ``ablate --inputs`` takes, gets

* ``few``, ``hundred``, ``all``: corpora of 20, of 100 and of all training speakers, each a table
  and links to the audio. The first two are of the table's own training speakers, each of whom has
  many utterances; ``all`` adds readers of LibriSpeech. Dev speakers are the same in all three;
* ``tests/``: fixed mixtures. ``adults``, ``children``: the table's own test speakers, from 15 years
  on and below; ``seen``: the 20 speakers of ``few``, in utterances that no rung trains on;
  ``librispeech``: readers that no rung trains on;
* ``small``: all speakers in folders of their own, for the small model that ships; and
  ``small_tests/``: adults, children and readers among the speakers that its recipe holds out.
"""

import argparse
import dataclasses
import sys
import time
from collections import defaultdict
from pathlib import Path

from separation.config.load import load_conf
from separation.config.schema import Conf
from separation.corpora.plugin import Recording, list_recordings
from separation.corpora.splits import assign_splits, limit_training
from separation.corpora.table import Utterance, scan_recordings
from separation.corpora.utterance_table import find_table, list_table
from separation.environment import ROOT
from separation.errors import MissingInputError, UserError
from separation.files import format_rows, hash_text, hash_value, read_json, write_json, write_text
from separation.mixtures.draw.librimix import draw_librimix
from separation.mixtures.source_files import Corpora
from separation.mixtures.table import write_mixture_table
from separation.options import ALL_CORES

RECIPE = "folder/ConvTasNet"
ADULT_YEARS = 15
TABLE = "utterances.csv"
COLUMNS = ["speaker", "path", "sex", "age", "split", "utterance", "transcript"]
SPEECH, READERS = "speech", "LibriSpeech"  # folders of links in a corpus
PREFIX = {
    SPEECH: "so",
    READERS: "ls",
}  # of speakers; names are hashed, so it decides who is held out
DRAWN_RATE = 16000  # Hz, at which peaks of test mixtures are measured
VERSION = 1  # counts up when the same speech would give other files


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sizes:
    """How many speakers, utterances and mixtures.

    Attributes:
        few, hundred: training speakers of the corpora of these names.
        held: utterances of each of the few that no rung trains on.
        dev: speakers of the table for dev.
        dev_readers, test_readers: of LibriSpeech.
        mixtures: of each test set.
    """

    few: int = 20
    hundred: int = 100
    held: int = 4
    dev: int = 10
    dev_readers: int = 12
    test_readers: int = 50
    mixtures: dict[str, int] = dataclasses.field(
        default_factory=lambda: {"adults": 300, "children": 200, "seen": 200, "librispeech": 200}
    )


TOY = Sizes(
    few=4,
    hundred=6,
    held=2,
    dev=2,
    dev_readers=2,
    test_readers=4,
    mixtures={"adults": 4, "children": 4, "seen": 4, "librispeech": 2},
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Division:
    """Who trains, and who does not.

    Attributes:
        few, hundred, all_speakers: training rows.
        dev: rows of dev.
        tests: rows of each test set.
    """

    few: list[Recording]
    hundred: list[Recording]
    all_speakers: list[Recording]
    dev: list[Recording]
    tests: dict[str, list[Recording]]


def prepare(speech: Path, inputs: Path, sizes: Sizes, n_jobs: int) -> None:
    """Make all of INPUTS, or what of it is missing.

    Raises:
        UserError: no table, or speakers missing in it.
    """
    conf = load_conf(ROOT, RECIPE, [])
    table = find_speech_table(speech)
    roots = {SPEECH: table.parent, READERS: speech / READERS}
    key = hash_value([VERSION, str(speech.resolve()), dataclasses.asdict(sizes)])
    if read_json(inputs / "done.json") == key:
        return
    recordings = [move(row, SPEECH) for row in list_table(table)]
    readers = []
    if roots[READERS].is_dir():
        readers = [move(row, READERS) for row in list_recordings("librispeech", roots[READERS])]
    division = divide(recordings, readers, sizes, conf)
    for name, rows in list_corpora(division).items():
        write_corpus(inputs / name, rows, roots)
    draw_tests(division.tests, inputs / "all", inputs / "tests", sizes.mixtures, conf, n_jobs)
    copies = write_small_corpus(inputs / "small", [*recordings, *readers], inputs / "all")
    held = list_small_tests(copies, conf)
    draw_tests(held, inputs / "small", inputs / "small_tests", sizes.mixtures, conf, n_jobs)
    write_json(inputs / "done.json", key)


def find_speech_table(speech: Path) -> Path:
    """``utterances.csv`` (or ``.tsv``) in the folder, or in just one of its sub-folders.

    Raises:
        UserError: there is none, or several.
    """
    if not speech.is_dir():
        raise MissingInputError(f"{speech}: no such folder of speech; give the path of one.")
    folders = [speech, *sorted(path for path in speech.iterdir() if path.is_dir())]
    found = [table for folder in folders if (table := find_table(folder))]
    if len(found) != 1:
        raise UserError(
            f"{speech}: holds {len(found)} tables {TABLE} in itself and its sub-folders; the "
            "ladder needs one, with the columns speaker, path, sex, age and split."
        )
    return found[0]


def move(row: Recording, folder: str) -> Recording:
    """The recording as a corpus here names it; both sources number their speakers."""
    speaker = f"{PREFIX[folder]}{row.speaker}"
    return dataclasses.replace(row, path=f"{folder}/{row.path}", speaker=speaker)


def divide(
    recordings: list[Recording], readers: list[Recording], sizes: Sizes, conf: Conf
) -> Division:
    """Speakers by a hash of their names, women and men in turn; nobody is in two parts.

    Raises:
        UserError: the table has no train and test speakers, or too few.
    """
    if not {"train", "test"} <= {row.subset for row in recordings}:
        raise UserError("the table's column split should hold train and test; fill it in.")
    test = [row for row in recordings if row.subset == "test"]
    dev, train = take_speakers([row for row in recordings if row.subset == "train"], sizes.dev)
    hundred, _ = take_speakers(train, sizes.hundred)
    few, _ = take_speakers(train, sizes.few)
    test_readers, rest = take_speakers(readers, sizes.test_readers)
    dev_readers, train_readers = take_speakers(rest, sizes.dev_readers)
    held = hold_out(few, sizes.held)
    tests = {
        "adults": [row for row in test if not is_child(row)],
        "children": [row for row in test if is_child(row)],
        "seen": [row for row in few if row.path in held],
        "librispeech": test_readers,
    }
    return Division(
        few=drop_paths(few, held),
        hundred=drop_paths(hundred, held),
        all_speakers=[*drop_paths(train, held), *train_readers],
        dev=[*dev, *dev_readers],
        tests=tests,
    )


def take_speakers(
    rows: list[Recording], n_speakers: int
) -> tuple[list[Recording], list[Recording]]:
    """Rows of so many speakers, and the others'; fewer speakers, then the same and some more."""
    conf = dataclasses.replace(load_conf(ROOT, RECIPE, []).splits, n_train_speakers=n_speakers)
    listed = [dataclasses.replace(as_utterance(row), split="train") for row in rows]
    chosen = {row.path for row in limit_training(listed, conf)} if listed else set()
    return [row for row in rows if row.path in chosen], drop_paths(rows, chosen)


def drop_paths(rows: list[Recording], paths: set[str]) -> list[Recording]:
    """The rows of other files."""
    return [row for row in rows if row.path not in paths]


def hold_out(rows: list[Recording], n_held: int) -> set[str]:
    """Paths of so many utterances of each speaker, by a hash of their names."""
    of_speaker: dict[str, list[Recording]] = defaultdict(list)
    for row in rows:
        of_speaker[row.speaker].append(row)
    held: set[str] = set()
    for group in of_speaker.values():
        group.sort(key=lambda row: hash_text(f"held/{row.utterance}"))
        held |= {row.path for row in group[:n_held]}
    return held


def is_child(row: Recording) -> bool:
    """Whether the speaker is younger than 15."""
    return bool(row.age) and float(row.age) < ADULT_YEARS


def as_utterance(row: Recording) -> Utterance:
    """A row of a corpus table as far as names decide; nothing of it is measured."""
    return Utterance(
        utterance=row.utterance or row.path,
        speaker=row.speaker,
        sex=row.sex,
        split="",
        path=row.path,
        n_samples=0,
        sample_rate=1,
        loudness_lufs=0.0,
        peak=0.0,
        channel="",
        prompt=row.prompt,
        transcript=row.transcript,
        subset=row.subset,
        age=row.age,
    )


def list_corpora(division: Division) -> dict[str, list[Recording]]:
    """Rows of each corpus with their split; the recipe's own test set, which nobody asks for,
    is of two test speakers."""
    parts = {"few": division.few, "hundred": division.hundred, "all": division.all_speakers}
    dev = [dataclasses.replace(row, subset="dev") for row in division.dev]
    some, _ = take_speakers(division.tests["adults"], 2)
    return {
        name: [*(dataclasses.replace(row, subset="train") for row in rows), *dev, *some]
        for name, rows in parts.items()
    }


def write_corpus(folder: Path, rows: list[Recording], roots: dict[str, Path]) -> None:
    """A table, and links to the folders of audio that it names."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, target in roots.items():
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(target.resolve(), target_is_directory=True)
    write_text(folder / TABLE, format_rows([_format(row) for row in rows], COLUMNS))


def _format(row: Recording) -> dict[str, str]:
    values = {name: getattr(row, name) for name in COLUMNS if name != "split"}
    return values | {"split": row.subset}


def draw_tests(
    tests: dict[str, list[Recording]],
    root: Path,
    folder: Path,
    counts: dict[str, int],
    conf: Conf,
    n_jobs: int,
) -> None:
    """Fixed mixtures of each set, under LibriMix's rules; a set of one speaker is left out."""
    for name, recordings in tests.items():
        if len({row.speaker for row in recordings}) < 2:
            print(f"no test set {name}: it needs two speakers", file=sys.stderr, flush=True)
            continue
        scan = scan_recordings(recordings, root, conf.corpus, n_jobs, folder, label=name)
        rows = [dataclasses.replace(row, split=name) for row in scan.utterances]
        mixtures = draw_librimix(
            rows,
            [],
            name,
            counts[name],
            conf.mixtures,
            Corpora(root),
            n_jobs,
            sample_rate=DRAWN_RATE,
        )
        write_mixture_table(folder / f"{name}.csv", mixtures)


def write_small_corpus(folder: Path, rows: list[Recording], audio: Path) -> list[Recording]:
    """A folder a speaker, ``so0001_M``, of links to the files; returns the rows as they lie there.

    The names are those of the model's first training, since a hash of them holds speakers out.
    """
    copies = []
    for row in rows:
        link = folder / f"{row.speaker}_{row.sex.upper()}" / Path(row.path).name
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to((audio / row.path).resolve())
        path = link.relative_to(folder).as_posix()
        copies.append(dataclasses.replace(row, path=path))
    return copies


def list_small_tests(copies: list[Recording], conf: Conf) -> dict[str, list[Recording]]:
    """Adults, children and readers among the speakers that stage 1 holds out for test."""
    names = [dataclasses.replace(row, speaker=Path(row.path).parts[0]) for row in copies]
    split = {row.path: row.split for row in assign_splits(list_names(names), conf.splits)}
    held = [row for row in names if split[row.path] == "test"]
    table = [row for row in held if row.speaker.startswith(PREFIX[SPEECH])]
    return {
        "adults": [row for row in table if not is_child(row)],
        "children": [row for row in table if is_child(row)],
        "librispeech": [row for row in held if row not in table],
    }


def list_names(rows: list[Recording]) -> list[Utterance]:
    """Rows as the recipe ``folder`` names them: a speaker is called as the folder is."""
    return [as_utterance(row) for row in rows]


def main(arguments: list[str] | None = None) -> int:
    """Parse and prepare; a user's mistake is one sentence."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("speech", type=Path)
    parser.add_argument("inputs", type=Path)
    parser.add_argument("--nj", type=int, default=ALL_CORES, help="processes (all cores)")
    parser.add_argument("--toy", action="store_true", help="few speakers and mixtures, for a trial")
    args = parser.parse_args(arguments)
    began = time.monotonic()
    try:
        sizes = TOY if args.toy else Sizes()
        prepare(args.speech.resolve(), args.inputs.resolve(), sizes, args.nj)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{args.inputs}: prepared in {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
