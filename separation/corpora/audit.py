"""The audit of a corpus: what stage 1 found, as a table, JSON and plots."""

import statistics
from collections import Counter
from pathlib import Path
from typing import Any

from separation.config.schema import Conf
from separation.corpora.table import COPY, TOO_SHORT, Utterance
from separation.files import write_json, write_text, write_whole
from separation.text import format_table, list_lines


def write_audit(
    folder: Path, utterances: list[Utterance], left_out: dict[str, str], conf: Conf
) -> list[Path]:
    """Write ``audit.md``, ``audit.json`` and ``audit.png``.

    Args:
        utterances: kept, with splits.
        left_out: path -> why, of the others.

    Returns:
        the three paths.
    """
    audit = sum_up(utterances, left_out, conf.mixtures.min_utterance_s)
    paths = [folder / f"audit.{suffix}" for suffix in ("md", "json", "png")]
    write_text(paths[0], format_audit(audit))
    write_json(paths[1], audit)
    _plot(utterances, paths[2])
    return paths


def sum_up(
    utterances: list[Utterance], left_out: dict[str, str], min_utterance_s: float
) -> dict[str, Any]:
    """Counts, hours, lengths and defects of a corpus, and who is in each split."""
    durations = sorted(row.duration_s for row in utterances)
    long_enough = sum(duration >= min_utterance_s for duration in durations)
    subsets: dict[str, set[str]] = {}
    for row in utterances:
        subsets.setdefault(row.subset, set()).add(row.speaker)
    names = sorted(subsets)
    return {
        "utterances": len(utterances),
        "hours": round(sum(durations) / 3600, 3),
        "seconds": {
            "min": round(durations[0], 2),
            "median": round(statistics.median(durations), 2),
            "mean": round(statistics.mean(durations), 2),
            "max": round(durations[-1], 2),
        },
        "min_utterance_s": min_utterance_s,
        "long_enough_share": round(long_enough / len(durations), 4),
        "sample_rates": count(str(row.sample_rate) for row in utterances),
        "speakers": describe_speakers(utterances),
        "splits": {name: describe_split(utterances, name) for name in _list_splits(utterances)},
        "subsets": {name: len(subsets[name]) for name in names if name},
        "speakers_in_several_subsets": len(
            {
                s
                for i, a in enumerate(names)
                for b in names[i + 1 :]
                for s in subsets[a] & subsets[b]
            }
        ),
        "clipped": sorted(row.path for row in utterances if row.n_clipped),
        "quietest_lufs": min(row.loudness_lufs for row in utterances),
        "loudest_lufs": max(row.loudness_lufs for row in utterances),
        "left_out": count(_name_reason(reason) for reason in left_out.values()),
        "left_out_files": dict(sorted(left_out.items())),
    }


def count(values: Any) -> dict[str, int]:
    """How often each value comes, most often first."""
    return dict(Counter(values).most_common())


def _list_splits(utterances: list[Utterance]) -> list[str]:
    return sorted({row.split for row in utterances})


def describe_speakers(utterances: list[Utterance]) -> dict[str, Any]:
    """Number of speakers, by sex, age and accent where the corpus tells."""
    speakers = {row.speaker: row for row in utterances}
    told: dict[str, Any] = {"count": len(speakers)}
    for name in ("sex", "age", "accent"):
        told[name] = count(getattr(row, name) or "not told" for row in speakers.values())
    return told


def describe_split(utterances: list[Utterance], split: str) -> dict[str, Any]:
    """Utterances, hours and speakers of one split."""
    rows = [row for row in utterances if row.split == split]
    speakers = {row.speaker: row.sex for row in rows}
    return {
        "utterances": len(rows),
        "hours": round(sum(row.duration_s for row in rows) / 3600, 3),
        "speakers": len(speakers),
        "sex": count(sex or "not told" for sex in speakers.values()),
    }


def _name_reason(reason: str) -> str:
    for known in (TOO_SHORT, COPY):
        if reason.startswith(known):
            return known
    return "silent" if "is silent" in reason else "unusable"


def format_audit(audit: dict[str, Any]) -> str:
    """The audit as Markdown."""
    seconds, speakers = audit["seconds"], audit["speakers"]
    rows = [
        ("utterances", audit["utterances"]),
        ("hours", audit["hours"]),
        ("seconds: min, median, mean, max", ", ".join(map(str, seconds.values()))),
        (f"at least {audit['min_utterance_s']} s", f"{100 * audit['long_enough_share']:.1f} %"),
        ("sample rates", format_counts(audit["sample_rates"])),
        ("speakers", speakers["count"]),
        *((f"speakers by {name}", format_counts(speakers[name])) for name in list(speakers)[1:]),
        ("speakers of the corpus's own subsets", format_counts(audit["subsets"])),
        ("speakers in more than one subset", audit["speakers_in_several_subsets"]),
        ("loudness, LUFS", f"{audit['quietest_lufs']} to {audit['loudest_lufs']}"),
        ("clipped, kept", len(audit["clipped"])),
        *((f"left out: {reason}", number) for reason, number in audit["left_out"].items()),
    ]
    parts = ["# Audit of the corpus", format_table(["", ""], rows), _format_splits(audit)]
    files = [f"{path}: {reason}" for path, reason in audit["left_out_files"].items()]
    if files:
        parts += ["Left out, all of them in audit.json:", list_lines(files, mark="- ")]
    return "\n\n".join(parts) + "\n"


def _format_splits(audit: dict[str, Any]) -> str:
    counts = ("utterances", "hours", "speakers")
    rows = [
        [name, *(own[key] for key in counts), format_counts(own["sex"])]
        for name, own in audit["splits"].items()
    ]
    return format_table(["split", *counts, "by sex"], rows)


def format_counts(counts: dict[str, int]) -> str:
    """``176 F, 42 M``."""
    return ", ".join(f"{number} {name}" for name, number in counts.items()) or "none"


def _plot(utterances: list[Utterance], path: Path) -> None:
    """Histograms of length and loudness, and minutes of every speaker."""
    from separation.plots import draw_histograms

    minutes: dict[str, float] = {}
    for row in utterances:
        minutes[row.speaker] = minutes.get(row.speaker, 0.0) + row.duration_s / 60
    columns = {
        "length (s)": [row.duration_s for row in utterances],
        "loudness (LUFS)": [row.loudness_lufs for row in utterances],
        "peak": [row.peak for row in utterances],
        "minutes of a speaker": list(minutes.values()),
    }
    with write_whole(path) as partial:
        draw_histograms(columns, partial)
