"""Rows of scores as a table: its columns, and the sentences on rows without scores."""

from typing import Any

MAX_NAMED = 10


def list_columns(rows: list[dict[str, Any]]) -> list[str]:
    """Columns of a scores CSV: those of its fullest row in that order, then what others add."""
    fullest = max(rows, key=len)
    leading = [key for key in ("mixture_ID", "pair") if key in fullest]
    columns = dict.fromkeys([*leading, *fullest])
    for row in rows:
        columns |= dict.fromkeys(row)
    if "error" in columns:  # beside the problem that it explains
        ordered = [key for key in columns if key != "error"]
        ordered.insert(ordered.index("problems") + 1, "error")
        return ordered
    return list(columns)


def tell_unscored(unscored: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Sentences that name mixtures without scores, and why.

    Args:
        unscored: such rows by estimator; what several have in common is told once.
    """
    found: dict[str, list[str]] = {}
    for name, rows in unscored.items():
        if rows:
            found.setdefault(_name_rows(rows), []).append(name)
    everywhere = len(unscored)
    return [
        f"{'every estimator' if len(names) == everywhere > 1 else ', '.join(names)}: {text}"
        for text, names in found.items()
    ]


def _name_rows(rows: list[dict[str, Any]]) -> str:
    named = [f"{row['mixture_ID']} ({row.get('error') or row['problems']})" for row in rows]
    more = f" and {len(named) - MAX_NAMED} more" if len(named) > MAX_NAMED else ""
    return (
        f"{len(rows)} of the mixtures could not be scored, and no mean holds them: "
        f"{'; '.join(named[:MAX_NAMED])}{more}."
    )
