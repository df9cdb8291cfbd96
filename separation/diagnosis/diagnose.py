"""A diagnosis: figures -> checks -> findings in their order, in words."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from separation.diagnosis import data, evaluation, model, training
from separation.diagnosis.collect import collect_figures
from separation.diagnosis.comparison import check_comparison
from separation.diagnosis.draft import Draft
from separation.diagnosis.facts import list_facts
from separation.diagnosis.figures import Figures
from separation.diagnosis.finding import Diagnosis, Finding
from separation.diagnosis.sentences import Writer
from separation.experiment.experiment import Experiment

KINDS = ("fault", "limit", "note")
# A cause explains its effects, which are then no findings of their own.
EFFECTS = {
    "overfit_failed": {"nothing_learned", "baseline"},
    "targets": {"nothing_learned", "diverged", "overfitted", "overfitted_fixed", "dev_differs"}
    | {"stopped_early", "planned_short", "rate_never_lowered", "baseline", "failures"},
    "diverged": {"nothing_learned", "overfitted", "overfitted_fixed", "dev_differs", "baseline"}
    | {"stopped_early", "planned_short", "rate_never_lowered", "failures"},
    "nothing_learned": {"stopped_early", "planned_short", "rate_never_lowered", "baseline"},
    "little_data": {"overfitted", "dev_differs", "unseen_speakers"},
    "little_speech": {"overfitted"},
    "overfitted_fixed": {"fixed_mixing", "rate_never_lowered"},
    "fixed_existing": {"overfitted"},
    "overfitted": {"rate_never_lowered"},
}


def diagnose_experiment(
    experiment: Experiment,
    *,
    language: str = "en",
    compared: Sequence[Path] = (),
    validated: Path | None = None,
    against_db: float | None = None,
) -> Diagnosis:
    """What limits an experiment, or a recipe of which nothing is trained yet.

    Args:
        experiment: of one call, or opened from its folder.
        language: of the texts, ``en`` or ``zh``.
        compared: files ``comparison.json`` of ``compare``.
        validated: a ``validation.json`` of ``validate``.
        against_db: the figure that the user compares with.

    Raises:
        UserError: a file is broken.
    """
    figures = collect_figures(
        experiment, compared=compared, validated=validated, against_db=against_db
    )
    conf = experiment.conf
    train = conf.metadata.train if experiment.origin == "published" else ""
    options = tuple(experiment.list_options())
    return diagnose_figures(figures, language=language, train=train, options=options)


def diagnose_figures(
    figures: Figures, *, language: str = "en", train: str = "", options: tuple[str, ...] = ()
) -> Diagnosis:
    """Findings from plain numbers.

    Args:
        figures: all that is looked at.
        language: of the texts.
        train: the published training list of the run, if any.
        options: of a command line that opens the experiment.
    """
    writer = Writer(language, options)
    drafts = drop_effects(list_drafts(figures, train))
    if all(draft.kind == "note" for draft in drafts):
        drafts.insert(0, _draft_healthy(figures))
    findings = order_findings([writer.write_finding(draft) for draft in drafts], figures)
    return Diagnosis(
        experiment=figures.experiment,
        findings=tuple(findings),
        facts=tuple(writer.write_evidence(shown) for shown in list_facts(figures)),
        language=language,
    )


def list_drafts(figures: Figures, train: str = "") -> list[Draft]:
    """What every check says; causes before effects."""
    tests, run, heard = list(figures.tests.values()), figures.training, figures.data
    checks: list[Draft | None] = [
        training.check_overfit(figures.overfit),
        data.check_targets(heard, figures.sums, tests, run),
        data.check_band(figures.band),
        training.check_diverged(run),
        training.check_nothing_learned(run),
        data.check_validation(figures.validation),
        data.check_little_data(heard, run, tests),
        data.check_unseen_speakers(tests),
        data.check_fixed_mixing(heard, run),
        training.check_overfitted(run, heard),
        training.check_dev_differs(run),
        training.check_stopped_early(run, heard),
        training.check_rate_never_lowered(run),
        model.check_field(figures.model),
        evaluation.check_baseline(figures.baseline),
        *evaluation.check_compared(figures.compared),
        check_comparison(figures, train),
        model.check_size(figures.model),
        evaluation.check_few_test_speakers(tests),
        evaluation.check_failures(tests),
        evaluation.check_test_differs(tests, run),
        data.check_segment(heard, figures.model.field_s),
    ]
    return [draft for draft in checks if draft is not None]


def drop_effects(drafts: Iterable[Draft]) -> list[Draft]:
    """Drafts without those that another one explains."""
    kept = list(drafts)
    explained = set().union(*(EFFECTS.get(draft.code, set()) for draft in kept))
    return [draft for draft in kept if draft.code not in explained]


def _draft_healthy(figures: Figures) -> Draft:
    is_trained = figures.training is not None
    return Draft(code="healthy" if is_trained else "healthy_recipe", kind="note")


def order_findings(findings: Sequence[Finding], figures: Figures) -> list[Finding]:
    """Faults in the order of the checks, then limits and notes by what they would bring."""

    def rank(finding: Finding) -> tuple[int, int, float]:
        kind = KINDS.index(finding.kind)
        first = finding.code.startswith("healthy") or (
            finding.code.startswith("comparison") and figures.against_db is not None
        )
        worth = finding.worth.middle_db if finding.worth else 0.0
        return kind, 0 if first else 1, 0.0 if finding.kind == "fault" else -worth

    return sorted(findings, key=rank)
