"""Somebody's own recordings, in any format that soundfile reads, given in one of four ways.

- one sub-folder a speaker, ``DIR/<speaker>/**/<file>``; a name may end in ``_F`` or ``_M`` to
  say the speaker's sex; other trees: :mod:`separation.corpora.speaker_folders`
- a table, ``DIR/utterances.csv`` or ``.tsv`` (:mod:`separation.corpora.utterance_table`)
- a Kaldi data directory, or a ``data/`` folder of several (:mod:`separation.corpora.kaldi_data`)
- Lhotse's manifests (:mod:`separation.corpora.lhotse_data`)
"""

from pathlib import Path

from separation.corpora import kaldi_data, lhotse_data
from separation.corpora.extract import TABLE, Piece, extract_pieces, refuse_commands
from separation.corpora.kaldi_data import find_directories, find_kaldi_root, list_kaldi
from separation.corpora.lhotse_data import find_manifests
from separation.corpora.plugin import CorpusCheck, CorpusInfo, Reading, Recording
from separation.corpora.speaker_folders import SpeakerFolders, read_folders
from separation.corpora.utterance_table import find_table, list_table
from separation.errors import MissingInputError, UserError
from separation.files import hash_value, stamp_file

INFO = CorpusInfo(
    name="speech",
    kind="speech",
    title="recordings of one's own",
    readme="egs/folder/README.md",
    takes_reading=True,
)


def list_recordings(root: Path, reading: Reading | None = None) -> list[Recording]:
    """List the recordings under ``root``, or that its table names, sorted by path.

    Raises:
        MissingInputError: no such folder, or files of a table that are not there.
        UserError: neither sub-folders with audio nor a table; a table that is not in order.
    """
    if not root.is_dir():
        raise MissingInputError(f"--corpus speech={root}: no such folder; check the path.")
    table, kaldi = find_table(root), find_directories(root)
    if table and kaldi:
        scp = next(iter(kaldi.values())) / "wav.scp"
        raise UserError(f"{root}: holds both {table.name} and {scp}; move one of them away.")
    if folder := _find_extracted(root, reading):
        return list_table(folder / TABLE)
    if kaldi:
        return list_kaldi(root)
    return list_table(table) if table else _list_folders(root, reading or Reading()).recordings


def check_corpus(root: Path, recordings: list[Recording], reading: Reading) -> CorpusCheck:
    """What a user should know of a tree of folders, before anything long.

    Raises:
        UserError: nobody can tell which folders are speakers, or they hold mixtures.
    """
    kaldi = find_directories(root)
    mixed = [folder for folder in kaldi.values() if (folder / "spk1.scp").is_file()]
    if mixed:
        raise UserError(
            f"--corpus speech={root}: {mixed[0] / 'spk1.scp'} makes it a list of mixtures, not of "
            "recordings of one speaker each; name a data directory of speech."
        )
    if kaldi or find_table(root) or find_manifests(root):
        return CorpusCheck()
    folders = _list_folders(root, reading)
    if folders.question:
        raise UserError(folders.question)
    return CorpusCheck(remarks=folders.remarks)


def prepare(root: Path, reading: Reading, n_jobs: int) -> None:
    """Cut out the utterances that are no files of their own; nothing where that is done.

    Raises:
        UserError: commands that are not allowed, or pieces that cannot be had.
    """
    folder = _name_extracted(root, reading)
    if folder is not None and not (folder / TABLE).is_file():
        pieces = _list_pieces(root, reading)
        print(f"  {len(pieces)} utterances of {root} are cut out into {folder}", flush=True)
        extract_pieces(pieces, folder, n_jobs, reading.archive_rate)


def _list_pieces(root: Path, reading: Reading) -> list[Piece]:
    pieces = lhotse_data.list_pieces(root) if find_manifests(root) else kaldi_data.list_pieces(root)
    refuse_commands(pieces, allowed=reading.allow_commands)
    return pieces


def _name_extracted(root: Path, reading: Reading | None) -> Path | None:
    """The folder of utterances that are cut out; None where all are files of their own.

    It is named after all that the tables say, so that an edit makes another one.
    """
    manifests = find_manifests(root)
    if not manifests and not kaldi_data.needs_extraction(root):
        return None
    if reading is None or reading.extracted is None:
        if not manifests:
            return None  # refused with its line, as there is nobody to cut it out
        raise UserError(
            f"--corpus speech={root}: Lhotse's manifests are cut out by stage 0 of a recipe; give "
            "the folder that it names."
        )
    folders = [] if manifests else find_directories(root).values()
    tables = [folder / name for folder in folders for name in kaldi_data.TABLES]
    tables += sorted(root.glob("*.jsonl*")) if manifests else []
    stamps = [stamp_file(path) for path in tables]
    rate = [reading.archive_rate] if reading.archive_rate else []
    return reading.extracted / hash_value([str(root), stamps, *rate])


def _find_extracted(root: Path, reading: Reading | None) -> Path | None:
    """The same, once stage 0 has made it."""
    folder = _name_extracted(root, reading)
    if folder is not None and not (folder / TABLE).is_file():
        _list_pieces(root, reading or Reading())
        raise MissingInputError(f"{root}: stage 0 has not cut out its utterances; run it first.")
    return folder


def find_root(root: Path, reading: Reading | None = None) -> Path:
    """The folder that the recordings' paths are relative to.

    Of Kaldi's data directories the deepest folder that holds all files, or the one that stage 0
    cuts utterances out into; otherwise ``root``.

    Raises:
        UserError: a ``wav.scp`` that does not name plain files.
    """
    if folder := _name_extracted(root, reading):
        return folder
    return find_kaldi_root(root) if find_directories(root) else root


def _list_folders(root: Path, reading: Reading) -> SpeakerFolders:
    folders = read_folders(root, reading)
    if not folders.recordings:
        left_out = f" ({'; '.join(folders.remarks)})" if folders.remarks else ""
        raise UserError(
            f"--corpus speech={root}: is empty{left_out}; it should hold one sub-folder per "
            "speaker with audio files (WAV, FLAC, Ogg, ...) in it, or an utterances.csv, or "
            "Kaldi's wav.scp."
        )
    return folders
