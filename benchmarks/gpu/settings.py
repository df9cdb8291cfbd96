"""Sizes of what is measured on a GPU: in full, or tiny (``--smoke``, ``--tiny``) on a CPU."""

from dataclasses import dataclass
from typing import Any

from separation.config.load import load_conf
from separation.config.schema import Conf
from separation.environment import ROOT

RECIPES = {
    "best": "librimix/ConvTasNet",
    "small": "librimix/ConvTasNet_small",
    "sepreformer": "librimix/SepReformer",
}
SIZES = {"n_filters": 16, "bn_chan": 8}
TINY = SIZES | {"hid_chan": 12, "skip_chan": 8, "n_blocks": 2, "n_repeats": 1}
TINY_SEPREFORMER = SIZES | {
    "n_stages": 2,
    "n_encoder_blocks": 1,
    "n_decoder_blocks": 1,
    "n_heads": 2,
    "conv_kernel_size": 5,
    "max_distance": 20,
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Sizes of everything; the full ones are Asteroid's recipe's where it has one."""

    smoke: bool = False
    batch: int = 24
    sepreformer_batch: int = 8
    segment_s: float = 3.0
    seed: int = 0  # of weights and batches
    warm_up: int = 5
    repeats: int = 5
    repeat_s: float = 0.5  # each repeat has as many steps as fit
    bandwidth_bytes: int = 1 << 30
    profiled_steps: int = 3
    validated: int = 40  # dev mixtures

    def choose_batch(self, name: str) -> int:
        return self.sepreformer_batch if name == "sepreformer" else self.batch

    def load_conf(self, name: str, batch: int = 0) -> Conf:
        """A configuration of :data:`RECIPES` with these sizes, and Asteroid's rate and clip."""
        sets: dict[str, Any] = {
            "training.batch_size": batch or self.choose_batch(name),
            "training.segment_s": self.segment_s,
            "training.lr": 1e-3,
            "training.clip": 5.0,
            "training.num_workers": 0,
        }
        if self.smoke:
            tiny = TINY_SEPREFORMER if name == "sepreformer" else TINY
            sets |= {f"model.{key}": value for key, value in tiny.items()}
            # The compiler's minutes are the GPU's; here the same code runs what it traces.
            sets["training.compile"] = "off"
        return load_conf(ROOT, RECIPES[name], [f"{key}={value}" for key, value in sets.items()])


FULL = Settings()
SMOKE = Settings(
    smoke=True,
    batch=2,
    sepreformer_batch=2,
    segment_s=0.25,
    warm_up=1,
    repeats=2,
    repeat_s=0.01,
    bandwidth_bytes=1 << 22,
    profiled_steps=1,
    validated=3,
)
