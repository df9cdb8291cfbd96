"""Oracle masks: their definitions, noise, any number of sources."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy.signal import istft, stft

from separation.config.load import load_conf
from separation.evaluation.references import ORACLE_MASKS, find_noise, make_oracle_mask
from separation.metrics.score import si_sdr_db
from separation.mixtures.signals import Mixture
from separation.mixtures.table import parse_row
from separation.models.inference import multiply_exactly, separate_samples
from separation.models.precision import allow_tf32
from tests.conftest import ROOT, make_voice

RATE = 8000
CONF = load_conf(ROOT, "mini/ConvTasNet", []).evaluation  # windows of 32 ms, 8 ms apart


def make_mixture(n_src: int = 2, noise: float = 0.0, duration_s: float = 1.0) -> Mixture:
    """Voices and white noise, rounded to 16 bits each as WAV files hold them."""
    voices = [make_voice(7 + k, 100 + 70 * k, duration_s, RATE) for k in range(n_src)]
    added = noise * np.random.default_rng(0).normal(size=len(voices[0]))
    total = np.sum(voices, axis=0) / 2 + added
    rounded = [np.rint(v * 32768) / 32768 for v in (total, *(v / 2 for v in voices))]
    signals = np.array(rounded, np.float32)
    return Mixture(
        row=parse_row({"mixture_ID": "a"}),
        sample_rate=RATE,
        mixture=signals[0],
        sources=signals[1:],
    )


def test_ratio_mask_of_clean_mixtures_is_what_it_was():
    """The recorded results' oracle: magnitudes of the sources alone."""
    mixture = make_mixture()
    assert not np.array_equal(mixture.mixture, mixture.sources.sum(axis=0)), "rounding is there"
    settings = {"fs": RATE, "window": "hann", "nperseg": 256, "noverlap": 192}
    magnitudes = np.abs(stft(mixture.sources, **settings)[2])
    masks = magnitudes / np.maximum(magnitudes.sum(axis=0), 1e-12)
    masked = masks * stft(mixture.mixture, **settings)[2]
    expected = istft(masked, **settings)[1][:, : len(mixture.mixture)]
    assert np.array_equal(make_oracle_mask("irm", CONF, RATE)(mixture), expected)


@pytest.mark.parametrize("name", ORACLE_MASKS)
@pytest.mark.parametrize("n_src", [1, 2, 3])
@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_masks_improve_every_source_and_keep_the_axes(name, n_src, noise):
    mixture = make_mixture(n_src, noise)
    estimates = make_oracle_mask(name, CONF, RATE)(mixture)
    assert estimates.shape == mixture.sources.shape
    before = si_sdr_db(mixture.sources, mixture.mixture[None])
    after = si_sdr_db(mixture.sources, estimates)
    if n_src == 1 and not noise:  # nothing to remove: each mask is one
        assert np.allclose(estimates, mixture.mixture[None], atol=1e-5)
    else:
        assert (after > before + 3).all(), (before, after)


@pytest.mark.parametrize(("name", "total"), [("ibm", 1), ("irm", 1), ("wfm", 1)])
def test_masks_of_clean_sources_add_up_to_the_mixture(name, total):
    mixture = make_mixture(3)
    estimates = make_oracle_mask(name, CONF, RATE)(mixture)
    assert np.allclose(estimates.sum(axis=0), total * mixture.mixture, atol=1e-4)


def test_definitions_on_three_numbers():
    magnitudes = np.array([3.0, 1.0, 2.0])[:, None, None]
    expected: dict[str, list[float]] = {
        "ibm": [1, 0, 0],
        "irm": [1 / 2, 1 / 6, 1 / 3],
        "wfm": [9 / 14, 1 / 14, 4 / 14],
    }
    for name, mask in ORACLE_MASKS.items():
        assert np.allclose(mask(magnitudes)[:, 0, 0], expected[name])
        assert np.isfinite(mask(0 * magnitudes)).all()


def test_noise_enters_the_denominators():
    """Where the noise is the largest no source gets the bin, and estimates leave it out."""
    mixture = make_mixture(2, noise=0.05)
    assert find_noise(mixture).shape == (1, RATE) and find_noise(make_mixture()).shape == (0, RATE)
    for name in ORACLE_MASKS:
        left = mixture.mixture - make_oracle_mask(name, CONF, RATE)(mixture).sum(axis=0)
        noise = find_noise(mixture)[0]
        assert si_sdr_db(noise, left) > 0, name


@pytest.mark.parametrize("name", ORACLE_MASKS)
def test_a_mixture_shorter_than_a_window_and_a_silent_source(name):
    short = make_mixture(duration_s=0.01)
    assert make_oracle_mask(name, CONF, RATE)(short).shape == (2, 80)
    mixture = make_mixture()
    sources = mixture.sources * [[1], [0]]
    silent = dataclasses.replace(mixture, mixture=sources[0], sources=sources)
    assert np.isfinite(make_oracle_mask(name, CONF, RATE)(silent)).all()


def test_tf32_of_training_leaves_exact_scores_readable():
    """One switch: after torch.set_float32_matmul_precision, reading the precision raised here."""
    allowed = torch.backends.cuda.matmul.allow_tf32
    try:
        allow_tf32(torch.device("cuda"))
        assert torch.get_float32_matmul_precision() == "high"
        with multiply_exactly():
            assert torch.get_float32_matmul_precision() == "highest"
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.backends.cuda.matmul.allow_tf32 = allowed


def test_tf32_is_off_while_a_model_separates_and_as_it_was_afterwards():
    """PyTorch rounds convolutions to TF32 on a GPU, so scores differed from a CPU's."""
    backends, seen = (torch.backends.cuda.matmul, torch.backends.cudnn), []

    class Model(torch.nn.Module):
        def forward(self, batch):
            seen.append([backend.allow_tf32 for backend in backends])
            if len(seen) > 1:
                raise RuntimeError("no memory")
            return batch[:, None]

    before = [backend.allow_tf32 for backend in backends]
    try:
        for backend, allowed in zip(backends, (True, True), strict=True):
            backend.allow_tf32 = allowed
        samples, cpu = np.zeros(8, np.float32), torch.device("cpu")
        separate_samples(Model(), samples, cpu)
        with pytest.raises(RuntimeError, match="no memory"):
            separate_samples(Model(), samples, cpu)
        assert seen == [[False, False]] * 2
        assert [backend.allow_tf32 for backend in backends] == [True, True]
    finally:
        for backend, allowed in zip(backends, before, strict=True):
            backend.allow_tf32 = allowed
