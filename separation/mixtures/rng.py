"""Random numbers of an item: from (seed, split, item) alone."""

import zlib

import numpy as np


def make_generator(seed: int, split: str, index: int) -> np.random.Generator:
    """The generator of one item: nothing but (seed, split, index) decides what it draws."""
    return np.random.default_rng([seed, zlib.crc32(split.encode()), index])
