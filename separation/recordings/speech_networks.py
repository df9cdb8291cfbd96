"""Two small networks that ship inside wheels: whose voice a second of audio is, and is it speech.

Both are optional: ``requirements-voices.txt`` names the packages, of which only the weights are
read, never a line of their code.

- resemblyzer 0.1.4, Apache-2.0: the speaker encoder of "Generalized End-to-End Loss for Speaker
  Verification", Wan et al. 2018.
- silero-vad 6.2.3, MIT: speech probabilities of 32 ms.
"""

import functools
import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from separation.errors import UserError
from separation.files import hash_file
from separation.models.checkpoint.unpickle import read_file
from separation.models.precision import has_fast_bf16

RATE = 16000  # Hz, of both networks
INSTALL = "pip install --no-deps -r requirements-voices.txt"
ENCODER = "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e"
DETECTOR = "c59271c284ae9c8335d795d60e0bfdb71aaaceec578d9bd9ffc1b8153c319ea1"

WINDOW_S = 1.6  # the encoder was trained on windows of this length
N_MELS, FFT, HOP = 40, 400, 160
WINDOW_LEVEL_DB = -30.0
N_WINDOW = round(WINDOW_S * RATE / HOP)  # frames
BEFORE_S = 0.8  # between windows, and that a window begins before the ticks it is read out at
TICK_S = 0.1  # of what is decided about voices
N_SPECTRUM = 2 * N_MELS  # means and deviations of a tick

STEP = 512  # samples of the detector's step, 32 ms
CONTEXT = 64  # samples before a step that it also sees


def find_weights(package: str, name: str, sha256: str) -> Path | None:
    """A file of an installed package, which is not imported; None where it is not installed.

    Raises:
        UserError: the file is another than the one that was measured.
    """
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / name
        if path.is_file():
            if hash_file(path) != sha256:
                raise UserError(
                    f"{path}: is not the file that this was measured with (its sha256 differs); "
                    f"install it again ({INSTALL}), or separate with --mode overlap."
                )
            return path
    return None


