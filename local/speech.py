"""Somebody's own recordings, in any format that soundfile reads, given in one of three ways.

- one sub-folder a speaker, ``DIR/<speaker>/**/<file>``; a name may end in ``_F`` or ``_M`` to
  say the speaker's sex; other trees: :mod:`separation.corpora.speaker_folders`
- a table, ``DIR/utterances.csv`` or ``.tsv`` (:mod:`separation.corpora.utterance_table`)
- a Kaldi data directory, or a ``data/`` folder of several (:mod:`separation.corpora.kaldi_data`)
"""

from pathlib import Path

from separation.corpora.kaldi_data import find_directories, find_kaldi_root, list_kaldi
from separation.corpora.plugin import CorpusCheck, CorpusInfo, Reading, Recording
from separation.corpora.speaker_folders import SpeakerFolders, read_folders
from separation.corpora.utterance_table import find_table, list_table
from separation.errors import MissingInputError, UserError

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
    if kaldi or find_table(root):
        return CorpusCheck()
    folders = _list_folders(root, reading)
    if folders.question:
        raise UserError(folders.question)
    return CorpusCheck(remarks=folders.remarks)


def find_root(root: Path) -> Path:
    """The folder that the recordings' paths are relative to.

    Of Kaldi's data directories the deepest folder that holds all files; otherwise ``root``.

    Raises:
        UserError: a ``wav.scp`` that does not name plain files.
    """
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
