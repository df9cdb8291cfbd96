"""Somebody's own recordings, in any format that soundfile reads, given in one of three ways.

- one sub-folder a speaker, ``DIR/<speaker>/**/<file>``; a name may end in ``_F`` or ``_M`` to
  say the speaker's sex
- a table, ``DIR/utterances.csv`` or ``.tsv`` (:mod:`separation.corpora.utterance_table`)
- a Kaldi data directory, or a ``data/`` folder of several (:mod:`separation.corpora.kaldi_data`)
"""

from pathlib import Path

from separation.audio.files import AUDIO_SUFFIXES
from separation.corpora.kaldi_data import find_directories, find_kaldi_root, list_kaldi
from separation.corpora.plugin import CorpusInfo, Recording
from separation.corpora.utterance_table import find_table, list_table
from separation.errors import MissingInputError, UserError

INFO = CorpusInfo(
    name="speech",
    kind="speech",
    title="recordings of one's own",
    readme="egs/folder/README.md",
)


def list_recordings(root: Path) -> list[Recording]:
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
    return list_table(table) if table else _list_folders(root)


def find_root(root: Path) -> Path:
    """The folder that the recordings' paths are relative to.

    Of Kaldi's data directories the deepest folder that holds all files; otherwise ``root``.

    Raises:
        UserError: a ``wav.scp`` that does not name plain files.
    """
    return find_kaldi_root(root) if find_directories(root) else root


def _list_folders(root: Path) -> list[Recording]:
    found = [
        Recording(
            speaker=folder.name,
            sex=_parse_sex(folder.name),
            path=str(path.relative_to(root)),
            prompt=path.stem.lower(),
        )
        for folder in sorted(root.iterdir())
        if folder.is_dir() and not folder.name.startswith(".")
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in AUDIO_SUFFIXES and path.is_file()
    ]
    if not found:
        raise UserError(
            f"--corpus speech={root}: is empty; it should hold one sub-folder per speaker with "
            "audio files (WAV, FLAC, Ogg, ...) in it, or an utterances.csv, or Kaldi's wav.scp."
        )
    return found


def _parse_sex(name: str) -> str:
    return name[-1] if name[-2:] in ("_F", "_M") else ""
