"""Recognising LibriMix's published lists, as tables or as audio, and what their mixtures measure.

``python -m local.known_librimix DIR`` (a clone of LibriMix, or its metadata folder) enters the
fingerprints of the lists there into ``egs/librimix/fingerprints.json`` under ``lists``.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

from local.lists_librimix import COUNTS, SUBSETS, list_path
from separation.files import hash_text, read_json, read_rows, write_text

FINGERPRINTS = Path(__file__).resolve().parents[1] / "egs" / "librimix" / "fingerprints.json"
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


def judge_input(name: str, kind: str, sample_rate: int, mean_db: float) -> tuple[str, bool]:
    """Whether a whole test set in min mode measures what the published one does.

    Args:
        name: of the list, see :func:`recognise`.
        kind: ``mix_clean`` or ``mix_both``.
        sample_rate: Hz.
        mean_db: its mean input SI-SDR.

    Returns:
        a sentence, empty where nothing is published to compare with; and whether it is a warning.
    """
    if (name, kind, sample_rate) not in INPUT_SI_SDR_DB:
        return "", False
    expected_db, tolerance_db = INPUT_SI_SDR_DB[name, kind, sample_rate]
    compared = (
        f"mean input SI-SDR {mean_db:+.4f} dB, that of the published {name} ({kind}, min, "
        f"{sample_rate} Hz) {expected_db:+.4f} dB"
    )
    if abs(mean_db - expected_db) <= tolerance_db:
        return f"{compared}: the same within {tolerance_db:g} dB.", False
    return (
        f"WARNING: {compared}: THESE ARE NOT THE STANDARD MIXTURES, and their scores are not "
        "comparable with published ones; render or download the set again.",
        True,
    )


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
