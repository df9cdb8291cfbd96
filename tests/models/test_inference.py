"""Mixtures separated together get what they get alone; without gradients it is Asteroid's model."""

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from separation.config.load import load_conf
from separation.config.recipes import list_recipes
from separation.metrics.score import find_permutation, si_sdr_db
from separation.models import shipped
from separation.models.asteroid import import_asteroid
from separation.models.checkpoint.load import open_model
from separation.models.fast.time_major import find_obstacle
from separation.models.inference import JOINED_ITEMS, Separator, find_factors
from separation.models.registry import build_model
from tests.conftest import ROOT
from tests.support.mixture_folders import make_sources
from tests.support.small_models import NAMES, build_small

CPU = torch.device("cpu")
LENGTHS = [1600, 1601, 2403, 900, 2403, 16, 1007]  # the shortest is one frame
SIZES = {"n_filters": 24, "kernel_size": 16, "stride": 8, "bn_chan": 16, "hid_chan": 24}
SIZES |= {"skip_chan": 16, "n_blocks": 6, "n_repeats": 1, "sample_rate": 8000}


def build(n_src: int = 2, **changes) -> torch.nn.Module:
    torch.manual_seed(0)
    model = import_asteroid("models").ConvTasNet(n_src=n_src, **SIZES | changes)
    return shake(model)


def shake(model: torch.nn.Module) -> torch.nn.Module:
    """Norms and slopes that are no longer what they begin as."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model.eval()


def pretend_gpu(model: torch.nn.Module, **options) -> Separator:
    """A separator that groups as on a GPU."""
    separator = Separator(model, CPU, **options)
    separator.is_on_gpu = True
    return separator


def make_mixtures(lengths) -> list[torch.Tensor]:
    torch.manual_seed(1)
    return [torch.randn(length) for length in lengths]


@torch.no_grad()
def compare(model: torch.nn.Module, separator: Separator, lengths=LENGTHS) -> float:
    """The largest difference to one by one, relative to the largest output."""
    mixtures = make_mixtures(lengths)
    found = separator.separate(mixtures)
    differences = []
    for mixture, ours in zip(mixtures, found, strict=True):
        alone = model(mixture[None])[0]
        assert ours.shape == alone.shape and ours.dtype == torch.float32
        differences.append(float((ours - alone).abs().max() / alone.abs().max()))
    return max(differences)


@pytest.mark.parametrize(
    "changes",
    [{}, {"skip_chan": 0}, {"n_src": 3, "mask_act": "softmax"}, {"kernel_size": 20, "stride": 8},
     {"mask_act": "sigmoid", "encoder_activation": "sigmoid"}, {"conv_kernel_size": 5}],
)  # fmt: skip
def test_unlike_lengths_together_are_each_alone(changes):
    model = build(**changes)
    lengths = [max(length, SIZES["kernel_size"] + 4) for length in LENGTHS]
    together, alone = pretend_gpu(model), Separator(model, CPU)
    assert together.joined is not None
    assert compare(model, together, lengths) < 1e-5
    assert compare(model, alone, lengths) < 1e-5


@pytest.mark.parametrize("recipe", [name for name in list_recipes(ROOT) if "mini" in name])
def test_shipped_configuration_of_full_size(recipe):
    conf = load_conf(ROOT, recipe, [])
    torch.manual_seed(0)
    model = shake(build_model(conf.model, conf.mixtures.n_src, conf.audio.sample_rate))
    assert compare(model, pretend_gpu(model), [8000, 9999, 8001]) < 1e-5


@pytest.mark.parametrize("name", NAMES)
def test_every_architecture_gets_what_it_gets_alone(name):
    model = shake(build_small(name))
    together = pretend_gpu(model)
    assert (together.joined is None) == bool(find_obstacle(model))
    assert compare(model, together, [1600, 2403, 1600, 2403, 1700]) < 1e-5


@pytest.mark.parametrize("changes", [{"causal": True, "norm_type": "cLN"}, {"norm_type": "bN"}])
def test_what_cannot_be_joined_runs_at_equal_lengths(changes):
    model, seen = build(**changes), []

    def plain(batch: torch.Tensor) -> torch.Tensor:
        seen.append(tuple(batch.shape))
        return model(batch)

    assert compare(model, pretend_gpu(model, plain=plain)) < 1e-5
    assert seen == [(2, 2403), (1, 1601), (1, 1600), (1, 1007), (1, 900), (1, 16)]


def test_weights_are_read_anew_and_norms_can_stay_asteroids():
    model = build()
    separator = Separator(model, CPU)
    assert compare(model, separator) < 1e-5
    shake(model)
    assert compare(model, separator) < 1e-5
    assert Separator(model, CPU, may_join=False).joined is None


class Operations(TorchDispatchMode):
    """Names of what is computed."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.add(func.name())
        return func(*args, **(kwargs or {}))


