"""All that was looked at, as evidence: what was measured, and what was not tried."""

from statistics import median

from separation.diagnosis.data import show_distinct, show_gap, show_speech
from separation.diagnosis.draft import Shown
from separation.diagnosis.evaluation import show_baseline, show_score
from separation.diagnosis.figures import (
    DataFigures,
    Figures,
    TestFigures,
    TrainingFigures,
    ValidationFigures,
)
from separation.diagnosis.model import show_field
from separation.diagnosis.published import PAPER_H
from separation.diagnosis.training import measure_rise, select_at_high_rate


def list_facts(figures: Figures) -> list[Shown]:
    """Everything, in the order in which a run is made."""
    facts = _list_data(figures.data) + _list_audio(figures) + _list_model(figures)
    facts += _list_training(figures.training) + _list_checks(figures)
    return facts + [fact for test in figures.tests.values() for fact in _list_scores(test)]


def _list_data(data: DataFigures) -> list[Shown]:
    shown = []
    if data.speakers is not None:
        shown.append(Shown(code="speakers", values={"n": data.speakers}))
    shown += show_speech(data)
    shown.append(Shown(code="mixing_dynamic" if data.dynamic else "mixing_fixed"))
    if data.listed is not None and not data.dynamic:
        shown.append(show_distinct(data))
    if data.repeats is not None:
        shown.append(Shown(code="repeats", values={"times": data.repeats}))
    shown.append(Shown(code="segment", values={"seconds": data.segment_s}))
    if data.trained_h is not None:
        values = {"hours": data.trained_h, "paper": PAPER_H}
        shown.append(Shown(code="trained_plan" if data.is_plan else "trained", values=values))
    return shown


def _list_audio(figures: Figures) -> list[Shown]:
    shown = []
    if figures.band is not None and figures.band.edges_hz:
        edges = figures.band.edges_hz
        values = {"edge_khz": median(edges) / 1000, "n": len(edges)}
        shown.append(Shown(code="band_whole", values=values))
    if figures.sums is not None:
        own = figures.sums
        likeness = median(own.likenesses)
        sums = {"split": own.split, "likeness": likeness, "n": len(own.likenesses)}
        shown.append(Shown(code="sums", values=sums))
    return shown


def _list_model(figures: Figures) -> list[Shown]:
    model = figures.model
    values = {"name": model.name, "rate_khz": model.sample_rate / 1000}
    shown = [Shown(code="model", values=values)]
    if model.parameters is not None:
        shown.append(Shown(code="parameters", values={"millions": model.parameters / 1e6}))
    if model.field is not None:
        shown.append(show_field(model))
    return shown


def _list_training(training: TrainingFigures | None) -> list[Shown]:
    if training is None:
        return []
    best, last = training.best, training.last
    shown = [Shown(code="batch", values={"n": training.batch_size})]
    values = {"epoch": best.number, "n": len(training.epochs), "dev": best.dev_db}
    shown.append(Shown(code="best", values=values))
    if training.gap_db is not None:
        shown.append(show_gap(training, training.gap_db))
    rise = measure_rise(select_at_high_rate(training))
    if rise is not None:
        shown.append(Shown(code="rise", values={"rise": rise, "dev": last.dev_db}))
    shown.append(Shown(code="rate", values={"lr": training.lr, "last": last.lr}))
    if training.clipped_share is not None:
        values = {"share": 100 * training.clipped_share, "clip": training.clip}
        shown.append(Shown(code="clipped", values=values))
    share = 100 * last.skipped / max(1, last.step)
    shown.append(Shown(code="skipped", values={"n": last.skipped, "share": share}))
    return shown


def _list_checks(figures: Figures) -> list[Shown]:
    """What tools and other experiments say; that they were not tried is worth knowing too."""
    if figures.training is None:
        return []
    shown = [_show_overfit(figures)]
    if figures.tests:
        baseline = figures.baseline
        shown.append(show_baseline(baseline) if baseline else Shown(code="baseline_none"))
        if not figures.compared:
            shown.append(Shown(code="compared_none"))
    for own in figures.compared:
        values = {
            "name": own.name,
            "set": own.test_set,
            "ours": own.ours,
            "theirs": own.theirs,
            "published": own.published_db,
            "published_set": own.published_set,
        }
        shown.append(Shown(code="compared", values=values))
    if figures.validation is not None:
        shown.append(_show_validation(figures.validation))
    return shown


def _show_validation(validation: ValidationFigures) -> Shown:
    named = ", ".join(f"{name} {n}" for name, n in validation.faults) or "–"
    values = {"n": validation.n_concerned, "all": validation.n_mixtures, "named": named}
    return Shown(code="validation", values=values)


def _show_overfit(figures: Figures) -> Shown:
    own = figures.overfit
    if own is None:
        return Shown(code="overfit_untried")
    if not own.same_model:
        return Shown(code="overfit_other")
    values = {"sentence": own.sentence}
    return Shown(code="overfit_passed" if own.passed else "overfit", values=values)


def _list_scores(test: TestFigures) -> list[Shown]:
    shown = [show_score(test)]
    if test.oracle_db is not None:
        shown.append(Shown(code="oracle", values={"split": test.name, "oracle": test.oracle_db}))
    values = {"worse": test.worse, "swapped": test.swapped, "merged": test.merged}
    percent: dict[str, object] = {name: 100 * own for name, own in values.items()}
    percent |= {"twice": 100 * test.twice, "split": test.name, "n": test.n_mixtures}
    return [*shown, Shown(code="failures", values=percent)]
