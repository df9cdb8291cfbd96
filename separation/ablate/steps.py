"""What each rung is worth: scores over seeds, and its paired difference to the rung below it."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from separation.ablate.ladder import Ladder
from separation.ablate.result import RungResult, TestScores
from separation.errors import UserError
from separation.evaluation.intervals import MeanInterval


@dataclass(frozen=True, kw_only=True)
class SetFigures:
    """A rung on one test set, in dB.

    Attributes:
        score: SI-SDRi, mean over seeds, with the interval that draws speakers.
        by_mixtures: the same with the interval that draws mixtures.
        seeds: means of the single seeds.
        gain: over the rung below on the same mixtures, with the interval that draws speakers;
            None for the first rung, and where that one has no result.
    """

    score: MeanInterval
    by_mixtures: MeanInterval
    seeds: tuple[float, ...]
    gain: MeanInterval | None


@dataclass(frozen=True, kw_only=True)
class RungFigures:
    """A rung with all its seeds.

    Attributes:
        results: one a seed.
        sets: by test set.
    """

    results: Sequence[RungResult]
    sets: dict[str, SetFigures]

    @property
    def first(self) -> RungResult:
        return self.results[0]


def measure_rungs(ladder: Ladder, results: Sequence[RungResult]) -> list[RungFigures]:
    """Figures of every rung that has results, in the ladder's order.

    Raises:
        UserError: rungs were scored on different mixtures.
    """
    by_rung: dict[str, list[RungResult]] = {}
    for result in results:
        if result.ladder == ladder.name:
            by_rung.setdefault(result.rung, []).append(result)
    _check_same_mixtures([result for own in by_rung.values() for result in own])
    return [
        RungFigures(
            results=by_rung[rung.name],
            sets=_measure_sets(by_rung[rung.name], by_rung.get(rung.before, [])),
        )
        for rung in ladder.rungs
        if rung.name in by_rung
    ]


def _check_same_mixtures(results: Sequence[RungResult]) -> None:
    seen: dict[str, tuple[str, str]] = {}
    for result in results:
        for name, scores in result.tests.items():
            known = seen.setdefault(name, (scores.fingerprint, result.rung))
            if known[0] != scores.fingerprint:
                raise UserError(
                    f"rungs {known[1]} and {result.rung} were scored on different mixtures of "
                    f"{name}; keep results of one ladder and one set of tables in a folder."
                )


def measure_gain(
    own: Sequence[RungResult], below: Sequence[RungResult], name: str
) -> MeanInterval | None:
    """What a rung has over another on the same mixtures of one test set, with the interval that
    draws speakers; None where one of them has no result."""
    if not own or not all(name in result.tests for result in [*own, *below]) or not below:
        return None
    after, before = (
        average_seeds([result.tests[name] for result in both]) for both in (own, below)
    )
    return subtract(after, before).by_speakers()


def _measure_sets(own: list[RungResult], below: list[RungResult]) -> dict[str, SetFigures]:
    figures = {}
    for name in own[0].tests:
        mean = average_seeds([result.tests[name] for result in own])
        figures[name] = SetFigures(
            score=mean.by_speakers(),
            by_mixtures=mean.by_mixtures(),
            seeds=tuple(fmean(result.tests[name].values) for result in own),
            gain=measure_gain(own, below, name),
        )
    return figures


def average_seeds(scores: Sequence[TestScores]) -> TestScores:
    """Each mixture's mean over seeds."""
    columns = zip(*(own.values for own in scores), strict=True)
    return TestScores(
        fingerprint=scores[0].fingerprint,
        values=tuple(map(fmean, columns)),
        speakers=scores[0].speakers,
    )


def subtract(first: TestScores, second: TestScores) -> TestScores:
    """First minus second, mixture by mixture."""
    pairs = zip(first.values, second.values, strict=True)
    return TestScores(
        fingerprint=first.fingerprint,
        values=tuple(a - b for a, b in pairs),
        speakers=first.speakers,
    )
