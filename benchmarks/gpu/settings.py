"""What the throughput benchmark runs at: in full on a GPU, or tiny (``--smoke``)."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from separation.config.load import load_conf
from separation.config.schema import Conf

ROOT = Path(__file__).resolve().parents[2]
RECIPES = {"best": "librimix/ConvTasNet", "small": "librimix/ConvTasNet_small"}
SEPREFORMER = "librimix/SepReformer"
TINY = {
    "n_filters": 16,
    "bn_chan": 8,
    "hid_chan": 12,
    "skip_chan": 8,
    "n_blocks": 2,
    "n_repeats": 1,
}
TINY_SEPREFORMER = {
    "n_filters": 16,
    "bn_chan": 8,
    "n_stages": 2,
    "n_encoder_blocks": 1,
    "n_decoder_blocks": 1,
    "n_heads": 2,
    "conv_kernel_size": 5,
    "max_distance": 20,
}


@dataclass(frozen=True)
class Settings:
    """Sizes of everything; the full ones are Asteroid's recipe's where it has one."""

    smoke: bool = False
    batch: int = 24
    sepreformer_batch: int = 8
    segment_s: float = 3.0
    sample_rate: int = 8000
    seed: int = 0  # of weights and batches
    learning_rate: float = 1e-3
    clip: float = 5.0
    warm_up: int = 5
    repeats: int = 5
    repeat_s: float = 0.5  # each repeat has as many steps as fit
    n_buffers: int = 4  # different batches in turn, so that no cache holds the input
    bandwidth_bytes: int = 1 << 30
    growth: tuple[int, ...] = (2, 4, 8)  # times the batch, in search of the largest that pays
    pays: float = 1.03  # audio a second over that of the batch before
    n_speakers: int = 40
    n_utterances: int = 12
    utterance_s: float = 5.0
    profiled_steps: int = 3
    validated: int = 40  # dev mixtures
    confs: dict[str, Conf] = field(default_factory=dict)

    @property
    def n_samples(self) -> int:
        return round(self.segment_s * self.sample_rate)


def load_settings(*, smoke: bool) -> Settings:
    """Full sizes, or those of ``--smoke``: the same cases within seconds on a CPU."""
    settings = Settings()
    if smoke:
        settings = Settings(
            *(True, 2, 2, 0.25),
            warm_up=1, repeats=2, repeat_s=0.01, n_buffers=2, bandwidth_bytes=1 << 22,
            growth=(2,), n_speakers=8, n_utterances=3, utterance_s=1.5, profiled_steps=1,
            validated=3,
        )  # fmt: skip
    confs = {name: _load(recipe, settings, TINY) for name, recipe in RECIPES.items()}
    confs["sepreformer"] = _load(SEPREFORMER, settings, TINY_SEPREFORMER)
    return dataclasses.replace(settings, confs=confs)


def _load(recipe: str, settings: Settings, tiny: dict[str, int]) -> Conf:
    sets: dict[str, Any] = {
        "training.batch_size": settings.batch,
        "training.segment_s": settings.segment_s,
        "training.lr": settings.learning_rate,
        "training.clip": settings.clip,
    }
    if settings.smoke:
        sets |= {f"model.{name}": value for name, value in tiny.items()}
        # The compiler's minutes are the GPU's; here the same code runs what it traces.
        sets["training.compile"] = "off"
    return load_conf(ROOT, recipe, [f"{key}={value}" for key, value in sets.items()])
