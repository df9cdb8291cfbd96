"""A folder with a table of its own: ``DIR/utterances.csv`` or ``DIR/utterances.tsv``.

Columns ``speaker`` and ``path`` (relative to DIR); where they are there, ``utterance``, ``sex``,
``age``, ``accent``, ``split`` or ``subset``, ``transcript``; others are left alone. CSV fields may
be quoted, TSV fields are taken as they stand.
"""

import csv
import io
import os
from pathlib import Path

from separation.corpora.plugin import Recording
from separation.corpora.recording_checks import (
    check_recordings,
    find_spelling,
    name_prompt,
    parse_sex,
    read_table_text,
)
from separation.errors import UserError
from separation.text import list_first

NAMES = ("utterances.csv", "utterances.tsv")
NEEDED = ("speaker", "path")


def find_table(root: Path) -> Path | None:
    """The folder's table, if it has one.

    Raises:
        UserError: it has two.
    """
    found = [root / name for name in NAMES if (root / name).is_file()]
    if len(found) > 1:
        raise UserError(f"{root}: holds both {' and '.join(NAMES)}; keep one of them.")
    return found[0] if found else None


def list_table(table: Path) -> list[Recording]:
    """List the recordings that ``table`` names, sorted by path.

    Raises:
        MissingInputError: recordings that are not there.
        UserError: a column or a value is missing, a line has too many fields, an unknown sex,
            a path that leaves the folder, anything twice.
    """
    text, remark = read_table_text(table)
    rows = _read_rows(table, text)
    found = [_make(row, where, table.parent) for where, row in rows]
    recordings = sorted(found, key=lambda row: row.path)
    check_recordings(recordings, table.parent, table, "take the copies out", remark)
    return recordings


def _read_rows(table: Path, text: str) -> list[tuple[str, dict[str, str]]]:
    """Every row by lower-case column name, with what to call its place in an error."""
    handle = io.StringIO(text, newline="")
    if table.suffix == ".tsv":
        reader = csv.reader(handle, delimiter="\t", quoting=csv.QUOTE_NONE)
    else:
        reader = csv.reader(handle, delimiter=_find_delimiter(text))
    try:
        columns = [name.strip().lower() for name in next(reader, [])]
        _check_columns(columns, table)
        lines = [(reader.line_num, fields) for fields in reader if fields]
    except csv.Error as error:
        raise UserError(f"{table}: is no CSV table ({error}); save it as one.") from error
    return [_name_fields(number, fields, columns, table) for number, fields in lines]


def _find_delimiter(text: str) -> str:
    """A semicolon or tab where the first line has no comma, as Excel writes it in some countries.

    >>> _find_delimiter("speaker;path"), _find_delimiter("speaker,path")
    (';', ',')
    """
    head = text.partition("\n")[0]
    return next((mark for mark in ",;\t" if mark in head), ",")


def _check_columns(columns: list[str], table: Path) -> None:
    missing = [name for name in NEEDED if name not in columns]
    if missing:
        raise UserError(
            f"{table}: its first line has no column {' and no '.join(missing)} "
            f"(it has {list_first(columns) or 'none'}); name the columns there, or rename the file "
            "if sub-folders stand for speakers."
        )
    if len(set(columns)) < len(columns):
        raise UserError(f"{table}: its first line has a column twice; rename one of them.")
    if {"split", "subset"} <= set(columns):
        raise UserError(f"{table}: has the columns split and subset, which mean one; keep one.")


def _name_fields(
    number: int, fields: list[str], columns: list[str], table: Path
) -> tuple[str, dict[str, str]]:
    where = f"{table}: line {number}"
    if len(fields) > len(columns):
        fix = "" if table.suffix == ".tsv" else ' (a field that holds a comma stands in "quotes")'
        raise UserError(
            f"{where} has {len(fields)} fields for {len(columns)} columns; correct it{fix}."
        )
    padded = fields + [""] * (len(columns) - len(fields))
    row = dict(zip(columns, (field.strip() for field in padded), strict=True))
    for name in NEEDED:
        if not row[name]:
            raise UserError(f"{where} has no {name}; fill it in or take the line out.")
    return where, row


def _make(row: dict[str, str], where: str, folder: Path) -> Recording:
    path = Path(os.path.normpath(find_spelling(str(folder), row["path"])))
    if path.is_absolute() and path.is_relative_to(folder.resolve()):
        path = path.relative_to(folder.resolve())
    if path.is_absolute() or path.parts[:1] == (os.pardir,):
        raise UserError(
            f"{where}: the path {row['path']} lies outside the table's folder; write paths "
            "relative to that folder."
        )
    return Recording(
        speaker=row["speaker"],
        sex=parse_sex(row.get("sex", ""), where),
        path=path.as_posix(),
        prompt=name_prompt(path.as_posix()),
        transcript=row.get("transcript", ""),
        subset=row.get("subset", "") or row.get("split", ""),
        age=row.get("age", ""),
        accent=row.get("accent", ""),
        utterance=row.get("utterance", ""),
    )
