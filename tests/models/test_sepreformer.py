"""SepReformer: the authors' outputs and sizes, its parts by their formulas, early estimates."""

import copy
import json
import math

import pytest
import torch

from separation.config.load import load_conf
from separation.models.architecture import find_training_pass
from separation.models.recompute import keep_buffers
from separation.models.registry import build_model
from separation.models.sepreformer_network import (
    FrameAttention,
    SepReformer,
    convolve,
    shift_rows,
)
from tests.conftest import ROOT
from tests.support.small_models import build_small

REFERENCE = ROOT / "tests" / "data" / "sepreformer_reference.json"
SIZES = {
    "n_filters": 24,
    "kernel_size": 16,
    "stride": 4,
    "bn_chan": 16,
    "n_stages": 2,
    "n_encoder_blocks": 2,
    "n_decoder_blocks": 3,
    "n_heads": 8,
    "conv_kernel_size": 65,
    "max_distance": 2000,
    "dropout": 0.05,
    "shared_split": True,
}


def fill_by_formula(model: torch.nn.Module) -> None:
    """Weights that need no generator of random numbers; no scale is near zero."""
    with torch.no_grad():
        for place, (name, value) in enumerate(model.state_dict().items()):
            if not value.is_floating_point():
                continue
            wave = torch.sin(torch.arange(value.numel()) * 0.37 * (1 + place % 7) + place)
            is_scale = name.endswith(("scale", "running_var")) or "norm" in name
            value.copy_((1 + 0.5 * wave if is_scale else 0.3 * wave).reshape(value.shape))


def make_wave(n_samples: int) -> torch.Tensor:
    """``(1, n_samples)``: a tone that rises, and another."""
    time = torch.arange(n_samples, dtype=torch.float64) / 8000
    wave = torch.sin(2 * math.pi * (200 + 900 * time) * time) + 0.5 * torch.sin(4000 * time)
    return 0.3 * wave.float()[None]


@pytest.mark.parametrize("case", json.loads(REFERENCE.read_text())["outputs"])
def test_outputs_are_those_of_the_authors_code(case):
    """Their network, run on the same weights, gave these samples; within 1e-4 of the largest."""
    model = SepReformer(case["n_src"], **SIZES).eval()
    fill_by_formula(model)
    with torch.no_grad():
        ours = model(make_wave(case["n_samples"]))[0, :, :: case["every"]]
    expected = torch.tensor(case["samples"])
    assert (ours - expected).abs().max() < 1e-4 * case["largest"]


@pytest.mark.parametrize(
    ("variant", "all_of_them", "millions"),
    [
        ("", 3_926_528, 3.7),
        ("/S", 4_786_176, 4.5),
        ("/B", 14_691_584, 14.2),
        ("/M", 17_977_344, 17.3),
        ("/L", 56_816_384, 55.2),
    ],
)
def test_sizes_are_the_papers(variant, all_of_them, millions):
    """All parameters as the authors' code counts them; the paper leaves early outputs out."""
    conf = load_conf(ROOT, f"librimix/SepReformer{variant}", [])
    with torch.device("meta"):
        model = build_model(conf.model, 2, 8000)
    sizes = {name: value.numel() for name, value in model.named_parameters()}
    assert sum(sizes.values()) == all_of_them
    late = sum(n for name, n in sizes.items() if not name.startswith("early_outputs."))
    assert late / 1e6 == pytest.approx(millions, abs=0.06)


def test_16_khz_has_as_many_frames_in_a_second():
    low, high = (
        load_conf(ROOT, "folder/SepReformer", [f"audio.sample_rate={rate}"]).model
        for rate in (8000, 16000)
    )
    assert (low.kernel_size, low.stride) == (16, 4)
    assert (high.kernel_size, high.stride) == (32, 8)


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (65, 1), (5, 2)])
def test_a_convolution_as_a_cpu_likes_it_is_that_convolution(kernel, stride):
    conv = torch.nn.Conv1d(8, 8, kernel, stride, kernel // 2, groups=8)
    x = torch.randn(2, 101, 8)
    assert torch.allclose(convolve(conv, x), conv(x.mT).mT, atol=1e-6)
    assert convolve(conv, x).is_contiguous()


@pytest.mark.parametrize("n", [1, 2, 5])
def test_scores_by_distance_become_scores_by_position(n):
    scores = torch.randn(3, n, 2 * n - 1)
    shifted = shift_rows(scores)
    for i in range(n):
        for j in range(n):
            assert torch.equal(shifted[:, i, j], scores[:, i, n - 1 - (i - j)])


def test_attention_is_its_formula():
    """softmax((q_i k_j + q_i p_{i-j}) / sqrt(size)) v_j, Shaw et al. 2018, distances cut off."""
    model = build_small("SepReformer").eval()
    n, layer = 7, FrameAttention(16, 4, 0.0).eval()
    torch.nn.init.ones_(layer.scale)
    table = torch.randn(2 * n - 1, 4)
    x = torch.randn(2, n, 16)
    query, key, value = (
        part.unflatten(-1, (4, 4)) for part in layer.inputs(layer.norm(x)).chunk(3, -1)
    )
    place = torch.tensor([[n - 1 - (i - j) for j in range(n)] for i in range(n)])
    scores = torch.einsum("bihd,bjhd->bhij", query, key)
    scores = scores + torch.einsum("bihd,ijd->bhij", query, table[place])
    heard = torch.einsum("bhij,bjhd->bihd", (scores / 2).softmax(-1), value)
    assert torch.allclose(layer(x, table), layer.output(heard.flatten(2)), atol=1e-5)
    far = model.look_up_distances(3000)
    assert torch.equal(far[0], far[1000]) and torch.equal(far[0], model.distances.weight[-1])
    assert not torch.equal(far[1000], far[1001]) and torch.equal(far[-1], model.distances.weight[0])


@pytest.mark.parametrize("n_samples", [1, 15, 16, 17, 999, 4321])
def test_any_length_goes_through(n_samples):
    model = build_small("SepReformer", 3).eval()
    wav = torch.randn(2, n_samples)
    with torch.no_grad():
        estimates = model(wav)
        assert torch.equal(model(wav[:, None]), estimates)
        everything = model.estimate_all(wav)
    assert estimates.shape == (2, 3, n_samples) and everything.shape == (3, 2, 3, n_samples)
    assert torch.allclose(everything[-1], estimates, atol=1e-6)
    assert estimates.isfinite().all()


def test_stages_run_again_give_the_same_gradients_and_running_means():
    """training.recompute, dropout included."""
    model = build_small("SepReformer")
    for part in model.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.1
    peer = copy.deepcopy(model)
    model.recomputes = True
    wav, saved = torch.randn(2, 2000), []
    for each in (model, peer):
        torch.manual_seed(1)
        kept: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda t, kept=kept: kept.append(t.nbytes) or t, lambda t: t
        ):
            loss = find_training_pass(each)(wav).square().sum()
        loss.backward()
        saved.append(sum(kept))
    assert saved[0] < 0.5 * saved[1]
    for (name, ours), theirs in zip(model.named_parameters(), peer.parameters(), strict=True):
        assert torch.equal(ours.grad, theirs.grad), name
    for (name, ours), theirs in zip(model.named_buffers(), peer.buffers(), strict=True):
        assert torch.equal(ours, theirs), name


def test_what_is_tried_leaves_running_means_alone():
    model = build_small("SepReformer")
    before = copy.deepcopy(model.state_dict())
    with keep_buffers(model):
        model(torch.randn(1, 2000))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    model(torch.randn(1, 2000))
    assert any(not torch.equal(value, before[name]) for name, value in model.state_dict().items())
