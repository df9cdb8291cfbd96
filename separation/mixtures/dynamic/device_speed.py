"""Playing signals at other speeds on a device: all of a batch, of many speeds, in one product."""

from functools import lru_cache

import numpy as np
import torch

from separation.audio.resample import resample_fast

BLOCK = 100  # outputs: at a speed of s hundredths they come from s inputs and their surroundings
REACH = 21  # inputs before a block; resample's filter spans 10 periods of the lower rate
APART = 4  # blocks between two impulses, so that their responses do not meet


@lru_cache(maxsize=256)
def measure_weights(speed: int) -> np.ndarray:
    """What inputs give to a block of outputs, read off :func:`resample_fast`'s responses.

    So the filter is defined in one place, and any change of it arrives here.

    Args:
        speed: hundredths, 50 to 200.

    Returns:
        float32 ``(speed + 2 * REACH, BLOCK)``; the first input lies ``REACH`` before the block.
    """
    n_inputs = speed + 2 * REACH
    blocks = APART * np.arange(n_inputs) + 2
    impulses = np.zeros((APART * n_inputs + 4) * speed, np.float32)
    impulses[blocks * speed + np.arange(n_inputs) - REACH] = 1
    return resample_fast(impulses, speed, BLOCK).reshape(-1, BLOCK)[blocks]


class SpeedChanger:
    """Changes the speed of signals of several lengths, each its own.

    Args:
        speeds: slowest and fastest, hundredths.
        n_samples: of each result.
        device: of the signals.
    """

    def __init__(self, speeds: tuple[int, int], n_samples: int, device: torch.device) -> None:
        self.speeds = (min(speeds[0], BLOCK), max(speeds[1], BLOCK))  # noise is played as it is
        self.n_samples = n_samples
        self.n_inputs = self.speeds[1] + 2 * REACH
        # Not float32 on CUDA: TF32, where it is allowed, and autocast would take bits from it.
        self.dtype = torch.float64 if device.type == "cuda" else torch.float32
        table = np.zeros((self.speeds[1] - self.speeds[0] + 1, self.n_inputs, BLOCK), np.float32)
        for row, speed in zip(table, range(self.speeds[0], self.speeds[1] + 1), strict=True):
            row[: speed + 2 * REACH] = measure_weights(speed)
        self.weights = torch.from_numpy(table).to(device, self.dtype)
        self._blocks = torch.arange(-(-n_samples // BLOCK), device=device)[None, :, None]
        self._inputs = torch.arange(self.n_inputs, device=device)[None, None, :] - REACH

    def change(
        self,
        signals: torch.Tensor,
        firsts: torch.Tensor,
        lengths: torch.Tensor,
        speeds: torch.Tensor,
    ) -> torch.Tensor:
        """Signals laid end to end, float32 ``(all samples,)``, to ``(n_signals, n_samples)``.

        Args:
            signals: the samples.
            firsts: where each signal begins, int64 ``(n_signals,)``, as the next two.
            lengths: of each, samples.
            speeds: of each, hundredths.
        """
        places = self._blocks * speeds[:, None, None] + self._inputs
        inside = (places >= 0) & (places < lengths[:, None, None])
        places = (places + firsts[:, None, None]).clamp_(0, len(signals) - 1)
        inputs = torch.where(inside, signals[places], 0).to(self.dtype)
        with torch.autocast(signals.device.type, enabled=False):
            outputs = torch.bmm(inputs, self.weights[speeds - self.speeds[0]])
        return outputs.flatten(1)[:, : self.n_samples].float()
