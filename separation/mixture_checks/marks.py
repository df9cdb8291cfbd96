"""Lists of mixtures that somebody else has checked: ``metadata.json`` with ``is_valid``."""

import json
import math
from pathlib import Path
from typing import Any

from separation.errors import UserError
from separation.mixture_checks.checks import Record, find_level_error
from separation.mixture_checks.sets import CheckedSet

NAMES = ("mixture_ID", "mixture_id", "id", "name", "mixture_path", "path", "file")
MARKS = {True: "", False: "is_valid is false"}
SPELLINGS = {"true": True, "false": False, "1": True, "0": False}


def read_marks(path: Path, text: str, tolerance_db: float) -> list[CheckedSet]:
    """The sets that a JSON file holds: a list of records, or a dict with such lists.

    Of a record ``is_valid`` (bool) and ``snr_error_db`` are looked at, and a name; all else may
    be there or not.

    Raises:
        UserError: it is no JSON, or holds no such list.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: is not JSON ({error}); export it again.") from error
    lists = value.items() if isinstance(value, dict) else [("", value)]
    found = [(key, rows) for key, rows in lists if _is_list_of_marks(rows)]
    if not found:
        raise UserError(
            f"{path}: holds no list of mixtures with is_valid and snr_error_db, by itself or under "
            "one key; give the metadata.json of a set of mixtures, or the set itself."
        )
    several = len(found) > 1
    return [
        CheckedSet(
            name=f"{path.stem}:{key}" if several else path.stem,
            origin=text,
            records=records,
            audio=False,
        )
        for key, records in ((key, _read(rows, tolerance_db)) for key, rows in found)
    ]


def _is_list_of_marks(value: Any) -> bool:
    wanted = {"is_valid", "snr_error_db"}
    return isinstance(value, list) and any(isinstance(r, dict) and wanted & set(r) for r in value)


def _read(rows: list[Any], tolerance_db: float) -> list[Record]:
    return [_read_one(row, number, tolerance_db) for number, row in enumerate(rows, 1)]


def _read_one(row: Any, number: int, tolerance_db: float) -> Record:
    if not isinstance(row, dict):
        record = Record(name=f"record {number}")
        record.add("bad-row", f"is {type(row).__name__}, not a record")
        return record
    named = next((row[key] for key in NAMES if isinstance(row.get(key), str | int)), None)
    record = Record(name=f"record {number}" if named is None else str(named))
    record.add("bad-row", "")
    mark = SPELLINGS.get(str(row.get("is_valid")).lower())
    record.add("marked-invalid", None if mark is None else MARKS[mark])
    error_db = row.get("snr_error_db")
    if isinstance(error_db, int | float) and not isinstance(error_db, bool):
        record.level_errors_db = (float(error_db),) if math.isfinite(error_db) else ()
        record.add("level-error", find_level_error({"SNR": float(error_db)}, tolerance_db))
    return record
