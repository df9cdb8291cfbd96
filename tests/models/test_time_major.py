"""The (batch, time, channels) form of Conv-TasNet: equal to Asteroid's, in float32 and bfloat16."""

import copy

import pytest
import torch

from separation.models.asteroid import import_asteroid
from separation.models.fast import time_major
from separation.models.fast.block_middle import Dilated, MixedFrames, mix_frames
from separation.models.fast.block_operations import MixedByKernels
from separation.models.fast.layers import FastForm, make_fast
from separation.models.fast.time_major import TimeMajorConvTasNet, find_obstacle
from tests.models.test_model import compare_gradients

SMALL = {"n_filters": 32, "bn_chan": 16, "hid_chan": 24, "skip_chan": 16} | {
    "n_blocks": 3,
    "n_repeats": 2,
}
VARIANTS = {
    "plain": {},
    "without skips": {"skip_chan": 0},
    "softmax of three": {"n_src": 3, "mask_act": "softmax"},
    "a quarter's stride": {"kernel_size": 20, "stride": 5},
    "uneven overlap": {"kernel_size": 15, "stride": 8, "conv_kernel_size": 5},
    "no overlap": {"kernel_size": 16, "stride": 16},
    "activations": {"mask_act": "prelu", "encoder_activation": "relu"},
}
WRITTEN = pytest.mark.parametrize("written", [False, True, "by operations"])


def make_form(model, written):
    """``by operations``: those that are Triton's kernels on CUDA and formulas here."""
    fast = make_fast(
        model, FastForm(layout="btc", gradients=bool(written), kernels=written == "by operations")
    )
    assert isinstance(fast, TimeMajorConvTasNet)
    return fast


@pytest.fixture(autouse=True)
def operations(request, monkeypatch):
    """As if there were Triton, for those that ask for it."""
    chosen = getattr(request.node, "callspec", None)
    if chosen and chosen.params.get("written") == "by operations":
        monkeypatch.setattr(time_major, "has_kernels", lambda device: True)


def make_model(**changes):
    """Small, its one-dimensional parameters moved away from 0 and 1."""
    torch.manual_seed(1)
    arguments = {"n_src": 2, "mask_act": "sigmoid"} | SMALL | changes
    model = import_asteroid("models").ConvTasNet(**arguments)
    for parameter in model.parameters():
        if parameter.ndim == 1:
            parameter.data += 0.1 * torch.randn_like(parameter)
    return model


def run(model, mixtures, weights) -> torch.Tensor:
    """Outputs; the gradients of a weighted sum of them are left in the parameters."""
    estimates = model(mixtures).float()
    (estimates * weights).sum().backward()
    return estimates.detach()


@WRITTEN
@pytest.mark.parametrize("variant", list(VARIANTS))
@pytest.mark.parametrize("n_samples", [4000, 4321])
def test_time_major_equals_asteroids(variant, n_samples, written):
    """Float32 within 1e-5 of the largest output, all gradients within 1e-3 of their norm; bf16
    no further from float32 than 1.2 times Asteroid's own bf16."""
    model = make_model(**VARIANTS[variant])
    peer = copy.deepcopy(model)
    fast = make_form(model, written)
    mixtures = torch.randn(3, n_samples)
    weights = torch.randn(3, model.masker.n_src, n_samples)
    expected, ours = run(peer, mixtures, weights), run(fast, mixtures, weights)
    assert (ours - expected).abs().max() < 1e-5 * expected.abs().max()
    for (name, mine), theirs in zip(model.named_parameters(), peer.parameters(), strict=True):
        assert (mine.grad is None) == (theirs.grad is None), name
    assert compare_gradients(model, peer) < 1e-3
    narrow = copy.deepcopy(peer)
    model.zero_grad()
    narrow.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        ours, stock = run(fast, mixtures, weights), run(narrow, mixtures, weights)
    assert (ours - expected).norm() < 1.2 * (stock - expected).norm()
    assert compare_gradients(model, peer) < 1.2 * compare_gradients(narrow, peer)


def test_any_shape_of_waveform_as_asteroids():
    model = make_model()
    fast = make_fast(model, FastForm(layout="btc"))
    for shape in [(4000,), (2, 4000), (2, 1, 4000)]:
        mixtures = torch.randn(shape)
        expected = model(mixtures)
        assert fast(mixtures).shape == expected.shape
        assert torch.allclose(fast(mixtures), expected, atol=1e-5)


@WRITTEN
def test_silence_gives_no_nan(written):
    fast = make_form(make_model(), written)
    estimates = run(fast, torch.zeros(1, 1000), torch.ones(1, 2, 1000))
    assert estimates.isfinite().all()
    gradients = [p.grad for p in fast.parameters() if p.grad is not None]
    assert all(grad.isfinite().all() for grad in gradients)


@pytest.mark.parametrize("place", [Dilated(1, 1), Dilated(4, 4), Dilated(8, 4), Dilated(0, 3)])
def test_written_gradients_are_those_of_the_formulas(place):
    """Finite differences in float64, and autograd's of the same formulas."""
    torch.manual_seed(0)
    shapes = [(2, 13, 3), (1,), (3,), (3,), (3, 1, 3), (3,), (1,)]
    values = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    assert torch.autograd.gradcheck(
        lambda *given: MixedFrames.apply(*given, place)[:3], values, atol=1e-4
    )
    short = values[0][:, :9].detach().requires_grad_(True)
    added = torch.randn(3, dtype=torch.float64, requires_grad=True)
    if 2 * place.padding == 2 * place.dilation:
        assert torch.autograd.gradcheck(
            lambda *given: MixedByKernels.apply(*given, place)[:3],
            (short, added, *values[1:]),
            atol=1e-4,
        )
    hidden, slope, gamma, beta, weight, bias, last = values
    theirs = mix_frames(hidden, (slope, last), (gamma, beta), (weight, bias), place)[0]
    assert torch.allclose(MixedFrames.apply(*values, place)[0], theirs)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"causal": True, "norm_type": "cLN"}, "causal"),
        ({"norm_type": "cgLN"}, "cgLN"),
        ({"fb_name": "analytic_free"}, "free"),
        ({"encoder_activation": "softmax"}, "Softmax"),
    ],
)
def test_other_models_keep_their_layout(changes, named):
    model = make_model(**changes)
    assert named in find_obstacle(model)
    fast = make_fast(model, FastForm(layout="btc"))
    assert type(fast) is type(model)
    assert fast(torch.randn(1, 2000)).shape == (1, 2, 2000)


@WRITTEN
def test_compiled_as_one_graph(written):
    """No graph break, forward and backward, under bf16 autocast."""
    model = make_model()
    fast = make_form(model, written)
    torch._dynamo.reset()
    compiled = torch.compile(fast, dynamic=False, fullgraph=True, backend="aot_eager")
    mixtures, weights = torch.randn(2, 2000), torch.randn(2, 2, 2000)
    with torch.autocast("cpu", torch.bfloat16):
        ours = run(compiled, mixtures, weights)
    gradients = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    model.zero_grad()
    expected = run(model, mixtures, weights)
    assert (ours - expected).norm() < 0.05 * expected.norm()
    kept = [p.grad for p in model.parameters() if p.grad is not None]
    assert len(kept) == len(gradients)
