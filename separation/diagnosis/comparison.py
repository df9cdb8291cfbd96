"""Comparing like with like: whose a published figure is, and what differs from this run."""

from separation.diagnosis.draft import Draft, Shown
from separation.diagnosis.figures import DataFigures, Figures, ModelFigures, TestFigures
from separation.diagnosis.model import SMALL_PARAMETERS
from separation.diagnosis.published import (
    BEST,
    SCORES,
    SMALL,
    PublishedScore,
    name_list,
)

SAME_DB = 0.06  # two figures rounded to a tenth
OURS_DB = 0.006  # two figures rounded to a hundredth


def check_comparison(figures: Figures, train: str = "") -> Draft | None:
    """The published figure that people set such a run beside, and what of it is not alike.

    Args:
        figures: of the run.
        train: the published training list that it takes, if any.
    """
    scores = find_scores(figures.model, figures.data, train, figures.against_db)
    if not scores:
        return _draft_unknown(figures)
    score = scores[0]
    differences = list_differences(score, figures.model, figures.data, train)
    values: dict[str, object] = {
        "score": score.si_sdri_db,
        "system": score.system,
        "set": score.full_set,
        "rate_khz": score.sample_rate / 1000,
        "source": score.source,
    }
    evidence = [Shown(code=_name_figure(own), values=_describe(own)) for own in scores]
    evidence += differences + show_own_scores(figures)
    code = "comparison" if differences else "comparison_fits"
    if score.configuration == SMALL and differences:
        code = "comparison_small"
    return Draft(code=code, kind="note", values=values, evidence=tuple(evidence))


def _name_figure(score: PublishedScore) -> str:
    return f"published_{score.configuration}" if score.configuration else "published"


def _describe(score: PublishedScore) -> dict[str, object]:
    return {
        "score": score.si_sdri_db,
        "system": score.system,
        "set": score.full_set,
        "rate_khz": score.sample_rate / 1000,
        "source": score.source,
    }


def _draft_unknown(figures: Figures) -> Draft | None:
    """A figure that is nobody's whom we know."""
    if figures.against_db is None:
        return None
    return Draft(
        code="comparison_unknown",
        kind="note",
        values={"score": figures.against_db},
        evidence=tuple(show_own_scores(figures)),
    )


def find_scores(
    model: ModelFigures, data: DataFigures, train: str, against_db: float | None
) -> list[PublishedScore]:
    """The published scores to set a run beside, the nearest kin first.

    Where the user names a figure, those that have it; else one of this network.
    """
    if data.n_src != 2:
        return []
    ranked = sorted(SCORES, key=lambda own: len(list_differences(own, model, data, train)))
    if against_db is not None:
        return [own for own in ranked if abs(own.si_sdri_db - against_db) < SAME_DB]
    of_model = [own for own in ranked if own.model == model.name]
    alike = [own for own in of_model if not list_differences(own, model, data, train)]
    same_size = [own for own in of_model if own.configuration == name_configuration(model)]
    return (alike or same_size or of_model)[:1]


def name_configuration(model: ModelFigures) -> str:
    """Which of Conv-TasNet's published configurations a network is nearest to; else empty."""
    if model.name != "ConvTasNet" or model.parameters is None:
        return ""
    return SMALL if model.parameters < SMALL_PARAMETERS else BEST


def list_differences(
    score: PublishedScore, model: ModelFigures, data: DataFigures, train: str
) -> list[Shown]:
    """What of a published score and a run is not alike."""
    shown = []
    ours = name_list(data.mix, "test") if data.origin == "published" else ""
    if ours != score.test_set:
        values = {"theirs": score.test_set, "ours": ours or data.mix}
        shown.append(Shown(code="other_set", values=values))
    elif score.train and score.train != train:
        values = {"theirs": score.train, "ours": train or "?"}
        shown.append(Shown(code="other_train", values=values))
    if score.sample_rate != data.sample_rate:
        rates = {"theirs": score.sample_rate / 1000, "ours": data.sample_rate / 1000}
        shown.append(Shown(code="other_rate", values=rates))
    if score.noisy != data.noisy:
        shown.append(Shown(code="other_noise_theirs" if score.noisy else "other_noise_ours"))
    if score.model and score.model != model.name:
        shown.append(Shown(code="other_model", values={"theirs": score.model, "ours": model.name}))
    configuration = name_configuration(model)
    if score.configuration and configuration and score.configuration != configuration:
        shown.append(Shown(code=f"other_size_{configuration}"))
    return shown


def show_own_scores(figures: Figures) -> list[Shown]:
    """Which of the run's own figures are of which kind: only SI-SDRi of a test set compares."""
    training, shown = figures.training, []
    if training and training.best.dev_gain_db is not None:
        values = {"ratio": training.best.dev_db, "gain": training.best.dev_gain_db}
        shown.append(Shown(code="own_dev", values=values))
    shown += [_show_test(test) for test in figures.tests.values() if test.gain.mean is not None]
    return shown


def _show_test(test: TestFigures) -> Shown:
    return Shown(code="own_test", values={"split": test.name, "gain": test.gain.mean})
