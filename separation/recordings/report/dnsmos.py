"""DNSMOS P.835: how good speech sounds, from 1 to 5, without a reference; blind to whose it is.

"DNSMOS P.835: A Non-Intrusive Perceptual Objective Speech Quality Metric to Evaluate Noise
Suppressors", Reddy et al. 2022. The network is a file of the wheel speechmos (MIT), which is
optional; onnxruntime computes it, and no line of the package is run.
"""

import functools
import importlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from separation.errors import UserError
from separation.recordings.speech_networks import INSTALL, RATE, find_weights

NETWORK = "269fbebdb513aa23cddfbb593542ecc540284a91849ac50516870e1ac78f6edd"
WINDOW_S = 9.01
# raw outputs SIG, BAK, OVRL -> the scale of the listeners, as speechmos 0.0.1.1 has them
TO_SCALE = (
    (-0.08397278, 1.22083953, 0.0052439),
    (-0.13166888, 1.60915514, -0.39604546),
    (-0.06766283, 1.11546468, 0.04602535),
)
INSTALL_QUALITY = f"{INSTALL}; pip install onnxruntime"


@dataclass(frozen=True, kw_only=True)
class Quality:
    """Mean opinion scores that are predicted, 1 (bad) to 5 (excellent).

    Attributes:
        speech: SIG, of the speech itself.
        background: BAK, of what else is heard.
        overall: OVRL.
        n_windows: of 9 s, that were averaged.
    """

    speech: float
    background: float
    overall: float
    n_windows: int


class QualityNetwork:
    """Windows of 9.01 s at 16 kHz to SIG, BAK and OVRL.

    Args:
        data: of the ONNX file.
    """

    def __init__(self, data: bytes) -> None:
        runtime: Any = importlib.import_module("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        self._session = runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])

    def rate_window(self, window: np.ndarray) -> np.ndarray:
        """Scores ``(3,)`` of ``(time,)``; a shorter one is repeated, as the authors do."""
        samples = np.resize(window, round(WINDOW_S * RATE)).astype(np.float32)
        raw = self._session.run(None, {"input_1": np.clip(samples, -1, 1)[None]})[0][0]
        return np.array([np.polyval(own, x) for own, x in zip(TO_SCALE, raw, strict=True)])

    def rate(self, signal: np.ndarray, starts_s: np.ndarray) -> Quality:
        """Mean over windows of a signal ``(time,)`` at 16 kHz that begin at these seconds."""
        firsts = np.round(np.asarray(starts_s) * RATE).astype(int)
        size = round(WINDOW_S * RATE)
        scores = np.mean([self.rate_window(signal[k : k + size]) for k in firsts], axis=0)
        speech, background, overall = (round(float(own), 2) for own in scores)
        return Quality(speech=speech, background=background, overall=overall, n_windows=len(firsts))


@functools.cache
def load_quality() -> QualityNetwork | None:
    """The network; None where its package, or onnxruntime, is not installed.

    Raises:
        UserError: the file is another one.
    """
    path = find_weights("speechmos", "dnsmos_models/sig_bak_ovr.onnx", NETWORK)
    if path is None:
        return None
    try:
        return QualityNetwork(path.read_bytes())
    except ImportError:
        return None
    except Exception as error:  # onnxruntime has exceptions of its own
        raise UserError(
            f"{path}: onnxruntime cannot read it ({error}); install both again ({INSTALL_QUALITY})."
        ) from error


def choose_windows(spoken: np.ndarray, tick_s: float, n_most: int = 12) -> np.ndarray:
    """Starts in s of windows in which a voice speaks at least a third of the time, spread evenly.

    Args:
        spoken: bool of ticks ``(t,)``.
        tick_s: their length.
        n_most: windows.
    """
    width = round(WINDOW_S / tick_s)
    if not spoken.any():
        return np.empty(0)
    if len(spoken) <= width:
        return np.zeros(1)
    sums = np.concatenate([[0], np.cumsum(spoken)])
    starts = np.arange(0, len(spoken) - width + 1, round(1 / tick_s))
    shares = (sums[starts + width] - sums[starts]) / width
    fit = starts[shares >= 1 / 3]
    if not len(fit):
        fit = starts[[int(shares.argmax())]]
    chosen = np.unique(np.round(np.linspace(0, len(fit) - 1, n_most)).astype(int))
    return fit[chosen] * tick_s
