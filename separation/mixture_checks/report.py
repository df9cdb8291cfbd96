"""The outcome of ``validate`` as a table, JSON and plots."""

import statistics
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from separation.files import write_json, write_text, write_whole
from separation.mixture_checks.catalogue import CHECKS
from separation.mixture_checks.checks import Record
from separation.mixture_checks.sets import CheckedSet
from separation.text import N_LINES, format_table, list_first, list_lines

NOT_CHECKED = {"level-error": "not stated"}
HISTOGRAMS = {
    "length_s": "length (s)",
    "level_difference_db": "level difference (dB)",
    "level_error_db": "level error (dB)",
    "peak": "peak",
}


def sum_up(
    sets: list[CheckedSet],
    shared: list[dict[str, Any]],
    limits: dict[str, float],
    allowed: list[str],
) -> dict[str, Any]:
    """Everything that is reported: finite numbers, texts, and None where nothing is known.

    Args:
        allowed: checks whose findings are listed but make no mixture invalid.
    """
    summaries = [_sum_up_set(checked, set(allowed)) for checked in sets]
    return {
        "mixtures_concerned": sum(summary["mixtures"] - summary["valid"] for summary in summaries),
        "limits": limits,
        "allowed": sorted(set(allowed)),
        "shared_speakers": shared,
        "sets": summaries,
    }


def _sum_up_set(checked: CheckedSet, allowed: set[str]) -> dict[str, Any]:
    records = checked.records
    valid = sum(not set(record.findings) - allowed for record in records)
    return {
        "name": checked.name,
        "input": checked.origin,
        "mixtures": len(records),
        "valid": valid,
        "valid_share": valid / len(records) if records else None,
        "checks": {check: _count(records, check) for check in CHECKS},
        "statistics": _measure(records),
    }


def _count(records: list[Record], check: str) -> dict[str, Any] | None:
    """None where the check applied to no mixture."""
    n_checked = sum(check in record.checked for record in records)
    found = sorted((r.name, r.findings[check]) for r in records if check in r.findings)
    listed = [{"name": name, "detail": detail} for name, detail in found[:N_LINES]]
    return {"count": len(found), "checked": n_checked, "first": listed} if n_checked else None


def collect(records: list[Record]) -> dict[str, list[float]]:
    """The measures that there are histograms of."""
    return {
        "length_s": [r.duration_s for r in records if r.duration_s is not None],
        "level_difference_db": [value for r in records for value in r.level_differences_db],
        "level_error_db": [value for r in records for value in r.level_errors_db],
        "peak": [r.peak for r in records if r.peak is not None],
    }


def _measure(records: list[Record]) -> dict[str, Any]:
    values = collect(records)
    errors = values["level_error_db"]
    si_sdr = [r.input_si_sdr_db for r in records if r.input_si_sdr_db is not None]
    pairs = Counter("-".join(sorted(r.sexes)) for r in records if r.sexes and all(r.sexes))
    speakers = {name for record in records for name in record.speakers}
    return {
        "hours": sum(values["length_s"]) / 3600 if values["length_s"] else None,
        **{name: _describe(numbers) for name, numbers in values.items()},
        "level_error_mean_absolute_db": statistics.fmean(map(abs, errors)) if errors else None,
        "level_error_largest_db": max(errors, key=abs) if errors else None,
        "input_si_sdr_db": statistics.fmean(si_sdr) if si_sdr else None,
        "sexes": dict(sorted(pairs.items())) or None,
        "speakers": len(speakers) or None,
    }


def _describe(values: list[float]) -> dict[str, float] | None:
    if not values:
        return None
    return {
        "mean": statistics.fmean(values),
        "sd": statistics.pstdev(values),
        "min": min(values),
        "median": statistics.median(values),
        "max": max(values),
    }


def format_report(report: dict[str, Any]) -> str:
    """The report as Markdown: checks, statistics, and the first mixtures of every finding."""
    sets = report["sets"]
    n_mixtures = sum(summary["mixtures"] for summary in sets)
    concerned = report["mixtures_concerned"]
    tail = f"something is wrong with {concerned}" if concerned else "nothing is wrong"
    parts = [f"{len(sets)} set(s), {n_mixtures} mixtures: {tail}"]
    names = [summary["name"] for summary in sets]
    parts.append(format_table(["check", *names], _list_check_rows(report)))
    parts.append(format_table(["measure", *names], _list_measure_rows(sets)))
    parts += [_format_shared(shared) for shared in report["shared_speakers"]]
    for summary in sets:
        for check, found in summary["checks"].items():
            if found and found["count"]:
                parts.append(_format_finding(summary["name"], check, found))
    return "\n\n".join(parts) + "\n"


