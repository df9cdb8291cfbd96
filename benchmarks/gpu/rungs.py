"""The rungs of the ladder from a bad model to a good one, each one change away from the one before.

Rung (a) is the setting that gave 4.66 dB: 800 fixed mixtures of two seconds, of 20 speakers, at
16 kHz and with the 8 kHz windows. The last, (h), goes on with the best of them.
"""

from dataclasses import dataclass, field
from typing import Any

RECIPE = "folder/ConvTasNet"
LAST = "h"
COMMON: dict[str, Any] = {
    "splits.by": "subset",
    "mixtures.n_dev": 200,
    "mixtures.n_test": 20,  # the ladder is scored on sets of its own
    "training.epochs": 100000,  # minutes decide
    "training.epoch_mixtures": 8000,
    "training.early_stop": 100000,
    "training.anneal_share": 0.25,
    "training.examples_every": 0,  # pictures would cost training time
    "training.seed": 0,
}
BEST = {
    "model.n_filters": 512,
    "model.kernel_size": 16,
    "model.stride": 8,
    "model.hid_chan": 512,
    "model.n_blocks": 8,
    "model.n_repeats": 3,
}


@dataclass(frozen=True)
class Rung:
    """One training.

    Attributes:
        name: a letter; also the experiment's tag.
        label: what changed.
        data: rungs with the same word share tables and packed audio.
        changes: config keys that differ from the rung before.
    """

    name: str
    label: str
    data: str
    changes: dict[str, Any] = field(default_factory=dict)


RUNGS = (
    Rung(
        *("a", "800 fixed 2-s mixtures of 20 speakers, small, 16 kHz", "few16"),
        {
            "audio.sample_rate": 16000,
            "audio.exact_pack": True,  # else the decoder of the files decides the speed
            "model.kernel_rate": 0,
            "splits.n_train_speakers": 20,
            "mixtures.n_train": 800,
            "mixtures.train_length_s": 2.0,
            "mixtures.train_level_by": "difference",
            "training.dynamic_mixing": False,
            "training.random_crop": False,
            "training.segment_s": 2.0,
            "training.batch_size": 8,
        },
    ),
    Rung("b", "the same at 8 kHz (field 1.28 s)", "few8", {"audio.sample_rate": 8000}),
    Rung("c", "dynamic mixing", "few8", {"training.dynamic_mixing": True}),
    Rung(
        *("d", "all speakers", "all8"),
        {"splits.n_train_speakers": 0, "mixtures.n_train": 0, "mixtures.train_length_s": 0.0},
    ),
    Rung("e", "4-s segments", "all8", {"training.segment_s": 4.0}),
    Rung(
        *("f", "speed 0.9 to 1.1", "all8"),
        {"training.speed_min": 0.9, "training.speed_max": 1.1},
    ),
    Rung("g", "the paper's best configuration", "all8", BEST),
)
NAMES = (*(rung.name for rung in RUNGS), LAST)
LAST_CHANGES = {"training.batch_size": 24, "training.lr": 0.0005}
TINY: dict[str, Any] = {
    "model.n_filters": 32,
    "model.bn_chan": 16,
    "model.hid_chan": 24,
    "model.skip_chan": 16,
    "model.n_blocks": 2,
    "model.n_repeats": 1,
    "mixtures.n_dev": 4,
    "mixtures.n_test": 2,
    "training.epochs": 10,
    "training.epoch_mixtures": 16,
    "training.segment_s": 1.0,
    "training.compile": "off",
}


def resolve_keys(name: str) -> dict[str, Any]:
    """Config keys of a rung (a) to (g): the common ones and all changes up to it."""
    keys = dict(COMMON)
    for rung in RUNGS:
        keys |= rung.changes
        if rung.name == name:
            return keys
    raise AssertionError(name)


def find_rung(name: str) -> Rung:
    """The rung (a) to (g) of that letter."""
    return next(rung for rung in RUNGS if rung.name == name)


def format_sets(keys: dict[str, Any]) -> list[str]:
    """``--set`` values in YAML's spelling."""
    return [f"{key}={str(value).lower() if value is True or value is False else value}"
            for key, value in keys.items()]  # fmt: skip