def make_mel_filters() -> np.ndarray:
    """Slaney's mel filters with unit area as librosa has them, ``(n_mels, n_bins)`` at 16 kHz."""

    def to_hz(mel: np.ndarray) -> np.ndarray:
        above = 1000 * np.exp(np.log(6.4) / 27 * (mel - 15))
        return np.where(mel < 15, mel * 200 / 3, above)

    highest = 15 + 27 * np.log(RATE / 2 / 1000) / np.log(6.4)
    edges = to_hz(np.linspace(0, highest, N_MELS + 2))
    bins = np.linspace(0, RATE / 2, FFT // 2 + 1)
    rising = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    triangles = np.maximum(0, np.minimum(rising, falling))
    return (triangles * (2 / (edges[2:] - edges[:-2]))[:, None]).astype(np.float32)


class SpeakerEncoder:
    """Windows of 1.6 s at 16 kHz to embeddings of unit length; those of one voice are alike.

    Args:
        path: of resemblyzer's ``pretrained.pt``.
    """

    def __init__(self, path: Path) -> None:
        state = read_file(path, str(path))["model_state"]
        self.lstm = nn.LSTM(N_MELS, 256, 3, batch_first=True).eval()
        self.linear = nn.Linear(256, 256).eval()
        for name, module in (("lstm", self.lstm), ("linear", self.linear)):
            parts = {k.removeprefix(f"{name}."): v for k, v in state.items() if k.startswith(name)}
            module.load_state_dict(parts)
        self.filters = torch.from_numpy(make_mel_filters())
        self.window = torch.hann_window(FFT)
        self.narrow = has_fast_bf16(
            torch.device("cpu")
        )  # 3.6 times as fast, embeddings of cosine 0.99 to float32's

    @torch.inference_mode()
    def embed(self, signal: np.ndarray, starts: np.ndarray) -> np.ndarray:
        """Embeddings ``(n_windows, 256)`` of windows of a signal.

        Each is brought to the level that the encoder knows.

        Args:
            signal: ``(time,)``.
            starts: first samples of the windows, multiples of 160; what lies beyond an end is
                taken as silence.
        """
        samples = torch.from_numpy(np.ascontiguousarray(signal, np.float32))
        last = int(max(starts, default=0)) + N_WINDOW * HOP
        samples = functional.pad(samples, (0, max(0, last - len(samples))))
        mels, powers = self._measure_mels(samples), self._measure_powers(samples)
        places = torch.from_numpy(np.asarray(starts) // HOP)[:, None] + torch.arange(N_WINDOW)
        hidden = [self._run(mels[part], powers[part])[:, -1] for part in places.split(256)]
        return self._finish(torch.cat(hidden)).numpy() if hidden else np.empty((0, 256), np.float32)

    @torch.inference_mode()
    def embed_whole(self, signals: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Embeddings ``(n_windows, 256)`` of all of each signal, by half overlapping windows.

        Args:
            signals: each ``(time,)``; one that is shorter than a window is a window.
        """
        found = [self._cut_windows(signal) for signal in signals]
        windows = [window for own, _ in found for window in own]
        levels = torch.cat([levels for _, levels in found])
        ends = torch.tensor([len(window) for window in windows]) - 1
        padded = nn.utils.rnn.pad_sequence(windows, batch_first=True)
        hidden = [
            self._run(part, level)[torch.arange(len(end)), end]
            for part, level, end in zip(
                padded.split(256), levels.split(256), ends.split(256), strict=True
            )
        ]
        sizes = [len(own) for own, _ in found]
        return [own.numpy() for own in self._finish(torch.cat(hidden)).split(sizes)]

    def _cut_windows(self, signal: np.ndarray) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Mel bands of a signal's windows, ``(n_frames, n_mels)``, and their levels ``(n, 1)``."""
        samples = torch.from_numpy(np.ascontiguousarray(signal, np.float32))
        mels, powers = self._measure_mels(samples), self._measure_powers(samples)
        length = min(N_WINDOW, len(mels))
        starts = sorted({*range(0, len(mels) - length, N_WINDOW // 2), len(mels) - length})
        places = torch.tensor(starts)[:, None] + torch.arange(length)
        levels = powers[places.clamp(max=len(powers) - 1)].mean(dim=1, keepdim=True)
        return list(mels[places]), levels

    @torch.inference_mode()
    def embed_ticks(self, signal: np.ndarray, n_ticks: int) -> tuple[np.ndarray, np.ndarray]:
        """Spectra and embeddings of ticks of 0.1 s, see :class:`.evidence.Evidence`.

        A window of 1.6 s begins every 0.8 s; the network is read out at each tick of its second
        half, so a tick costs a fifth of what a window of its own would.

        Args:
            signal: ``(time,)``, from ``BEFORE_S`` before the first tick on; silence behind its end.
            n_ticks: how many.

        Returns:
            ``(n_ticks, N_SPECTRUM)`` and ``(n_ticks, 256)``.
        """
        tick, half = round(TICK_S * RATE / HOP), N_WINDOW // 2
        n_windows = -(-n_ticks * tick // half)
        samples = torch.from_numpy(np.ascontiguousarray(signal, np.float32))
        missing = (n_windows + 1) * half * HOP - len(samples)
        samples = functional.pad(samples, (0, max(0, missing)))
        mels, powers = self._measure_mels(samples), self._measure_powers(samples)
        places = (torch.arange(n_windows) * half)[:, None] + torch.arange(N_WINDOW)
        hidden = [
            self._run(mels[part], powers[part])[:, half + tick - 1 :: tick].flatten(0, 1)
            for part in places.split(256)
        ]
        bands = (mels[half : half + n_ticks * tick] + 1e-10).log().unflatten(0, (n_ticks, tick))
        spectra = torch.cat([bands.mean(dim=1), bands.std(dim=1, correction=0)], dim=1)
        return spectra.numpy(), self._finish(torch.cat(hidden)[:n_ticks]).numpy()

    def _measure_mels(self, signal: torch.Tensor) -> torch.Tensor:
        """Power in mel bands, ``(n_frames, n_mels)``; frames are centred on multiples of 10 ms."""
        spectrum = torch.stft(
            signal, FFT, HOP, window=self.window, pad_mode="constant", return_complex=True
        )
        return (self.filters @ torch.view_as_real(spectrum).square().sum(-1)).T

    @staticmethod
    def _measure_powers(signal: torch.Tensor) -> torch.Tensor:
        """Mean squares of frames ``(n_frames,)``."""
        return signal[: len(signal) // HOP * HOP].view(-1, HOP).square().mean(1)

    def _run(self, mels: torch.Tensor, powers: torch.Tensor) -> torch.Tensor:
        """Windows ``(n_windows, n_frames, n_mels)``, at one level, to ``(..., n_frames, 256)``."""
        level = powers.mean(dim=1)[:, None, None].clamp_min(1e-9)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.narrow):
            return self.lstm(mels * (10 ** (WINDOW_LEVEL_DB / 10) / level))[0]

    def _finish(self, hidden: torch.Tensor) -> torch.Tensor:
        return functional.normalize(self.linear(hidden.float()).relu(), dim=-1)


class SpeechDetector:
    """The probability of speech in every 32 ms of audio at 16 kHz.

    Args:
        path: of silero-vad's ``silero_vad_16k.safetensors``.
    """

    def __init__(self, path: Path) -> None:
        weights = read_safetensors(path)
        self.weights = weights
        self.lstm = nn.LSTM(128, 128, batch_first=True).eval()
        parts = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        self.lstm.load_state_dict({f"{p}_l0": weights[f"lstm_cell.{p}"] for p in parts})

    @torch.inference_mode()
    def detect(self, signal: np.ndarray, state: tuple | None = None) -> tuple[np.ndarray, tuple]:
        """Probabilities ``(n_steps,)``, and the state with which the signal's next part begins.

        Args:
            signal: ``(CONTEXT + time,)``: the samples before, then those that are asked for.
            state: that was returned for the part before; None: there is none.
        """
        steps = torch.from_numpy(np.ascontiguousarray(signal, np.float32))
        steps = functional.pad(steps, (0, -(len(steps) - CONTEXT) % STEP))
        steps = steps.unfold(0, CONTEXT + STEP, STEP)[:, None]
        hidden, state = self.lstm(self._encode(steps)[None], state)
        out = functional.conv1d(
            hidden[0, :, :, None].relu(),
            self.weights["final_conv.weight"],
            self.weights["final_conv.bias"],
        )
        return out.sigmoid().flatten().numpy(), state

    def _encode(self, steps: torch.Tensor) -> torch.Tensor:
        """Steps ``(n_steps, 1, CONTEXT + STEP)`` to ``(n_steps, 128)``."""
        w = self.weights
        steps = functional.pad(steps, (0, 64), mode="reflect")
        spectrum = functional.conv1d(steps, w["stft_conv.weight"], stride=128)
        x = (spectrum[:, :129].square() + spectrum[:, 129:].square()).sqrt()
        for name, stride in (("conv1", 1), ("conv2", 2), ("conv3", 2), ("conv4", 1)):
            x = functional.conv1d(x, w[f"{name}.weight"], w[f"{name}.bias"], stride, padding=1)
            x = x.relu_()
        return x.squeeze(-1)


def read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    """Float32 tensors of a safetensors file: a length, a JSON header, and the numbers."""
    data = path.read_bytes()
    n_header = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + n_header])
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        first, last = entry["data_offsets"]
        values = np.frombuffer(data[8 + n_header + first : 8 + n_header + last], "<f4")
        tensors[name] = torch.from_numpy(values.copy()).view(entry["shape"])
    return tensors


@functools.cache
def load_encoder() -> SpeakerEncoder | None:
    """The speaker encoder; None where its package is not installed."""
    path = find_weights("resemblyzer", "pretrained.pt", ENCODER)
    return SpeakerEncoder(path) if path else None


@functools.cache
def load_detector() -> SpeechDetector | None:
    """The speech detector; None where its package is not installed."""
    path = find_weights("silero_vad", "data/silero_vad_16k.safetensors", DETECTOR)
    return SpeechDetector(path) if path else None