def test_no_convolution_asks_cudnn_for_a_plan_of_each_length():
    """Bug: 3,000 lengths times seven layers were more plans than cuDNN's cache holds."""
    with torch.no_grad(), Operations() as seen:
        pretend_gpu(build()).separate(make_mixtures(LENGTHS))
    assert "aten::baddbmm_" in seen.names
    assert not [name for name in seen.names if "conv" in name or "group_norm" in name]


def test_without_memory_fewer_go_through():
    model, seen = build(), []
    separator = pretend_gpu(model)
    joined = separator.joined

    def run(batch: torch.Tensor, lengths: list[int]) -> torch.Tensor:
        seen.append(len(batch))
        if len(batch) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return joined(batch, lengths)

    separator.joined = run
    assert compare(model, separator, [1000 + k for k in range(JOINED_ITEMS + 4)]) < 1e-5
    assert (
        seen[:5] == [JOINED_ITEMS, JOINED_ITEMS // 2, 4, 2, 2] and sum(n <= 2 for n in seen) == 10
    )


def test_one_too_short_raises_what_the_model_raises():
    with pytest.raises(RuntimeError, match=r"[Kk]ernel size"):
        Separator(build(), CPU).separate([torch.randn(9)])


@torch.no_grad()
def test_bf16_moves_scores_of_a_trained_model_by_less_than_a_hundredth_of_a_decibel():
    """Dev scores where training runs in bf16 on a CPU; no other score is made so."""
    model = open_model(shipped.NAME).model.eval()
    sources = [make_sources(number, 2, 8000, 2.0) for number in range(6)]
    mixtures = [torch.from_numpy(voices.sum(0)) for voices in sources]
    scores = []
    for bf16 in (False, True):
        found = Separator(model, CPU, bf16=bf16).separate(mixtures)
        pairs = zip(sources, found, strict=True)
        scores.append([si_sdr_best(voices, estimates.numpy()) for voices, estimates in pairs])
    exact, narrow = map(np.array, scores)
    assert 0 < np.abs(narrow - exact).max() < 0.05
    assert abs(narrow.mean() - exact.mean()) < 0.01


def si_sdr_best(references: np.ndarray, estimates: np.ndarray) -> float:
    """Mean SI-SDR in dB of the best permutation."""
    order = list(find_permutation(references, estimates))
    return float(si_sdr_db(references, estimates[order]).mean())


@pytest.mark.parametrize("sign", [1, -1])
def test_outputs_that_are_alike_are_neither_blown_up_nor_inverted(sign):
    """Least squares took one 22 times and the other -20 times."""
    rng = np.random.default_rng(0)
    voice, noise = rng.standard_normal((2, 8000))
    mixture = voice + 0.3 * noise
    estimates = sign * np.stack([voice, voice + 0.01 * noise])
    gram, products = estimates @ estimates.T, estimates @ mixture
    plain = np.linalg.lstsq(gram, products, rcond=None)[0]
    factors = find_factors(gram, products, mixture @ mixture)
    assert np.abs(plain).max() > 20 and np.abs(factors).max() < 1
    for estimate, factor in zip(estimates, factors, strict=True):
        assert factor * (estimate @ mixture) > 0
        assert np.square(factor * estimate).sum() <= mixture @ mixture
    total = factors @ estimates
    assert np.square(mixture - total).sum() < 0.15 * mixture @ mixture


def test_factors_of_unlike_outputs_are_least_squares_with_either_sign():
    rng = np.random.default_rng(1)
    sources = rng.standard_normal((2, 8000))
    estimates = np.stack([-0.01 * sources[0], 3 * sources[1]])
    mixture = sources.sum(axis=0)
    gram, products = estimates @ estimates.T, estimates @ mixture
    factors = find_factors(gram, products, mixture @ mixture)
    assert factors == pytest.approx([-100, 1 / 3], rel=1e-6)
