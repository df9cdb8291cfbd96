"""Kaldi data directories: ``wav.scp`` and ``utt2spk``; ``text``, ``spk2gender``, ``spk2age``.

``DIR`` is one, or a ``data/`` folder that holds several (``train/``, ``dev/``, ...), whose names
become the recordings' subsets. ``wav.scp`` alone says what there is: lines of the other files
about further utterances or speakers are left alone.
"""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from separation.corpora.extract import Piece
from separation.corpora.kaldi_archives import parse_place
from separation.corpora.plugin import Recording
from separation.corpora.recording_checks import (
    check_recordings,
    find_spelling,
    name_prompt,
    parse_sex,
    read_table_text,
    refuse_repeats,
)
from separation.errors import MissingInputError, UserError
from separation.text import list_first

TABLES = ("wav.scp", "segments", "utt2spk", "text", "spk2gender", "spk2age")
COMMAND, ARCHIVE = "is a command (it ends in |)", "points into an archive"
N_ABOVE = 2  # folders above the data directory: data/ and, as a rule, where Kaldi ran


@dataclass(frozen=True)
class _Line:
    """``KEY VALUE``, as in all of Kaldi's tables; ``where`` is file and line, for errors."""

    key: str
    value: str
    where: str


def find_directories(root: Path) -> dict[str, Path]:
    """Data directories by subset: ``root`` itself (no subset), or its sub-folders, sorted."""
    if (root / "wav.scp").is_file():
        return {"": root}
    folders = sorted(root.iterdir()) if root.is_dir() else []
    return {
        folder.name: folder
        for folder in folders
        if not folder.name.startswith(".") and (folder / "wav.scp").is_file()
    }


def needs_extraction(root: Path) -> bool:
    """Whether utterances are pieces (``segments``), in archives, or written by commands."""
    folders = find_directories(root).values()
    return any((folder / "segments").exists() for folder in folders) or any(
        _name_kind(line.value)
        for folder in folders
        for line in _read_lines(folder / "wav.scp")
        if line.value
    )


def list_pieces(root: Path) -> list[Piece]:
    """Every utterance of all data directories, and what it is cut out of.

    Raises:
        UserError: as :func:`list_kaldi`, but for segments, archives and commands; times that are
            none, or a segment of a recording that wav.scp does not have.
    """
    pieces = []
    for subset, folder in find_directories(root).items():
        sources = {
            line.key: (_find_source(folder, line), line.where)
            for line in _read_lines(folder / "wav.scp")
        }
        spans = _read_segments(folder / "segments", sources)
        recordings = _describe_utterances(folder, subset, dict.fromkeys(spans, ""), Path())
        pieces += [
            Piece(recording=row, source=source, where=where, start_s=start_s, end_s=end_s)
            for row, (source, where, start_s, end_s) in zip(recordings, spans.values(), strict=True)
        ]
    return pieces


_Span = tuple[str, str, float, float | None]  # source, where, start and end in seconds


def _read_segments(path: Path, sources: dict[str, tuple[str, str]]) -> dict[str, _Span]:
    """Of every utterance its source and span; without the file every recording is an utterance."""
    if not path.exists():
        return {key: (source, where, 0.0, None) for key, (source, where) in sources.items()}
    spans: dict[str, _Span] = {}
    for line in _read_lines(path):
        try:
            name, start, end = line.value.split()[:3]
            start_s, end_s = float(start), float(end)
        except ValueError:
            raise UserError(
                f"{line.where} should be UTTERANCE RECORDING START END, in seconds; correct it."
            ) from None
        if name not in sources:
            raise UserError(f"{line.where} names {name}, which wav.scp does not have; add it.")
        source = sources[name][0]
        spans[line.key] = (source, line.where, start_s, end_s if end_s >= 0 else None)
    return spans


def _find_source(folder: Path, line: _Line) -> str:
    """A command, a place in an archive, or a file, by what stands in ``wav.scp``."""
    kind = _name_kind(line.value)
    if kind == COMMAND:
        return line.value
    if kind == ARCHIVE:
        place = parse_place(line.value)
        if place is None:
            raise UserError(
                f"{line.where}: a range in an archive is ARCHIVE:OFFSET[FIRST:LAST], of samples "
                f"({line.value}); correct it."
            )
        path = str(place.path)
        return f"{_find_file(folder, path)}{line.value[len(path) :]}"
    return _find_file(folder, line.value)


def list_kaldi(root: Path) -> list[Recording]:
    """List the recordings of all data directories, sorted by path.

    Their paths are relative to what :func:`find_kaldi_root` gives.

    Raises:
        MissingInputError: no ``utt2spk``, or recordings that are not there.
        UserError: a command or archive in ``wav.scp``, a ``segments`` file, an utterance
            without speaker, an unknown sex, anything twice.
    """
    folders = find_directories(root)
    tables = {subset: _read_paths(folder) for subset, folder in folders.items()}
    top = _find_common_folder(tables.values(), root)
    found = [
        recording
        for subset, paths in tables.items()
        for recording in _list_directory(folders[subset], subset, paths, top)
    ]
    found.sort(key=lambda row: row.path)
    if len(folders) > 1:
        fix = f"take the copies out, or give one of its folders ({list_first(list(folders))})"
        check_recordings(found, top, root, fix)
    else:
        check_recordings(found, top, root / "wav.scp", "take the copies out")
    return found


