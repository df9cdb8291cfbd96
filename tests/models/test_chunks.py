"""Chunks of a long signal are joined in one order, and it is known how clear that order was."""

import numpy as np
import pytest

from separation.models.chunks import Joiner, find_order, separate_in_chunks

RNG = np.random.default_rng(0)


def test_the_lead_of_an_order_is_at_most_one():
    """A loud and a faint voice in the other order had a lead of 5."""
    tail = RNG.standard_normal((2, 800)) * [[10], [1]]
    order, lead = find_order(tail, tail[::-1])
    assert order.tolist() == [1, 0] and lead == pytest.approx(1, abs=0.05) and lead <= 1
    assert find_order(np.zeros((2, 800)), tail)[1] == 0
    assert find_order(tail, -tail)[1] <= 1


def test_both_ways_of_joining_are_one():
    signals = RNG.standard_normal((2, 1000)).astype(np.float32)
    calls = iter(range(100))

    def separate(piece: np.ndarray) -> np.ndarray:
        start = 150 * next(calls)
        part = signals[:, start : start + len(piece)]
        return part[:: -1 if start % 300 else 1]

    joined = separate_in_chunks(separate, signals.sum(axis=0), 200, 50)
    joiner = Joiner(overlap=50)
    starts = range(0, 950, 150)
    blocks = [
        joiner.add(signals[:, s : s + 200][:: -1 if s % 300 else 1], is_last=s == starts[-1])
        for s in starts
    ]
    assert np.array_equal(joined, np.concatenate(blocks, axis=1))
    assert np.allclose(joined, signals, atol=1e-6) and min(joiner.leads) > 0.7
