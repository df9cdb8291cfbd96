"""A causal model by blocks gives what it gives at once; one that looks ahead is refused."""

import pytest
import torch

from separation.config.load import load_conf
from separation.errors import UserError
from separation.models.registry import build_model
from separation.models.streaming import StreamingSeparator, find_lookahead
from tests.conftest import ROOT
from tests.support.small_models import build_small, list_small

CAUSAL = ["model.causal=true", "model.norm_type=cLN"]
CUMULATIVE = ["model.causal=true", "model.norm_type=cgLN"]
CASES = [
    ("ConvTasNet", CAUSAL),
    ("ConvTasNet", [*CUMULATIVE, "model.skip_chan=0", "model.mask_act=softmax"]),
    ("STFTMask", CUMULATIVE),
    ("LSTMTasNet", ["model.bidirectional=false"]),
]
RECIPE = "folder/STFTMask"


def build(name: str, overrides: list[str]) -> torch.nn.Module:
    torch.manual_seed(0)
    conf = load_conf(ROOT, RECIPE, [*list_small(name), *overrides])
    return build_model(conf.model, 2, 8000).eval()


def stream(model: torch.nn.Module, mixture: torch.Tensor, n_block: int) -> torch.Tensor:
    separator = StreamingSeparator(model)
    blocks = [separator.feed(block) for block in mixture.split(n_block)]
    return torch.cat([*blocks, separator.finish()], 1)


def assert_equal_to_offline(model: torch.nn.Module, n_samples: int, n_block: int) -> None:
    mixture = 0.1 * torch.randn(n_samples, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        offline = model(mixture[None])[0]
    found = stream(model, mixture, n_block)
    assert found.shape == offline.shape
    assert float((found - offline).abs().max() / offline.abs().max()) < 1e-5


@pytest.mark.parametrize(("name", "overrides"), CASES)
def test_streaming_equals_offline(name: str, overrides: list[str]) -> None:
    model = build(name, overrides)
    for n_samples, n_block in ((37, 1), (8000, 77), (8000, 800), (12345, 5003), (4001, 8001)):
        assert_equal_to_offline(model, n_samples, n_block)


@pytest.mark.parametrize("recipe", ["librimix/ConvTasNet/causal", "folder/ConvTasNet/causal"])
def test_streaming_equals_offline_at_full_size(recipe: str) -> None:
    torch.manual_seed(0)
    model = build_model(load_conf(ROOT, recipe, []).model, 2, 8000).eval()
    assert_equal_to_offline(model, 9003, 801)


def test_a_sample_is_given_when_its_window_is_there() -> None:
    separator = StreamingSeparator(build("ConvTasNet", CAUSAL))
    given = 0
    for taken in range(1, 200):
        given += separator.feed(torch.randn(1)).shape[1]
        assert taken - given < separator.window


@pytest.mark.parametrize(
    ("name", "overrides", "why"),
    [
        ("ConvTasNet", [], "convolutions reach into later frames"),
        ("LSTMTasNet", [], "over the whole recording"),
        ("LSTMTasNet", ["model.bidirectional=false", "model.mask_act=softmax"], "softmax"),
        ("DPRNNTasNet", [], "is a DPRNNTasNet, which works on the whole recording at once"),
    ],
)
def test_a_model_that_looks_ahead_is_refused(name: str, overrides: list[str], why: str) -> None:
    model = build(name, overrides) if overrides else build_small(name)
    assert why in find_lookahead(model)
    with pytest.raises(UserError, match=r"train a causal one: .*ConvTasNet/causal"):
        StreamingSeparator(model)