def _list_check_rows(report: dict[str, Any]) -> list[list[str]]:
    """A row a check; a check that is only made of other kinds of sets is left out."""
    sets = report["sets"]
    marks_only = all(summary["checks"]["marked-invalid"] for summary in sets)
    rows = []
    for check in CHECKS:
        found = [summary["checks"][check] for summary in sets]
        if not any(found) and (marks_only or check == "marked-invalid"):
            continue
        none = NOT_CHECKED.get(check, "n/a")
        mark = " (allowed)" if check in report["allowed"] else ""
        counts = [f"{one['count']}{mark}" if one else none for one in found]
        rows.append([check, *counts])
    return rows


def _list_measure_rows(sets: list[dict[str, Any]]) -> list[list[str]]:
    measures: dict[str, Callable[[dict[str, Any]], str]] = {
        "mixtures": lambda summary: str(summary["mixtures"]),
        "valid": lambda summary: _format_share(summary["valid_share"]),
        "hours": lambda summary: _format_number(summary["statistics"]["hours"]),
        "length, s: min, median, max": lambda summary: _format_range(summary, "length_s"),
        "level difference, dB: mean, sd, min, max": lambda summary: _format_spread(
            summary["statistics"]["level_difference_db"]
        ),
        "level error, dB: mean, mean absolute, largest": lambda summary: _format_errors(
            summary["statistics"]
        ),
        "peak: min, median, max": lambda summary: _format_range(summary, "peak"),
        "sexes": lambda summary: _format_counts(summary["statistics"]["sexes"]),
        "speakers": lambda summary: str(summary["statistics"]["speakers"] or "n/a"),
        "input SI-SDR, dB: mean": lambda summary: _format_number(
            summary["statistics"]["input_si_sdr_db"]
        ),
    }
    return [[name, *map(show, sets)] for name, show in measures.items()]


def _format_number(value: float | None, digits: int = 2) -> str:
    # Adding zero turns -0.0, which rounding may leave, into 0.0.
    return "n/a" if value is None else f"{round(value, digits) + 0.0:.{digits}f}"


def _format_share(value: float | None) -> str:
    """Percent, rounded down, so that 100 means all.

    >>> _format_share(2999 / 3000)
    '99.96 %'
    """
    return "n/a" if value is None else f"{int(value * 10000) / 100:.2f} %"


def _format_range(summary: dict[str, Any], name: str) -> str:
    known = summary["statistics"][name]
    if known is None:
        return "n/a"
    return ", ".join(_format_number(known[key]) for key in ("min", "median", "max"))


def _format_spread(known: dict[str, float] | None) -> str:
    if known is None:
        return "n/a"
    return ", ".join(_format_number(known[key]) for key in ("mean", "sd", "min", "max"))


def _format_errors(known: dict[str, Any]) -> str:
    if known["level_error_db"] is None:
        return "not stated"
    mean, absolute = known["level_error_db"]["mean"], known["level_error_mean_absolute_db"]
    largest = known["level_error_largest_db"]
    return ", ".join(_format_number(value, 3) for value in (mean, absolute, largest))


def _format_counts(counts: dict[str, int] | None) -> str:
    return ", ".join(f"{n} {name}" for name, n in counts.items()) if counts else "n/a"


def _format_shared(shared: dict[str, Any]) -> str:
    named = list_first(shared["speakers"], N_LINES, n_all=shared["count"])
    return f"{' and '.join(shared['sets'])} share {shared['count']} speaker(s): {named}"


def _format_finding(name: str, check: str, found: dict[str, Any]) -> str:
    count = found["count"]
    listed = [f"{entry['name']}: {entry['detail']}" for entry in found["first"]]
    head = f"{check} in {name}, {count} mixture(s): {CHECKS[check]}"
    return f"{head}\n{list_lines(listed, mark='- ', n_all=count)}"


def write_report(folder: Path, report: dict[str, Any], sets: list[CheckedSet]) -> None:
    """Write ``validation.md``, ``validation.json`` and a PNG of histograms for every set."""
    write_json(folder / "validation.json", report)
    images = []
    for number, checked in enumerate(sets, 1):
        name = f"validation_{number}.png"
        if _plot(folder / name, checked.records):
            images.append(f"![{checked.name}]({name})")
    write_text(
        folder / "validation.md", "\n".join([format_report(report), *images]).rstrip() + "\n"
    )


def _plot(path: Path, records: list[Record]) -> bool:
    from separation.plots import draw_histograms

    values = collect(records)
    columns = {label: values[name] for name, label in HISTOGRAMS.items() if values[name]}
    if columns:
        with write_whole(path) as partial:
            draw_histograms(columns, partial)
    return bool(columns)
