"""A model at half its stride begins by computing what it computed."""

import pytest
import torch

from benchmarks.halve_stride import halve_stride, leave_out_channels, weigh_channels
from separation.models.asteroid import import_asteroid

SIZES = {"n_filters": 16, "kernel_size": 16, "stride": 8, "bn_chan": 12, "hid_chan": 10}
SIZES |= {"skip_chan": 8, "n_blocks": 2, "n_repeats": 2, "sample_rate": 8000, "n_src": 2}


def build(**changes) -> torch.nn.Module:
    torch.manual_seed(0)
    return import_asteroid("models").ConvTasNet(**SIZES | changes).eval()


@torch.no_grad()
def test_outputs_are_the_same_where_both_sequences_of_frames_are_alike():
    """Of a signal that repeats every half stride, and without zeros that a convolution sees."""
    model = build(conv_kernel_size=1)
    signal = torch.randn(4).repeat(100)[None]
    wider = halve_stride(model)
    assert (wider.encoder.filterbank.stride, len(wider.masker.TCN)) == (4, 6)
    expected, found = model(signal), wider(signal)
    expected = (expected + expected.roll(4, -1)) / 2  # frames of one sequence, and of the other
    inner = slice(16, 400 - 16)
    assert torch.allclose(found[..., inner], expected[..., inner], atol=1e-5)


@torch.no_grad()
def test_outputs_are_about_the_mean_of_two_shifts():
    model = build()
    signal = torch.randn(1, 4000)
    shifted = model(torch.nn.functional.pad(signal, (4, 0)))[..., 4:]
    mean = (model(signal) + shifted) / 2
    found = halve_stride(model)(signal)
    inner = slice(200, -200)
    error = (found - mean)[..., inner].square().sum() / mean[..., inner].square().sum()
    assert 10 * error.log10() < -15


@torch.no_grad()
def test_the_channels_that_add_least_are_left_out():
    model = build()
    for block in model.masker.TCN:
        for conv in (block.res_conv, block.skip_conv):
            conv.weight[:, 3] = conv.weight[:, 7] = 0
    importance = weigh_channels(model, [torch.randn(2000)])
    smaller = leave_out_channels(model, importance, 8)
    kept = [0, 1, 2, 4, 5, 6, 8, 9]
    for block, other in zip(model.masker.TCN, smaller.masker.TCN, strict=True):
        for place in (0, 3):
            assert torch.equal(
                other.shared_block[place].weight, block.shared_block[place].weight[kept]
            )
        assert torch.equal(other.res_conv.weight, block.res_conv.weight[:, kept])
        assert torch.equal(other.shared_block[5].gamma, block.shared_block[5].gamma[kept])
    assert smaller(torch.randn(1, 2000)).shape == (1, 2, 2000)


def test_a_stride_that_cannot_be_halved_is_refused():
    with pytest.raises(SystemExit, match="stride"):
        halve_stride(build(kernel_size=10, stride=5))
