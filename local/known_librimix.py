"""Recognising LibriMix's published lists, as tables or as audio, and what their mixtures measure.

``.venv/bin/python -m local.known_librimix DIR`` (a clone of LibriMix, or its metadata folder)
enters the fingerprints of the lists there into ``egs/librimix/fingerprints.json`` under ``lists``.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

from local.lists_librimix import COUNTS, SUBSETS, list_path
from separation.files import hash_text, read_json, read_rows, write_text

FINGERPRINTS = Path(__file__).resolve().parents[1] / "egs" / "librimix" / "fingerprints.json"
LIST_LENGTH = 3000  # of every published test and dev list
MIXTURE_ID = re.compile(r"\d+-\d+-\d{4}(_\d+-\d+-\d{4})+")
COLUMN = re.compile(r"mixture_ID|(source_\d+|noise)_(path|gain)")

# Mean input SI-SDR in dB of whole test sets in min mode, and how far a sound copy may be off, by
# list, type and rate. Two speakers at 8 kHz: known to these digits. The others are SI-SDR less
# SI-SDRi as the published models' cards state them, each rounded to 0.01 dB. Leaving out one
# mixture in 3,000 moves a mean by 0.003 dB, a step of 16 bits by less than 0.001 dB.
INPUT_SI_SDR_DB = {
    ("libri2mix_test-clean", "mix_clean", 8000): (0.0005, 0.01),
    ("libri2mix_test-clean", "mix_both", 8000): (-1.995, 0.01),
    ("libri2mix_test-clean", "mix_clean", 16000): (15.24 - 15.24, 0.02),
    ("libri2mix_test-clean", "mix_both", 16000): (10.62 - 12.55, 0.02),
    ("libri3mix_test-clean", "mix_clean", 8000): (8.58 - 11.98, 0.02),
    ("libri3mix_test-clean", "mix_both", 8000): (5.98 - 10.39, 0.02),
    ("libri3mix_test-clean", "mix_clean", 16000): (8.93 - 12.30, 0.02),
    ("libri3mix_test-clean", "mix_both", 16000): (5.93 - 10.28, 0.02),
}


def fingerprint_list(rows: list[dict[str, str]]) -> dict[str, str]:
    """Fingerprints of a list: of the ``rows`` in LibriMix's own columns, and of the sorted ``ids``.

    Columns that other tables add, such as speakers, and the order of rows change neither.
    """
    own = [
        ",".join(f"{key}={row[key]}" for key in sorted(row) if key and COLUMN.fullmatch(key))
        for row in rows
    ]
    names = [row["mixture_ID"] for row in rows]
    return {
        key: hash_text("\n".join(sorted(part))) for key, part in (("rows", own), ("ids", names))
    }


def recognise(rows: list[dict[str, str]]) -> tuple[str, bool]:
    """The published list whose mixtures these are, by their IDs.

    Args:
        rows: of a table, or of audio that exists (then only the IDs are compared).

    Returns:
        the list, such as ``libri2mix_test-clean``, or empty; and whether the rows say the same
        as the published ones: False where the IDs are the same but paths or gains are not.
    """
    if any("row_fault" in row for row in rows):
        return "", False
    own = fingerprint_list(rows)
    for name, known in (read_json(FINGERPRINTS) or {}).get("lists", {}).items():
        if known["ids"] == own["ids"]:
            return name, "mixture_path" in rows[0] or known["rows"] == own["rows"]
    return "", False


def has_librimix_ids(rows: list[dict[str, str]]) -> bool:
    """Whether every mixture is called as LibriMix calls it: its utterances' names, joined."""
    return bool(rows) and all(MIXTURE_ID.fullmatch(row["mixture_ID"]) for row in rows)


def add_speakers(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Rows with their speakers, which LibriMix's mixture IDs hold, where no table states any."""
    if not has_librimix_ids([row for row in rows if "row_fault" not in row]):
        return rows
    return [row if "row_fault" in row else _read_speakers(row) | row for row in rows]


def _read_speakers(row: dict[str, str]) -> dict[str, str]:
    utterances = row["mixture_ID"].split("_")
    return {f"speaker_{k}_ID": name.split("-")[0] for k, name in enumerate(utterances, 1)}


class Judgement(NamedTuple):
    """Of a whole set's mean: a sentence (empty: nothing is published), what fits, a warning."""

    text: str
    kind: str
    warned: bool


def judge_input(name: str, kind: str, sample_rate: int, mean_db: float) -> Judgement:
    """Whether a whole test set in min mode measures what the published one does.

    Args:
        name: of the list, see :func:`recognise`.
        kind: ``mix_clean`` or ``mix_both``; ``mix`` may be either.
        sample_rate: Hz.
        mean_db: its mean input SI-SDR.
    """
    kinds = ("mix_clean", "mix_both") if kind == "mix" else (kind,)
    anchors = {
        own: INPUT_SI_SDR_DB[name, own, sample_rate]
        for own in kinds
        if (name, own, sample_rate) in INPUT_SI_SDR_DB
    }
    if not anchors:
        return Judgement("", "", False)
    expected = ", ".join(f"{db:+.4f} dB ({own})" for own, (db, _) in anchors.items())
    compared = (
        f"mean input SI-SDR {mean_db:+.4f} dB, that of the published {name} (min, {sample_rate} Hz)"
        f" {expected}"
    )
    for own, (expected_db, tolerance_db) in anchors.items():
        if abs(mean_db - expected_db) <= tolerance_db:
            return Judgement(f"{compared}: {own} within {tolerance_db:g} dB.", own, False)
    text = (
        f"WARNING: {compared}: THESE ARE NOT THE STANDARD MIXTURES, and their scores are not "
        "comparable with published ones; render or download the set again."
    )
    return Judgement(text, "", True)


def record(root: Path) -> dict[str, Any]:
    """Fingerprints of every published list under ``root``, by the list's file name."""
    paths = [list_path(root, n_src, name) for n_src, name in COUNTS if name in SUBSETS]
    return {path.stem: fingerprint_list(read_rows(path)) for path in paths if path.is_file()}


def main() -> None:
    """Enter the lists of the folder given into fingerprints.json; others stay."""
    known = read_json(FINGERPRINTS)
    lists = known.get("lists", {}) | record(Path(sys.argv[1]))
    whole = known | {"lists": dict(sorted(lists.items()))}
    write_text(FINGERPRINTS, json.dumps(whole, indent=2) + "\n")  # older entries do not move


if __name__ == "__main__":
    main()
