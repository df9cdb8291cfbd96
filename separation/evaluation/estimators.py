"""A model as an estimator, which turns a mixture into estimates; others: :mod:`.references`."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import nn

from separation.mixtures.signals import Mixture
from separation.models.inference import Separator, multiply_exactly

Estimator = Callable[[Mixture], np.ndarray]


class ModelEstimator:
    """A model's estimates at full length, float32, ``(n_src, time)``.

    Args:
        model: moved to the device.
        device: CPU or GPU.

    Attributes:
        n_at_once: mixtures that :meth:`estimate_all` had best be given at a time.
    """

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        self.device = device
        self.separator = Separator(model.eval().to(device), device)
        self.n_at_once = self.separator.n_at_once

    def __call__(self, mixture: Mixture) -> np.ndarray:
        return self.estimate_all([mixture])[0]

    def count_bytes(self, n_samples: int) -> int | None:
        """Of memory, about, that a mixture takes; None on a GPU, or where nobody knows."""
        return None if self.separator.is_on_gpu else self.separator.count_bytes(n_samples)

    def estimate_all(self, mixtures: Sequence[Mixture]) -> list[np.ndarray]:
        """Estimates of each as it would have them alone."""
        with torch.inference_mode(), multiply_exactly():
            signals = [
                torch.from_numpy(np.asarray(mixture.mixture, np.float32)).to(self.device)
                for mixture in mixtures
            ]
            return [found.cpu().numpy() for found in self.separator.separate(signals)]


def make_model_estimator(model: nn.Module, device: torch.device) -> ModelEstimator:
    """What a model gives for a mixture, or for several at once."""
    return ModelEstimator(model, device)
