"""The ladder's corpus: training recordings, and test sets that training never hears.

From a folder with a table (``utterances.csv`` with speaker, path, sex, age, split) in it or in one
of its sub-folders, and ``LibriSpeech/`` beside that where it is there, a folder of links is made
that the recipe ``folder/ConvTasNet`` reads, and fixed mixtures:

* ``adults``, ``children``: the table's own test speakers, from 15 years on and below;
* ``seen``: utterances of the 20 speakers of rung (a), who train on every rung; these few
  utterances are kept out of every training;
* ``librispeech``: readers of another corpus.
"""

import dataclasses
from collections import defaultdict
from pathlib import Path

from separation.config.schema import Conf
from separation.corpora.plugin import Recording, list_recordings
from separation.corpora.splits import assign_splits, limit_training
from separation.corpora.table import Utterance, scan_recordings
from separation.corpora.utterance_table import find_table, list_table
from separation.errors import MissingInputError, UserError
from separation.files import format_rows, hash_text, write_text
from separation.mixtures.draw.librimix import draw_librimix
from separation.mixtures.source_files import Corpora
from separation.mixtures.table import write_mixture_table

ADULT_YEARS = 15
N_HELD = 4  # utterances of each of the speakers of rung (a)
TABLE = "utterances.csv"
COLUMNS = ["speaker", "path", "sex", "age", "split", "utterance", "transcript"]


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How much is tested."""

    n_mixtures: int = 300
    n_speakers: int = 20  # heard in rung (a)
    n_held: int = N_HELD


def prepare_corpus(speech: Path, folder: Path, conf: Conf, sizes: Sizes, n_jobs: int) -> None:
    """Make ``folder/corpus`` (links and a table) and ``folder/tests/<set>.csv``.

    Args:
        speech: the recordings, see above.
        folder: the ladder's work folder.
        conf: of rung (a): its speakers are those tested as seen.
        sizes: of the test sets.
        n_jobs: processes.

    Raises:
        UserError: no table, or one without train and test speakers.
    """
    if (folder / "tests" / "done").is_file():
        return
    table = find_speech_table(speech)
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    _link(table.parent, corpus / "speech")
    recordings = [_move(row, "speech") for row in list_table(table)]
    if not {"train", "test"} <= {row.subset for row in recordings}:
        raise UserError(f"{table}: its column split should hold train and test; fill it in.")
    held = hold_out(recordings, conf, sizes)
    kept = [row for row in recordings if row.path not in held]
    write_text(corpus / TABLE, format_rows([_format(row) for row in kept], COLUMNS))
    sets = _list_sets(recordings, held)
    if (speech / "LibriSpeech").is_dir():
        _link(speech / "LibriSpeech", corpus / "LibriSpeech")
        readers = list_recordings("librispeech", speech / "LibriSpeech")
        sets["librispeech"] = [_move(row, "LibriSpeech") for row in readers]
    _draw_sets(sets, folder, conf, sizes, n_jobs)
    write_text(folder / "tests" / "done", "\n".join(sorted(sets)) + "\n")


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


def _link(target: Path, link: Path) -> None:
    link.unlink(missing_ok=True)
    link.symlink_to(target.resolve(), target_is_directory=True)


def _move(row: Recording, folder: str) -> Recording:
    return dataclasses.replace(row, path=f"{folder}/{row.path}")


def _format(row: Recording) -> dict[str, str]:
    values = {name: getattr(row, name) for name in COLUMNS if name != "split"}
    return values | {"split": row.subset}


def hold_out(recordings: list[Recording], conf: Conf, sizes: Sizes) -> set[str]:
    """Paths of the utterances of rung (a)'s speakers that no rung trains on.

    The speakers are chosen by names alone, so they are those that stage 1 chooses.
    """
    rows = [_make_row(row) for row in recordings]
    splits = dataclasses.replace(conf.splits, n_train_speakers=sizes.n_speakers)
    chosen = limit_training(assign_splits(rows, splits), splits)
    own: dict[str, list[Utterance]] = defaultdict(list)
    for row in chosen:
        if row.split == "train":
            own[row.speaker].append(row)
    held = set()
    for group in own.values():
        group.sort(key=lambda row: hash_text(f"held/{row.utterance}"))
        held |= {row.path for row in group[: sizes.n_held]}
    return held


def _make_row(row: Recording) -> Utterance:
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


def _list_sets(recordings: list[Recording], held: set[str]) -> dict[str, list[Recording]]:
    tested = [row for row in recordings if row.subset == "test"]
    return {
        "adults": [row for row in tested if not _is_child(row)],
        "children": [row for row in tested if _is_child(row)],
        "seen": [row for row in recordings if row.path in held],
    }


def _is_child(row: Recording) -> bool:
    return bool(row.age) and float(row.age) < ADULT_YEARS


def _draw_sets(
    sets: dict[str, list[Recording]], folder: Path, conf: Conf, sizes: Sizes, n_jobs: int
) -> None:
    """Fixed mixtures of each set, under LibriMix's rules; a set of one speaker is left out."""
    corpora = Corpora(folder / "corpus")
    for name, recordings in sets.items():
        if len({row.speaker for row in recordings}) < 2:
            print(f"  no test set {name}: it needs two speakers", flush=True)
            continue
        scan = scan_recordings(
            recordings, folder / "corpus", conf.corpus, n_jobs, folder / "tests", label=name
        )
        rows = [dataclasses.replace(row, split=name) for row in scan.utterances]
        mixtures = draw_librimix(
            *(rows, [], name, sizes.n_mixtures, conf.mixtures, corpora, n_jobs), sample_rate=16000
        )
        write_mixture_table(folder / "tests" / f"{name}.csv", mixtures)


def list_test_sets(folder: Path) -> list[Path]:
    """Tables of the test sets that :func:`prepare_corpus` made, adults first."""
    order = ("adults", "children", "seen", "librispeech")
    tables = sorted((folder / "tests").glob("*.csv"), key=lambda path: order.index(path.stem))
    assert tables, f"{folder}: prepare_corpus comes first"
    return tables
