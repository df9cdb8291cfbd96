"""What stages 4 and 5 left in an experiment folder, for a model card."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from separation.evaluation.summary import GroupSummary, Summary
from separation.experiment.folder import RunRecord


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
