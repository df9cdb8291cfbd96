"""Every architecture that a recipe can name, small; one of a new file is among them."""

import torch

from separation.config.load import load_conf
from separation.models.architecture import ModelConf
from separation.models.registry import build_model, list_models
from tests.conftest import ROOT

NAMES = list(list_models())
RECIPE = "folder/STFTMask"  # names a model and sets nothing else of it
SMALL = {
    "n_filters": 24,
    "kernel_size": 16,
    "stride": 8,
    "bn_chan": 16,
    "hid_chan": 24,
    "skip_chan": 16,
    "n_blocks": 3,
    "n_repeats": 1,
    "num_blocks": 2,
    "hid_size": 8,
    "chunk_size": 20,
    "hop_size": 10,
    "ff_hid": 8,
    "n_layers": 1,
    "n_stages": 2,
    "n_encoder_blocks": 1,
    "n_decoder_blocks": 1,
    "dropout": 0.0,
}


def list_small(name: str) -> list[str]:
    """Overrides that name an architecture and make it small, as far as it has such keys."""
    named = [f"model.name={name}"]
    keys = load_conf(ROOT, RECIPE, named).as_dict()["model"]
    small = dict(SMALL) if "stride" in keys else SMALL | {"kernel_size": 21}
    return named + [f"model.{key}={value}" for key, value in small.items() if key in keys]


def load_small(name: str) -> ModelConf:
    """The config of a small model at 8 kHz."""
    return load_conf(ROOT, RECIPE, list_small(name)).model


def build_small(name: str, n_src: int = 2) -> torch.nn.Module:
    """A small model at 8 kHz, always the same."""
    torch.manual_seed(0)
    return build_model(load_small(name), n_src, 8000)
