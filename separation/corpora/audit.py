"""The audit of a corpus that stage 1 writes: counts, lengths, defects; Markdown, JSON, plots."""

import dataclasses
import statistics
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from separation.config.schema import Conf
from separation.corpora.table import COPY, TOO_SHORT, Utterance
from separation.files import write_json, write_text, write_whole
from separation.text import format_table, list_lines

NOT_STATED = "not stated"


@dataclass(frozen=True, kw_only=True)
class Lengths:
    """Of utterances, in seconds."""

    min: float
    median: float
    mean: float
    max: float


@dataclass(frozen=True, kw_only=True)
class SpeakerCounts:
    """Speakers in all, and by what the corpus states of them."""

    count: int
    sex: dict[str, int]
    age: dict[str, int]
    accent: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class SplitSummary:
    """One split: utterances, hours, speakers, and these by sex."""

    utterances: int
    hours: float
    speakers: int
    sex: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class CorpusAudit:
    """What ``audit.json`` holds.

    Attributes:
        long_enough_share: of the utterances, those of at least ``min_utterance_s``.
        subsets: speakers of each of the corpus's own subsets.
        clipped: paths of utterances that are clipped, and kept.
        left_out: number of recordings that are not used, by reason.
        left_out_files: why, by path.
    """

    utterances: int
    hours: float
    seconds: Lengths
    min_utterance_s: float
    long_enough_share: float
    sample_rates: dict[str, int]
    speakers: SpeakerCounts
    splits: dict[str, SplitSummary]
    subsets: dict[str, int]
    speakers_in_several_subsets: int
    clipped: list[str]
    quietest_lufs: float
    loudest_lufs: float
    left_out: dict[str, int]
    left_out_files: dict[str, str]


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
    write_json(paths[1], dataclasses.asdict(audit))
    _plot(utterances, paths[2])
    return paths


def sum_up(
    utterances: list[Utterance], left_out: dict[str, str], min_utterance_s: float
) -> CorpusAudit:
    """Counts, hours, lengths and defects of a corpus, and who is in each split."""
    durations = [row.duration_s for row in utterances]
    n_long_enough = sum(duration >= min_utterance_s for duration in durations)
    subsets: dict[str, set[str]] = {}
    for row in utterances:
        subsets.setdefault(row.subset, set()).add(row.speaker)
    splits = sorted({row.split for row in utterances})
    return CorpusAudit(
        utterances=len(utterances),
        hours=round(sum(durations) / 3600, 3),
        seconds=describe_lengths(durations),
        min_utterance_s=min_utterance_s,
        long_enough_share=round(n_long_enough / len(durations), 4),
        sample_rates=count(str(row.sample_rate) for row in utterances),
        speakers=describe_speakers(utterances),
        splits={name: describe_split(utterances, name) for name in splits},
        subsets={name: len(subsets[name]) for name in sorted(subsets) if name},
        speakers_in_several_subsets=count_shared(list(subsets.values())),
        clipped=sorted(row.path for row in utterances if row.n_clipped),
        quietest_lufs=min(row.loudness_lufs for row in utterances),
        loudest_lufs=max(row.loudness_lufs for row in utterances),
        left_out=count(_name_reason(reason) for reason in left_out.values()),
        left_out_files=dict(sorted(left_out.items())),
    )


def count(values: Iterable[str]) -> dict[str, int]:
    """How often each value comes, most often first."""
    return dict(Counter(values).most_common())


def count_shared(groups: list[set[str]]) -> int:
    """Members that are in more than one group.

    >>> count_shared([{"a", "b"}, {"b"}, {"b", "c"}])
    1
    """
    return sum(
        number > 1 for number in Counter(name for group in groups for name in group).values()
    )


def describe_lengths(durations_s: list[float]) -> Lengths:
    """Shortest, median, mean and longest, to hundredths of a second."""
    return Lengths(
        min=round(min(durations_s), 2),
        median=round(statistics.median(durations_s), 2),
        mean=round(statistics.mean(durations_s), 2),
        max=round(max(durations_s), 2),
    )


def describe_speakers(utterances: list[Utterance]) -> SpeakerCounts:
    """Number of speakers, by sex, age and accent where the corpus states them."""
    speakers = {row.speaker: row for row in utterances}.values()
    return SpeakerCounts(
        count=len(speakers),
        sex=count(row.sex or NOT_STATED for row in speakers),
        age=count(row.age or NOT_STATED for row in speakers),
        accent=count(row.accent or NOT_STATED for row in speakers),
    )


def describe_split(utterances: list[Utterance], split: str) -> SplitSummary:
    """Utterances, hours and speakers of one split."""
    rows = [row for row in utterances if row.split == split]
    speakers = {row.speaker: row.sex for row in rows}
    return SplitSummary(
        utterances=len(rows),
        hours=round(sum(row.duration_s for row in rows) / 3600, 3),
        speakers=len(speakers),
        sex=count(sex or NOT_STATED for sex in speakers.values()),
    )


def _name_reason(reason: str) -> str:
    for known in (TOO_SHORT, COPY):
        if reason.startswith(known):
            return known
    return "silent" if "is silent" in reason else "unusable"


def format_audit(audit: CorpusAudit) -> str:
    """The audit as Markdown."""
    lengths, speakers = audit.seconds, audit.speakers
    seconds = f"{lengths.min}, {lengths.median}, {lengths.mean}, {lengths.max}"
    rows: list[tuple[str, object]] = [
        ("utterances", audit.utterances),
        ("hours", audit.hours),
        ("seconds: min, median, mean, max", seconds),
        (f"at least {audit.min_utterance_s} s", f"{100 * audit.long_enough_share:.1f} %"),
        ("sample rates", format_counts(audit.sample_rates)),
        ("speakers", speakers.count),
        ("speakers by sex", format_counts(speakers.sex)),
        ("speakers by age", format_counts(speakers.age)),
        ("speakers by accent", format_counts(speakers.accent)),
        ("speakers of the corpus's own subsets", format_counts(audit.subsets)),
        ("speakers in more than one subset", audit.speakers_in_several_subsets),
        ("loudness, LUFS", f"{audit.quietest_lufs} to {audit.loudest_lufs}"),
        ("clipped, kept", len(audit.clipped)),
    ]
    rows += [(f"left out: {reason}", number) for reason, number in audit.left_out.items()]
    parts = ["# Audit of the corpus", format_table(["", ""], rows), _format_splits(audit)]
    files = [f"{path}: {reason}" for path, reason in audit.left_out_files.items()]
    if files:
        parts += ["Left out, all of them in audit.json:", list_lines(files, mark="- ")]
    return "\n\n".join(parts) + "\n"


def _format_splits(audit: CorpusAudit) -> str:
    rows = [
        [name, split.utterances, split.hours, split.speakers, format_counts(split.sex)]
        for name, split in audit.splits.items()
    ]
    return format_table(["split", "utterances", "hours", "speakers", "by sex"], rows)


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
