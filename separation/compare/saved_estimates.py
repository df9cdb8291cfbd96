"""``--save-estimates DIR``: what a model put out, as ``DIR/<model>/<set>/s<k>/<mixture>.wav``."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from separation.evaluation.estimators import Estimator
from separation.evaluation.runner import Mixtures
from separation.evaluation.score_rows import ScoreRow
from separation.files import read_json, write_json, write_whole
from separation.jobs import run_jobs_here
from separation.mixtures.signals import Mixture
from separation.safe_paths import place_inside


@dataclass(frozen=True)
class SavedEstimates:
    """What all models put out on one set.

    Attributes:
        root: with a folder a model.
        set_name: of the set's folder in each of them.
    """

    root: Path
    set_name: str

    def open(self, model: str, key: str) -> "ModelFolder":
        """The folder of one model, without the files of another one of this name.

        Args:
            model: name of its folder.
            key: what its estimates depend on.
        """
        folder = self.root / model / self.set_name
        mark = folder / ".key.json"
        if read_json(mark) != key:
            for path in folder.glob("s*/*.wav"):
                path.unlink()
            write_json(mark, key)
        return ModelFolder(folder)


@dataclass(frozen=True)
class ModelFolder:
    """What one model put out on one set: WAV files of 32-bit floats, in the model's own order.

    So their scores are those of the model, to the bit.
    """

    folder: Path

    def wrap(self, estimator: Estimator) -> Estimator:
        """The estimator, which writes what it puts out."""

        def estimate(mixture: Mixture) -> np.ndarray:
            estimates = estimator(mixture)
            self.write(mixture, estimates)
            return estimates

        return estimate

    def path(self, number: int, mixture_id: str) -> Path:
        """The file of one voice; its name is the mixture's, a slash in it another folder."""
        return place_inside(self.folder / f"s{number}", mixture_id, ".wav")

    def write(self, mixture: Mixture, estimates: np.ndarray) -> None:
        """Write the voices of one mixture, each file whole or not at all."""
        for number, samples in enumerate(estimates, 1):
            with write_whole(self.path(number, mixture.mixture_id)) as partial:
                soundfile.write(partial, samples, mixture.sample_rate, "FLOAT", format="WAV")

    def write_missing(
        self, mixtures: Mixtures, scores: Sequence[ScoreRow], estimator: Estimator, label: str
    ) -> None:
        """Separate those that were scored by an earlier call, which did not save them.

        What has no scores could not be read or separated, or a run was killed at it.
        """
        absent = [
            index
            for index, (row, score) in enumerate(zip(mixtures.rows, scores, strict=True))
            if score.is_scored and not self.path(row.n_src, row.mixture_id).is_file()
        ]
        save = self.wrap(estimator)
        bar = run_jobs_here(
            lambda index: save(mixtures[index]),
            absent,
            total=len(absent),
            label=f"{label} estimates",
            unit="mixture",
        )
        for _ in bar:
            pass
