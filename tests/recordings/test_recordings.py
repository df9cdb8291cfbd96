import logging

import numpy as np
import pytest
import soundfile
import torch
from torch import nn

from separation.errors import UnscoredError
from separation.models import inference
from separation.recordings import chunks
from separation.recordings.files import separate_files
from separation.recordings.job import Settings
from tests.conftest import make_voice

CPU = torch.device("cpu")


class Halves(nn.Module):
    """Gives the mixture's low and high half, scaled and inverted: least squares puts it right."""

    sample_rate = 8000

    def forward(self, mixtures: torch.Tensor) -> torch.Tensor:
        late = torch.roll(mixtures, 1, dims=-1)
        return torch.stack([-0.01 * (mixtures - late), 3 * (mixtures + late)], dim=1)


@pytest.mark.parametrize(("rate", "suffix"), [(8000, "wav"), (44100, "flac"), (11025, "ogg")])
def test_outputs_have_the_rate_length_and_level_of_the_input(rate, suffix, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    voice = make_voice(1, 150, 2.03, rate)
    path = tmp_path / f"in.{suffix}"
    soundfile.write(path, voice, rate)
    outputs = separate_files(
        Settings(model=Halves(), device=CPU, out=tmp_path, mode="overlap"), [path]
    )
    samples = [soundfile.read(output) for output in outputs]
    mixture = soundfile.read(path)[0]
    assert [output.name for output in outputs] == ["in_s1.wav", "in_s2.wav"]
    assert all(r == rate and len(x) == len(mixture) for x, r in samples)
    level = np.std(sum(x for x, _ in samples)) / np.std(mixture)
    assert level == pytest.approx(1, abs=0.05)
    told = f"{path}: of {rate} Hz, resampled to the 8000 Hz of the model and back; the outputs hold"
    assert (told in caplog.text) == (rate != 8000)


def test_long_files_keep_their_speakers_across_chunks(monkeypatch):
    class Swapping(nn.Module):
        """Tells a low from a high tone, in an order that changes with every call."""

        calls = 0

        def forward(self, mixtures):
            self.calls += 1
            spectrum = torch.fft.rfft(mixtures)
            cut = int(1000 / 4000 * spectrum.shape[-1])
            low, high = spectrum.clone(), spectrum.clone()
            low[..., cut:], high[..., :cut] = 0, 0
            parts = [torch.fft.irfft(s, n=mixtures.shape[-1]) for s in (low, high)]
            return torch.stack(parts[:: -1 if self.calls % 2 else 1], dim=1)

    monkeypatch.setattr(chunks, "CHUNK_S", 2.0)
    monkeypatch.setattr(chunks, "OVERLAP_S", 0.5)
    time = np.arange(8 * 8000) / 8000
    tones = np.stack([np.sin(2 * np.pi * f * time) for f in (300, 2500)]).astype(np.float32)
    estimates = chunks.separate_long(Swapping(), tones.sum(axis=0), 8000, CPU)
    correlations = np.abs(np.corrcoef(np.concatenate([tones, estimates]))[:2, 2:])
    assert correlations.max(axis=1).min() > 0.98


def test_loud_outputs_do_not_clip():
    mixture = make_voice(2, 120, 1, 8000)
    mixture *= 0.999 / np.abs(mixture).max()
    estimates = np.stack(
        [mixture + 3 * make_voice(3, 200, 1, 8000), -3 * make_voice(3, 200, 1, 8000)]
    )
    assert np.abs(inference.match_level(mixture, estimates)).max() <= inference.PEAK_MAX + 1e-6


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros(8000), "silent"),
        (0.1 * np.ones(100), "too short"),
        (np.full(8000, np.nan), "NaN"),
    ],
)
def test_bad_inputs_are_named(samples, message, tmp_path):
    path = tmp_path / "bad.wav"
    soundfile.write(path, samples, 8000, "FLOAT")
    with pytest.raises(UnscoredError, match=message):
        separate_files(Settings(model=Halves(), device=CPU, out=tmp_path, mode="overlap"), [path])
