"""Lists and tables of mixtures: a list a part (scp, JSON), or a table with a column a part."""

import csv
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from separation.audio.files import AUDIO_SUFFIXES
from separation.errors import UserError
from separation.files import read_rows
from separation.mixtures.gather.moved_files import FileFinder
from separation.mixtures.gather.part_names import MIXTURE, name_column, name_part, split_stem
from separation.mixtures.gather.record import Gathered, Parts, add_part, count_from_one
from separation.text import explain_error

TABLE_SUFFIXES = (".csv", ".tsv", ".json", ".jsonl")
IDS = ("mixture_id", "mix_id", "id", "key", "utt_id", "utt", "uttid", "name")
LISTED = ("sources", "estimates", "references", "speech_source", "targets")
MIXTURE_KEYS = ("wav", "path", "audio", "file", "audio_filepath")  # where no key says mixture
ARCHIVED = re.compile(r":\d+(\[[^]]*\])?$")


def gather_lists(folder: Path, roots: Sequence[Path]) -> list[Gathered]:
    """Lists of one part each, by what stands before the part in their names (``tr_mix.scp``)."""
    lists: dict[str, dict[str, Path]] = defaultdict(dict)
    for path in sorted(p for p in folder.iterdir() if p.suffix in (".scp", ".json")):
        prefix, part = _name_list(path.stem)
        if part:
            lists[prefix].setdefault(part, path)
    return [
        _read_lists(folder, prefix, parts, roots)
        for prefix, parts in lists.items()
        if "s1" in parts
    ]


def _name_list(stem: str) -> tuple[str, str]:
    """What stands before the part, and the part, of a list's name."""
    if stem == "wav":  # Kaldi's and ESPnet's
        return "", MIXTURE
    return ("", name_part(stem)) if name_part(stem) else split_stem(stem)


def _read_lists(
    folder: Path, prefix: str, parts: Mapping[str, Path], roots: Sequence[Path]
) -> Gathered:
    mixtures: dict[str, Parts] = defaultdict(dict)
    for part, path in parts.items():
        finder = FileFinder(path, roots)
        lines = _read_json_list(path) if path.suffix == ".json" else _read_scp(path)
        for name, text in lines:
            add_part(mixtures[name], part, finder.find(text), path)
    counted = count_from_one(mixtures)
    return Gathered(source=folder, layout="a list a part", mixtures=counted, name=prefix)


def _read_json_list(path: Path) -> Iterator[tuple[str, str]]:
    """Mixture and path of each ``[path, length]``."""
    for entry in _load_json(path):
        text = entry[0] if isinstance(entry, list) and entry else entry
        if not isinstance(text, str):
            raise UserError(f"{path}: holds {str(entry)[:60]} where [path, length] is needed.")
        yield Path(text).stem, text


def _read_scp(path: Path) -> Iterator[tuple[str, str]]:
    """Mixture and path of each line ``KEY PATH``; a key may be a file's name."""
    for number, line in enumerate(_read_text(path).splitlines(), 1):
        key, *rest = line.split(maxsplit=1)[:2] or [""]
        text = rest[0].strip() if rest else ""
        if key and (not text or "|" in (text[0], text[-1]) or ARCHIVED.search(text)):
            raise UserError(
                f"{path}: line {number} ({line.strip()[:60]}) names no audio file; write plain "
                "WAV or FLAC files first and name these."
            )
        if key:
            is_file_name = Path(key).suffix.lower() in AUDIO_SUFFIXES
            yield (Path(key).stem if is_file_name else key), text


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({explain_error(error)}).") from error


def _load_json(path: Path) -> Any:
    text = _read_text(path)
    try:
        if path.suffix == ".jsonl":
            return [json.loads(line) for line in text.splitlines() if line.strip()]
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: is no JSON ({explain_error(error)}).") from error


def gather_table(path: Path, roots: Sequence[Path]) -> list[Gathered]:
    """A table with a column or key a part; empty where it has none."""
    finder = FileFinder(path, roots)
    mixtures: dict[str, Parts] = {}
    columns: dict[str, Mapping[str, str]] = {}
    for number, (key, record) in enumerate(_read_records(path), 1):
        parts = _read_parts(record)
        if not parts:
            continue
        name = key or _find_id(record) or Path(parts.get(MIXTURE, f"mixture {number}")).stem
        if name in mixtures:
            raise UserError(
                f"{path}: {name} is the name of two mixtures; every mixture needs a name of its "
                "own."
            )
        mixtures[name] = {part: finder.find(text) for part, text in parts.items()}
        columns[name] = {key: text for key, text in record.items() if isinstance(text, str)}
    counted = count_from_one(mixtures)
    gathered = Gathered(source=path, layout="a table", mixtures=counted, columns=columns)
    return [gathered] if mixtures else []


def _read_records(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Records of a table, with their names where these are the keys of JSON."""
    if path.suffix.lower() in (".csv", ".tsv"):
        yield from (("", row) for row in _read_separated(path))
        return
    content = _load_json(path)
    named = content.items() if isinstance(content, dict) else (("", own) for own in content)
    for name, record in named:
        if not isinstance(record, dict):
            raise UserError(
                f"{path}: holds {str(record)[:60]} where a record with the paths of one mixture "
                'is needed, such as {"mixture_path": ..., "source_1_path": ...}.'
            )
        yield name, record


def _read_separated(path: Path) -> list[dict[str, str]]:
    """Lines of a CSV table; tabs and semicolons separate too."""
    try:
        rows = read_rows(path)
        columns = list(rows[0]) if rows else []
        marks = [mark for mark in "\t;" if len(columns) == 1 and mark in str(columns[0])]
        if marks:
            lines = _read_text(path).splitlines()
            return list(csv.DictReader(lines, delimiter=marks[0]))
    except csv.Error as error:
        raise UserError(f"{path}: is no CSV table ({explain_error(error)}).") from error
    return rows


def _find_id(record: Mapping[str, Any]) -> str:
    by_name = {str(key).lower(): value for key, value in record.items()}
    return next((str(by_name[key]) for key in IDS if by_name.get(key)), "")


def _read_parts(record: Mapping[str, Any]) -> Parts:
    """Paths by part, from keys that are called after parts, or from lists of sources."""
    parts: Parts = {}
    for key, value in record.items():
        part = name_column(str(key)) if key else ""
        if part and (path := _read_path(value)):
            parts.setdefault(part, path)
        elif str(key).lower() in LISTED and isinstance(value, (list, dict)):
            values = list(value.values()) if isinstance(value, dict) else value
            paths = [path for listed in values if (path := _read_path(listed))]
            parts |= {f"s{k}": path for k, path in enumerate(paths, 1)}
    for key in MIXTURE_KEYS:
        if MIXTURE not in parts and (path := _read_path(record.get(key))):
            parts[MIXTURE] = path
    return parts if {"s0", "s1"} & set(parts) else {}


def _read_path(value: Any) -> str:
    """The path of an audio file that a cell holds, or empty."""
    if isinstance(value, dict):
        value = next((value[key] for key in MIXTURE_KEYS if key in value), "")
    if isinstance(value, list) and value:
        value = value[0]
    is_audio = isinstance(value, str) and Path(value).suffix.lower() in AUDIO_SUFFIXES
    return value if is_audio else ""