def find_kaldi_root(root: Path) -> Path:
    """The deepest folder that holds all recordings.

    Raises:
        UserError: as :func:`list_kaldi` does for ``wav.scp`` and ``segments``.
    """
    folders = find_directories(root).values()
    return _find_common_folder([_read_paths(folder) for folder in folders], root)


def _find_common_folder(tables: Iterable[dict[str, str]], root: Path) -> Path:
    folders = {os.path.dirname(path) for paths in tables for path in paths.values()}  # noqa: PTH120
    return Path(os.path.commonpath(folders)) if folders else root


def _list_directory(folder: Path, subset: str, paths: dict[str, str], top: Path) -> list[Recording]:
    return _describe_utterances(folder, subset, paths, top)


def _describe_utterances(
    folder: Path, subset: str, paths: dict[str, str], top: Path
) -> list[Recording]:
    """What ``utt2spk`` and its neighbours say of utterances; ``path`` empty where none is given."""
    speakers = _read_speakers(folder / "utt2spk", paths)
    words = {line.key: line.value for line in _read_lines(folder / "text", optional=True)}
    ages = {line.key: line.value for line in _read_lines(folder / "spk2age", optional=True)}
    sexes = {
        line.key: parse_sex(line.value, line.where)
        for line in _read_lines(folder / "spk2gender", optional=True)
    }
    return [
        Recording(
            speaker=speakers[utterance],
            sex=sexes.get(speakers[utterance], ""),
            path=Path(path).relative_to(top).as_posix() if path else "",
            prompt=name_prompt(path),
            transcript=words.get(utterance, ""),
            subset=subset,
            age=ages.get(speakers[utterance], ""),
            utterance=utterance,
        )
        for utterance, path in paths.items()
    ]


def _read_paths(folder: Path) -> dict[str, str]:
    """Absolute path of every utterance of ``wav.scp``, whether there or not."""
    if (folder / "segments").exists():
        raise UserError(
            f"{folder / 'segments'}: line 1 cuts an utterance out of a longer recording, which is "
            "not done here; write one plain file an utterance first, name these in wav.scp and "
            "remove segments."
        )
    return {
        line.key: _find_file(folder, _refuse_pipe(line)) for line in _read_lines(folder / "wav.scp")
    }


def _refuse_pipe(line: _Line) -> str:
    """The path of a line of ``wav.scp``; :class:`UserError` where it is none."""
    kind = _name_kind(line.value)
    if not kind:
        return line.value
    text = {ARCHIVE: f"{ARCHIVE} ({line.value})"}.get(kind, kind)
    raise UserError(
        f"{line.where} {text}; write plain audio files first and name these in wav.scp."
    )


def _name_kind(value: str) -> str:
    """What a line of ``wav.scp`` names where it is no file."""
    if value.startswith("|") or value.endswith("|"):
        return COMMAND
    if re.search(r":\d+(\[[^]]*\])?$", value):
        return ARCHIVE
    return "" if value else "has no path"


def _find_file(folder: Path, text: str) -> str:
    """Where a path of ``wav.scp`` leads.

    Relative ones are Kaldi's own habit, meant from where Kaldi ran: they are tried from the data
    directory, from the current one, and from the folders above the data directory, since
    ``run.sh`` changes the current one.
    """
    if os.path.isabs(text):  # noqa: PTH117
        return os.path.normpath(find_spelling("/", text))
    bases = [str(folder), os.curdir, *map(str, list(folder.parents)[:N_ABOVE])]
    spelt = [find_spelling(base, text) for base in bases]
    places = [os.path.abspath(os.path.join(*pair)) for pair in zip(bases, spelt, strict=True)]  # noqa: PTH100, PTH118
    return next((place for place in places if os.path.isfile(place)), places[0])  # noqa: PTH113


def _read_speakers(path: Path, utterances: Iterable[str]) -> dict[str, str]:
    """Speaker of every utterance that ``wav.scp`` has."""
    speakers = {line.key: line.value for line in _read_lines(path)}
    missing = [name for name in utterances if not speakers.get(name)]
    if missing:
        raise UserError(
            f"{path}: names no speaker for {len(missing)} utterances of wav.scp "
            f"({list_first(missing)}); add a line 'UTTERANCE SPEAKER' for each."
        )
    return speakers


def _read_lines(path: Path, optional: bool = False) -> list[_Line]:
    """The lines of one of Kaldi's tables; none where an optional one is not there."""
    if not path.is_file():
        if optional:
            return []
        raise MissingInputError(f"{path}: not there; write a line 'UTTERANCE SPEAKER' for each.")
    texts = read_table_text(path)[0].split("\n")
    fields = [(number, text.split(maxsplit=1)) for number, text in enumerate(texts, 1)]
    lines = [
        _Line(words[0], words[1].strip() if len(words) > 1 else "", f"{path}: line {number}")
        for number, words in fields
        if words
    ]
    refuse_repeats([line.key for line in lines], f"{path}: has a line", "leave one of each")
    return lines
