"""Where the files of a data folder and of an experiment lie, and the records among them.

An experiment's folder is read from its path alone: whoever compares, publishes or uses a finished
experiment needs no recipe for that.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import yaml

from separation.files import read_json, read_rows

if TYPE_CHECKING:
    from separation.evaluation.summary import Summary

BASELINE = "STFTMask"  # the model that every other one of its data set should beat


@dataclass(frozen=True)
class DataFolder:
    """``data/MIX/KIND``: tables and packed audio of one kind of mixtures.

    Attributes:
        path: the folder itself.
        shared: ``data/MIX``, with measurements of the corpus for all kinds of mixtures.
    """

    path: Path
    shared: Path

    @property
    def table(self) -> Path:
        """Utterances of the corpus, with their splits."""
        return self.path / "corpus.csv"

    @property
    def noise_table(self) -> Path:
        return self.path / "noise.csv"

    def mixture_table(self, split: str) -> Path:
        return self.path / "metadata" / f"{split}.csv"

    def packed(self, sample_rate: int) -> Path:
        """Training utterances at ``sample_rate`` Hz, a file a speaker."""
        return self.path / f"packed_{sample_rate}"

    @property
    def exact(self) -> Path:
        """A lossless copy of the mixture tables' sources."""
        return self.path / "exact"


class RunRecord(TypedDict):
    """``run.json``: what produced a result."""

    recipe: str
    data_key: str  # hash of the recordings and mixtures
    commit: str
    device: str
    seed: int
    python: str
    versions: dict[str, str]  # of packages
    fingerprints: dict[str, str]  # of mixture tables, by split
    conf_fingerprint: str


@dataclass(frozen=True)
class ExperimentFolder:
    """``exp/MIX/MODEL/TAG``: what training, evaluation and report leave."""

    path: Path

    @property
    def tag(self) -> str:
        return self.path.name

    @property
    def conf(self) -> Path:
        return self.path / "conf.yml"

    @property
    def run(self) -> Path:
        return self.path / "run.json"

    @property
    def checkpoint(self) -> Path:
        """The best model, which is what is scored and used."""
        return self.path / "best_model.pth"

    @property
    def curves(self) -> Path:
        return self.path / "curves.csv"

    @property
    def training_lock(self) -> Path:
        """Is held by the process that trains here."""
        return self.path / ".training.lock"

    @property
    def evaluation(self) -> Path:
        return self.path / "evaluation"

    @property
    def summary(self) -> Path:
        return self.evaluation / "summary.json"

    def scores(self, split: str, estimator: str) -> Path:
        """One row a mixture."""
        return self.evaluation / split / f"{estimator}.csv"

    @property
    def overfit(self) -> Path:
        return self.path / "overfit.json"

    @property
    def results(self) -> Path:
        return self.path / "RESULTS.md"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @property
    def is_trained(self) -> bool:
        """Whether there is anything of a training: a model, a curve, or a checkpoint."""
        checkpoints = (self.path / "checkpoints").glob("*.ckpt")
        return self.checkpoint.is_file() or self.curves.is_file() or any(checkpoints)

    def list_baselines(self) -> list["ExperimentFolder"]:
        """Scored experiments of the baseline model on the same data set, sorted by name."""
        summaries = self.path.parents[1].glob(f"{BASELINE}/*/evaluation/summary.json")
        return [ExperimentFolder(path.parents[1]) for path in sorted(summaries)]

    def read_conf(self) -> dict[str, Any]:
        """The resolved config as it was saved: section -> key -> value."""
        return yaml.safe_load(self.conf.read_text(encoding="utf-8"))

    def read_run(self) -> RunRecord | None:
        """What produced the model; None where nothing was begun."""
        return read_json(self.run)

    def read_summary(self) -> "Summary | None":
        """Mean scores by test set and estimator; None where nothing was scored."""
        from separation.evaluation.summary import read_summary

        return read_summary(self.summary)

    def read_curves(self) -> list[dict[str, str]]:
        """One row an epoch; empty where no epoch ended."""
        return read_rows(self.curves) if self.curves.is_file() else []
