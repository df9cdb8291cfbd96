"""Scores of an experiment: means, failures and what these share, the STFT baseline."""

from collections.abc import Callable, Sequence

from separation.config.schema import ORACLES
from separation.diagnosis.figures import BaselineFigures, TestFigures, Trait
from separation.evaluation.intervals import MeanInterval, mean_interval, speaker_interval
from separation.evaluation.score_rows import ScoreRow, read_scores
from separation.evaluation.summary import Summary
from separation.experiment.experiment import Experiment
from separation.experiment.folder import BASELINE, ExperimentFolder
from separation.metrics.names import UNSCORABLE

METRIC, INPUT = "si_sdri", "input_si_sdr"
LEAST_FAILURES = 5  # below it nothing is said of what they share
LIFT = 1.3  # share of a trait among failures over that among all
SURE = 0.01  # p of Fisher's exact test
MOST_TRAITS = 3
LEVEL_DB, FULL, LITTLE, SHORT_S = 5.0, 0.9, 0.5, 3.0
SWAPPED, MERGED, TWICE = "channel-swap", "merged-channels", "same-voice-twice"


def measure_tests(experiment: Experiment) -> dict[str, TestFigures]:
    """The model on every test set that it was scored on."""
    summary = experiment.folder.read_summary()
    figures = {}
    for split in experiment.test_splits if summary else ():
        path = experiment.folder.scores(split, "model")
        rows = read_scores(path) if path.is_file() else []
        if any(METRIC in row.values for row in rows):
            figures[split] = measure_test(split, rows, _find_oracle(summary, split))
    return figures


def _find_oracle(summary: Summary | None, split: str) -> float | None:
    means = [summary.find_mean(split, name, METRIC) for name in ORACLES] if summary else []
    return max((own.mean for own in means if own and own.mean is not None), default=None)


def measure_test(name: str, rows: Sequence[ScoreRow], oracle_db: float | None) -> TestFigures:
    """The model on one test set, from its rows."""
    scored = [row for row in rows if METRIC in row.values]
    inputs = [row.values[INPUT] for row in scored if INPUT in row.values]
    known = all(row.known_speakers for row in scored)
    speakers = {speaker for row in scored for speaker in row.known_speakers} if known else set()
    n, failures = len(scored), [row for row in scored if is_failure(row)]
    return TestFigures(
        name=name,
        n_mixtures=n,
        n_speakers=len(speakers),
        gain=_find_interval(scored, bool(speakers)),
        input_db=sum(inputs) / len(inputs) if inputs else None,
        oracle_db=oracle_db,
        worse=sum(row.values[METRIC] < 0 for row in scored) / n,
        swapped=sum(SWAPPED in row.problems for row in scored) / n,
        merged=sum(MERGED in row.problems for row in scored) / n,
        twice=sum(TWICE in row.problems for row in scored) / n,
        traits=find_traits(failures, scored),
    )


def _find_interval(rows: Sequence[ScoreRow], knows_speakers: bool) -> MeanInterval:
    """Drawing speakers wherever they are known."""
    if knows_speakers:
        return speaker_interval(rows, METRIC)
    return mean_interval([row.values[METRIC] for row in rows])


def is_failure(row: ScoreRow) -> bool:
    """Whether a mixture got worse, or its outputs hold the wrong voices."""
    confused = {SWAPPED, MERGED, TWICE} & set(row.problems)
    return row.values[METRIC] < 0 or bool(confused - UNSCORABLE)


def find_traits(failures: Sequence[ScoreRow], rows: Sequence[ScoreRow]) -> tuple[Trait, ...]:
    """What failures have clearly more often than all mixtures do, the surest first."""
    if len(failures) < LEAST_FAILURES or len(failures) == len(rows):
        return ()
    from scipy.stats import fisher_exact

    found = []
    for (code, value), holds in _list_traits(rows).items():
        n_failed, n_all = sum(map(holds, failures)), sum(map(holds, rows))
        share, share_all = n_failed / len(failures), n_all / len(rows)
        n_others = len(rows) - len(failures) - (n_all - n_failed)
        table = [[n_failed, len(failures) - n_failed], [n_all - n_failed, n_others]]
        p = float(fisher_exact(table, alternative="greater").pvalue)
        if p < SURE and share >= LIFT * share_all:
            found.append((p, Trait(code, value, share, share_all)))  # type: ignore[arg-type]
    return tuple(trait for _, trait in sorted(found, key=lambda pair: pair[0])[:MOST_TRAITS])


def _list_traits(
    rows: Sequence[ScoreRow],
) -> dict[tuple[str, str], Callable[[ScoreRow], bool]]:
    """Every trait that is looked for: its code and value, and whether a row has it."""
    traits: dict[tuple[str, str], Callable[[ScoreRow], bool]] = {
        ("same_sex", ""): lambda row: row.pair == "same-sex",
        ("level", f"{LEVEL_DB:g}"): lambda row: (row.level_difference_db or 0.0) >= LEVEL_DB,
        ("overlap_full", f"{100 * FULL:g}"): lambda row: (row.overlap or 0.0) >= FULL,
        ("overlap_little", f"{100 * LITTLE:g}"): lambda row: (
            row.overlap is not None and row.overlap < LITTLE
        ),
        ("short", f"{SHORT_S:g}"): lambda row: (
            row.duration_s is not None and row.duration_s < SHORT_S
        ),
    }
    for name in sorted({speaker for row in rows for speaker in row.known_speakers}):
        traits["speaker", name] = lambda row, name=name: name in row.known_speakers  # type: ignore[misc]
    return traits


def measure_baseline(experiment: Experiment) -> BaselineFigures | None:
    """The best STFT baseline that was scored on the very same mixtures; None if there is none."""
    summary = experiment.folder.read_summary()
    if summary is None or experiment.conf.model.name == BASELINE or not experiment.test_splits:
        return None
    split = experiment.test_splits[-1]
    ours, comparable = summary.find_mean(split, "model", METRIC), []
    same = {name: summary.about.get(name) for name in (split, f"audio_{split}")}
    for folder in experiment.folder.list_baselines():
        other = folder.read_summary()
        theirs = other.find_mean(split, "model", METRIC) if other else None
        if other and theirs and all(other.about.get(name) == own for name, own in same.items()):
            comparable.append((folder, theirs))
    if ours is None or not comparable:
        return None
    baseline, theirs = max(comparable, key=lambda pair: pair[1].mean or 0.0)
    return BaselineFigures(
        split=split,
        tag=baseline.tag,
        ours=ours,
        theirs=theirs,
        our_steps=_count_steps(experiment.folder),
        their_steps=_count_steps(baseline),
    )


def _count_steps(folder: ExperimentFolder) -> int:
    curve = folder.read_curves()
    return int(curve[-1]["step"]) if curve else 0
