"""What stages 4 and 5 left in an experiment folder, for a model card."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from separation.errors import MissingInputError, UserError
from separation.evaluation.summary import GroupSummary, Summary
from separation.experiment.folder import ExperimentFolder, RunRecord
from separation.files import hash_file


@dataclass(frozen=True, kw_only=True)
class Results:
    """What stages 4 and 5 left in an experiment folder.

    Attributes:
        checkpoint: best_model.pth.
        conf: the resolved config; section -> key -> value.
        run: run.json.
        summary: evaluation/summary.json.
        steps: of the whole training.
        minutes: of the whole training.
    """

    checkpoint: Path
    conf: dict[str, Any]
    run: RunRecord
    summary: Summary
    steps: int
    minutes: float

    def list_model_scores(self) -> list[tuple[str, GroupSummary]]:
        """The model's scores over all mixtures of every test set that it was scored on."""
        scores = self.summary.scores
        return [(name, scores[name]["model"]["all"]) for name in self.summary.list_scored("model")]


def read_results(folder: Path) -> Results:
    """Read an experiment folder whose stage 5 is done.

    Raises:
        MissingInputError: nothing trained, or nothing evaluated.
        UserError: the scores are those of another checkpoint.
    """
    experiment = ExperimentFolder(folder)
    checkpoint, run = experiment.checkpoint, experiment.read_run()
    if run is None or not checkpoint.is_file() or not experiment.conf.is_file():
        raise MissingInputError(
            f"{folder}: is no experiment that stage 4 has trained; give exp/MIX/MODEL/TAG."
        )
    again = f"run bash run.sh --recipe {run['recipe']} --tag {folder.resolve().name} --stage 5"
    summary = experiment.read_summary()
    if summary is None or not summary.list_scored("model"):
        raise MissingInputError(f"{folder}: stage 5 has not scored its model; {again}.")
    known = summary.about.get("checkpoint_sha256", "")
    if not known or not hash_file(checkpoint).startswith(known):
        raise UserError(f"{folder}: its scores are those of another best_model.pth; {again}.")
    last = experiment.read_curves()[-1]
    return Results(
        checkpoint=checkpoint,
        conf=experiment.read_conf(),
        run=run,
        summary=summary,
        steps=int(last["step"]),
        minutes=float(last["elapsed_s"]) / 60,
    )
