"""Layers with gradients written out, without a compiler: those of PyTorch, whatever the shape."""

import pytest
import torch
from torch import nn

from separation.models.asteroid import import_asteroid
from separation.models.fast.eager import LeakyPReLU, TappedConv, keeps_length
from separation.models.fast.layers import FastForm, make_fast


def run(layer: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    """Output, then gradients of input and parameters, of a sum that weighs all outputs apart."""
    layer.zero_grad()
    x = x.clone().requires_grad_()
    output = layer(x)
    weights = torch.linspace(-1, 2, output.numel(), dtype=x.dtype).view_as(output)
    (output * weights).sum().backward()
    return [output.detach(), x.grad, *(own.grad.clone() for own in layer.parameters())]


def assert_alike(layer: nn.Module, ours: nn.Module, x: torch.Tensor) -> None:
    for theirs, found in zip(run(layer, x), run(ours, x), strict=True):
        assert theirs.shape == found.shape
        assert torch.allclose(theirs, found, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("slope", [0.25, 0.0, -0.3, 1.7])
def test_the_prelu(slope):
    layer = nn.PReLU(init=slope).double()
    assert_alike(layer, LeakyPReLU(layer), torch.randn(2, 3, 50, dtype=torch.float64))


@pytest.mark.parametrize(("taps", "dilation"), [(3, 1), (3, 8), (5, 4), (1, 1), (3, 64)])
@pytest.mark.parametrize("batch", [1, 3])
def test_the_depthwise_convolution(taps, dilation, batch):
    """Of 40 frames, which the largest dilation looks beyond."""
    padding = (taps - 1) * dilation // 2
    layer = nn.Conv1d(6, 6, taps, padding=padding, dilation=dilation, groups=6).double()
    assert keeps_length(layer)
    assert_alike(layer, TappedConv(layer), torch.randn(batch, 6, 40, dtype=torch.float64))


@pytest.mark.parametrize(
    "changes",
    [{"padding": 0}, {"groups": 1}, {"bias": False}, {"stride": 2}, {"kernel_size": 4},
     {"padding_mode": "reflect"}, {"out_channels": 12}, {"padding": "same"}],
)  # fmt: skip
def test_other_convolutions_stay(changes):
    sizes = {"in_channels": 6, "out_channels": 6, "kernel_size": 3, "padding": 1, "groups": 6}
    assert not keeps_length(nn.Conv1d(**sizes | changes))


@pytest.mark.parametrize("changes", [{}, {"skip_chan": 0}, {"norm_type": "cLN", "causal": True}])
def test_the_whole_model(changes):
    torch.manual_seed(0)
    sizes = {"n_filters": 16, "kernel_size": 16, "stride": 8, "bn_chan": 12, "hid_chan": 12}
    sizes |= {"skip_chan": 8, "n_blocks": 3, "n_repeats": 2, "sample_rate": 8000} | changes
    model = import_asteroid("models").ConvTasNet(n_src=2, **sizes).double()
    fast = make_fast(model, FastForm(eager=True))
    assert sum(isinstance(part, LeakyPReLU) for part in fast.modules()) == 13
    n_tapped = sum(isinstance(part, TappedConv) for part in fast.modules())
    assert n_tapped == (0 if "causal" in changes else 6)
    x = torch.randn(2, 700, dtype=torch.float64)
    results = []
    for form in (model, fast):
        model.zero_grad()
        form(x).square().sum().log().backward()
        results.append([own.grad.clone() for own in model.parameters() if own.grad is not None])
    for theirs, found in zip(*results, strict=True):
        assert torch.allclose(theirs, found, rtol=1e-7, atol=1e-9)
