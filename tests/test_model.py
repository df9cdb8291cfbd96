"""Fast forms, the checkpoint format, and what is refused as a checkpoint."""

import copy
import os
import pickle

import pytest
import torch

from separation.config import load_conf
from separation.errors import UserError
from separation.fast_layers import make_fast
from separation.model import build_model, import_asteroid, load_model, save_model
from tests.conftest import ROOT

SMALL = ["model.n_filters=32", "model.bn_chan=16", "model.hid_chan=24", "model.skip_chan=16"]


def make_model(*overrides: str, n_src: int = 2):
    torch.manual_seed(0)
    conf = load_conf(ROOT, "mini/ConvTasNet", [*SMALL, *overrides])
    return build_model(conf.model, n_src, 8000)


@pytest.mark.parametrize("n_src", [2, 3])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("n_samples", [8000, 4321])
def test_fast_form_gives_asteroids_outputs_and_gradients(n_src, causal, n_samples):
    overrides = ["model.causal=true", "model.norm_type=cLN"] if causal else []
    model = make_model(*overrides, n_src=n_src)
    peer = copy.deepcopy(model)
    fast = make_fast(model, fuse_depthwise=True)
    mixtures = torch.randn(2, n_samples)
    expected, ours = peer(mixtures), fast(mixtures)
    assert torch.allclose(ours, expected, atol=1e-5)
    weights = torch.randn_like(ours)
    (expected * weights).sum().backward()
    (ours * weights).sum().backward()
    for (name, mine), theirs in zip(model.named_parameters(), peer.parameters(), strict=True):
        if theirs.grad is None:  # the last block's residual goes nowhere
            assert mine.grad is None, name
            continue
        scale = theirs.grad.abs().max().clamp(min=1e-6)
        assert torch.allclose(mine.grad / scale, theirs.grad / scale, atol=2e-3), name


def test_saved_model_is_loaded_by_asteroid_itself(tmp_path):
    model = make_model().eval()
    path = tmp_path / "best_model.pth"
    save_model(model, path)
    mixtures = torch.randn(1, 8000)
    theirs = import_asteroid("models").BaseModel.from_pretrained(str(path)).eval()
    for loaded in (theirs, load_model(path), load_model(tmp_path)):
        assert torch.equal(loaded(mixtures), model(mixtures))


def test_file_with_asteroids_own_torch_version_loads(tmp_path):
    model = make_model()
    torch.save(model.serialize(), tmp_path / "model.pth")
    assert load_model(tmp_path / "model.pth").sample_rate == 8000


class _Trap:
    def __reduce__(self):
        return os.mkdir, ("sprung",)


@pytest.mark.parametrize("content", ["pickle", "text", "tensor"])
def test_what_is_no_checkpoint_is_refused(content, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "model.pth"
    if content == "pickle":
        path.write_bytes(pickle.dumps({"model_name": _Trap()}))
    elif content == "text":
        path.write_text("not a model")
    else:
        torch.save({"weights": torch.ones(3)}, path)
    with pytest.raises(UserError, match="not a checkpoint"):
        load_model(path)
    assert not (tmp_path / "sprung").exists()
