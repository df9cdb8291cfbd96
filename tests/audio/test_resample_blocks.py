import numpy as np
import pytest

from separation.audio import resample
from separation.audio.resample import resample_blocks
from tests.conftest import make_voice


@pytest.mark.parametrize("rates", [(48000, 8000), (8000, 48000), (44100, 8000), (8000, 11025)])
def test_blocks_give_what_the_whole_signal_gives(rates, monkeypatch):
    monkeypatch.setattr(resample, "RESAMPLE_BLOCK", 3000)
    signal = np.stack([make_voice(k, 100 + 50 * k, 2.13, rates[0]) for k in (1, 2)])
    whole = resample.resample(signal, *rates)
    for n_samples in (777, 50000):
        starts = range(0, signal.shape[1], n_samples)
        blocks = (signal[:, start : start + n_samples] for start in starts)
        joined = np.concatenate(list(resample_blocks(blocks, *rates)), axis=1)
        assert joined.shape == whole.shape and np.abs(joined - whole).max() < 1e-6
