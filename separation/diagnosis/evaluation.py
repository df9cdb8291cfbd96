"""Checks of scores: the baseline, failures and what they share, few test speakers, test and dev."""

from separation.diagnosis.draft import Draft, Gain, Line, PlotDraft, Shown
from separation.diagnosis.figures import (
    BaselineFigures,
    ComparedFigures,
    TestFigures,
    TrainingFigures,
)

FEW_TEST_SPEAKERS = 10
FAILURES = 0.05  # of mixtures, from which they are worth a note
DEV_DB = 2.0  # dev above test
BETTER_DB = 0.5  # a published model above ours, on the same mixtures


def check_baseline(baseline: BaselineFigures | None) -> Draft | None:
    """The trained filterbank is not clearly better than the same network over an STFT."""
    if baseline is None or None in (baseline.ours.low, baseline.theirs.high):
        return None
    ours, theirs = baseline.ours, baseline.theirs
    assert ours.low is not None and theirs.high is not None
    if ours.low > theirs.high:
        return None
    assert ours.mean is not None and theirs.mean is not None
    lacking = max(0.0, theirs.mean - ours.mean)
    return Draft(
        code="baseline",
        kind="limit",
        values={"split": baseline.split, "difference": ours.mean - theirs.mean},
        evidence=(show_baseline(baseline),),
        command=("overfit",),
        opens=True,
        gain=Gain(lacking, lacking + 1.0),
    )


def show_baseline(baseline: BaselineFigures) -> Shown:
    """Both scores, and how long each was trained."""
    values = {
        "split": baseline.split,
        "ours": baseline.ours.mean,
        "theirs": baseline.theirs.mean,
        "our_steps": baseline.our_steps,
        "their_steps": baseline.their_steps,
        "tag": baseline.tag,
    }
    return Shown(code="baseline", values=values)


def check_failures(tests: list[TestFigures]) -> Draft | None:
    """Mixtures that are worse than before, swapped or merged, and what they share; a note."""
    failing = [
        own for own in tests if max(own.worse, own.swapped, own.merged, own.twice) >= FAILURES
    ]
    if not failing:
        return None
    worst = max(failing, key=lambda own: own.worse)
    evidence = [shown for own in failing for shown in [_show_failures(own), *_show_traits(own)]]
    values = {"split": worst.name, "worse": 100 * worst.worse}
    return Draft(code="failures", kind="note", values=values, evidence=tuple(evidence))


def _show_traits(test: TestFigures) -> list[Shown]:
    return [
        Shown(
            code=f"trait_{own.code}",
            values={"value": own.value, "share": 100 * own.share, "all": 100 * own.share_all},
        )
        for own in test.traits
    ]


def _show_failures(test: TestFigures) -> Shown:
    shares = {
        "worse": test.worse,
        "swapped": test.swapped,
        "merged": test.merged,
        "twice": test.twice,
    }
    bars = tuple(
        Line(name, ((float(place), 100 * share),))
        for place, (name, share) in enumerate(shares.items())
    )
    values: dict[str, object] = {name: 100 * share for name, share in shares.items()}
    values |= {"split": test.name, "n": test.n_mixtures}
    return Shown(
        code="failures", values=values, plot=PlotDraft(code="failures", lines=bars, kind="bars")
    )


def check_few_test_speakers(tests: list[TestFigures]) -> Draft | None:
    """A score of few people says little of others; a note."""
    few = [own for own in tests if 0 < own.n_speakers < FEW_TEST_SPEAKERS]
    if not few:
        return None
    fewest = min(few, key=lambda own: own.n_speakers)
    return Draft(
        code="few_test_speakers",
        kind="note",
        values={"split": fewest.name, "n": fewest.n_speakers},
        evidence=tuple(show_score(own) for own in few),
    )


def show_score(test: TestFigures) -> Shown:
    """SI-SDRi with its interval, where it has one."""
    values: dict[str, object] = {"split": test.name, "mean": test.gain.mean, "n": test.n_mixtures}
    if test.gain.low is None or test.gain.high is None:
        return Shown(code="score", values=values)
    values |= {"low": test.gain.low, "high": test.gain.high, "speakers": test.n_speakers}
    return Shown(code="score_interval" if test.n_speakers else "score_mixtures", values=values)


def check_test_differs(tests: list[TestFigures], training: TrainingFigures | None) -> Draft | None:
    """Dev scored far above a test set of unseen speakers; a note."""
    if training is None or training.best.dev_gain_db is None:
        return None
    dev = training.best.dev_gain_db
    others = [own for own in tests if own.name != "test_seen" and own.gain.mean is not None]
    worst = min(others, key=lambda own: own.gain.mean or 0.0, default=None)
    if worst is None or worst.gain.mean is None or dev - worst.gain.mean < DEV_DB:
        return None
    if worst.gain.high is not None and worst.gain.high > dev:
        return None
    values = {"split": worst.name, "dev": dev, "test": worst.gain.mean}
    return Draft(
        code="test_differs",
        kind="note",
        values=values,
        evidence=(Shown(code="dev_test", values=values), show_score(worst)),
    )


def check_compared(compared: tuple[ComparedFigures, ...]) -> list[Draft]:
    """A published model on these mixtures: is it the model or the data?"""
    drafts: dict[str, Draft] = {}  # the best published model of each kind
    for own in sorted(compared, key=lambda own: -own.theirs):
        code = _classify(own)
        if code:
            drafts.setdefault(code, _draft_compared(own, code))
    return list(drafts.values())


def _classify(own: ComparedFigures) -> str:
    """What a comparison says; empty: nothing."""
    if own.is_published_set:
        return "on_published_set"
    if own.ours < own.theirs - BETTER_DB:
        return "published_better"
    return "data_harder" if own.theirs < own.published_db - BETTER_DB else ""


def _draft_compared(own: ComparedFigures, code: str) -> Draft:
    values: dict[str, object] = {
        "name": own.name,
        "set": own.test_set,
        "ours": own.ours,
        "theirs": own.theirs,
        "published": own.published_db,
        "published_set": own.published_set,
        "harder": own.published_db - own.theirs,
    }
    is_better = code == "published_better"
    low, high = own.difference.low, own.difference.high
    ours = None
    if is_better and low is not None and high is not None and own.difference.mean is not None:
        ours = (-own.difference.mean, -high, -low)
    return Draft(
        code=code,
        kind="limit" if is_better else "note",
        values=values,
        evidence=(Shown(code="compared", values=values),),
        keys=(("training.init_from", own.name),) if is_better else (),
        gain=Gain(0.0, own.theirs - own.ours, ours=ours) if is_better else None,
    )
