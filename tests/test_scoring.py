import mir_eval
import numpy as np
import pytest
from pb_bss_eval.evaluation.module_si_sdr import si_sdr as peer_si_sdr

from separation.errors import UserError
from separation.scoring import find_permutation, score_mixture, sdr_db, si_sdr_db
from tests.conftest import make_voice


def _pair(seed: int, n_samples: int = 12000) -> np.ndarray:
    voices = [make_voice(seed + k, 110 + 90 * k, n_samples / 8000, 8000) for k in range(2)]
    return np.stack(voices).astype(np.float64)


def test_orthogonal_noise_gives_the_ratio_of_energies():
    time = np.arange(8000)
    reference = np.sin(2 * np.pi * time * 100 / 8000)
    noise = 0.1 * np.sin(2 * np.pi * time * 300 / 8000)
    assert si_sdr_db(reference, 5 * (reference + noise)) == pytest.approx(20, abs=1e-9)


@pytest.mark.parametrize("noise", [0.0003, 0.03, 0.3, 3.0])
@pytest.mark.parametrize("kind", ["random", "voices"])
def test_sdr_agrees_with_mir_eval(noise, kind):
    generator = np.random.default_rng(1)
    references = generator.normal(size=(2, 9001)) if kind == "random" else _pair(3)
    estimates = (
        references + 0.2 * references[::-1] + noise * generator.normal(size=references.shape)
    )
    expected = mir_eval.separation.bss_eval_sources(references, estimates, False)[0]
    ours = [sdr_db(ref, est[None])[0] for ref, est in zip(references, estimates, strict=True)]
    assert np.allclose(ours, expected, atol=1e-3)


def test_si_sdr_agrees_with_pb_bss_eval_and_asteroid():
    import torch

    from separation.model import import_asteroid

    generator = np.random.default_rng(0)
    references = _pair(5) - _pair(5).mean(axis=1, keepdims=True)
    estimates = references + 0.1 * generator.normal(size=references.shape)
    estimates -= estimates.mean(axis=1, keepdims=True)
    ours = si_sdr_db(references, estimates)
    assert np.allclose(ours, peer_si_sdr(references, estimates), atol=1e-3)
    pairwise = import_asteroid("losses").pairwise_neg_sisdr(
        torch.from_numpy(estimates)[None], torch.from_numpy(references)[None]
    )
    assert np.allclose(ours, -np.diag(pairwise[0].numpy()), atol=1e-3)


def test_mixture_improves_nothing():
    references = _pair(7)
    mixture = references.sum(axis=0)
    record, _ = score_mixture(mixture, references, np.stack([mixture, mixture]))
    assert record["si_sdri"] == 0 and record["sdri"] == 0


def test_permutation_of_three_sources_is_found():
    references = np.random.default_rng(2).normal(size=(3, 4000))
    assert find_permutation(references, references[[2, 0, 1]]) == (1, 2, 0)


def test_silent_reference_and_nan_are_refused():
    references = _pair(9)
    mixture = references.sum(axis=0)
    with pytest.raises(UserError, match="silent"):
        score_mixture(mixture, references * [[1], [0]], references)
    with pytest.raises(UserError, match="NaN"):
        score_mixture(mixture, references, references * np.nan)
