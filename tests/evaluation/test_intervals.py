"""Intervals, paired tests and their corner cases, against what is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import bootstrap, permutation_test

from separation.evaluation.intervals import (
    MeanInterval,
    compare_paired,
    flip_signs,
    mean_interval,
    pick_values,
    speaker_interval,
)
from separation.evaluation.score_rows import ScoreRow

numbers = st.floats(-200, 200, allow_nan=False)


def make_rows(values, **columns) -> list[ScoreRow]:
    return [
        ScoreRow(
            mixture_id=f"m{k:03d}",
            values={"si_sdri": float(value)},
            **{name: own[k] for name, own in columns.items()},
        )
        for k, value in enumerate(values)
    ]


def test_interval_holds_the_mean_as_often_as_it_says():
    """Of normal data with n = 40 a percentile interval covers 94 % (its docstring)."""
    generator = np.random.default_rng(5)
    trials = [mean_interval(generator.normal(3, 2, 40), n_draws=400) for _ in range(400)]
    covered = np.mean([own.low <= 3 <= own.high for own in trials])
    assert 0.90 <= covered <= 0.975  # three standard errors of 400 trials about 0.94
    widths = [own.high - own.low for own in trials]
    assert np.mean(widths) == pytest.approx(2 * 1.96 * 2 / np.sqrt(40), rel=0.05)


def test_interval_is_scipys_and_seeded():
    values = np.random.default_rng(1).gamma(2, size=300)
    peer = bootstrap((values,), np.mean, n_resamples=1000, method="percentile", rng=0)
    ours = mean_interval(values)
    assert (ours.low, ours.high) == pytest.approx(tuple(peer.confidence_interval))
    assert ours == mean_interval(values)


def test_interval_of_one_of_none_and_of_equal_values():
    assert mean_interval([]) == MeanInterval(0, None, None, None)
    assert mean_interval([4.5]) == MeanInterval(1, 4.5, None, None)
    assert mean_interval([2.0] * 7) == MeanInterval(7, 2.0, 2.0, 2.0)
    assert mean_interval([4.5]).as_dict() == {"mean": 4.5, "low": None, "high": None, "n": 1}


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_never_gets_into_a_mean(bad):
    with pytest.raises(ValueError, match="not finite"):
        mean_interval([1.0, bad])
    with pytest.raises(ValueError, match="mixture m001: si_sdri is"):
        pick_values(make_rows([1.0, bad]), "si_sdri")
    with pytest.raises(ValueError, match="m001"):
        compare_paired(make_rows([1.0, 2.0]), make_rows([1.0, bad]), "si_sdri")


def test_rows_without_scores_are_left_out():
    rows = [*make_rows([1.0]), ScoreRow(mixture_id="y")]
    assert pick_values(rows, "si_sdri") == {"m000": 1.0}


@settings(deadline=None, max_examples=40)
@given(arrays(np.float64, st.integers(2, 30), elements=numbers))
def test_interval_lies_within_the_values_about_the_mean(values):
    own = mean_interval(values, n_draws=200)
    slack = 1e-9 * (1 + np.abs(values).max())
    assert values.min() - slack <= own.low <= own.high + slack
    assert own.high <= values.max() + slack
    assert own.mean == pytest.approx(values.mean())


def test_speaker_interval_is_the_wider_where_speakers_differ():
    """Six voices of their own difficulty, 90 mixtures: it is the voices that vary."""
    generator = np.random.default_rng(3)
    first, second = generator.integers(6, size=90), generator.integers(1, 6, size=90)
    second = (first + second) % 6
    level = np.array([0, 2, 4, 6, 8, 10.0])
    values = (level[first] + level[second]) / 2 + generator.normal(0, 0.1, 90)
    rows = make_rows(values, speakers=list(zip(first.astype(str), second.astype(str), strict=True)))
    by_mixture, by_speaker = mean_interval(values), speaker_interval(rows, "si_sdri")
    assert by_speaker.n == 6 and by_speaker.mean == pytest.approx(by_mixture.mean)
    assert by_speaker.high - by_speaker.low > 2 * (by_mixture.high - by_mixture.low)


def test_a_mixture_that_a_list_repeats_counts_once():
    """As wsj0-mix's lists do; the mean counts it once, and so does the interval."""
    pairs = [("a", "b"), ("b", "c"), ("c", "d"), ("d", "a")]
    rows = [
        ScoreRow(mixture_id=f"m{n}", speakers=pair, values={"si_sdri": float(n)})
        for n, pair in enumerate(pairs)
    ]
    assert speaker_interval([*rows, rows[1]], "si_sdri") == speaker_interval(rows, "si_sdri")


def test_speaker_interval_needs_speakers():
    unknown = make_rows([1.0, 2.0], speakers=[("a", "b"), ("", "c")])
    assert speaker_interval(unknown, "si_sdri").low is None
    few = make_rows([1.0, 2.0], speakers=[("a", "b"), ("a", "c")])
    assert speaker_interval(few, "si_sdri") == MeanInterval(3, 1.5, None, None)
    assert speaker_interval([], "si_sdri") == MeanInterval(0, None, None, None)


@settings(deadline=None, max_examples=20)
@given(arrays(np.float64, st.integers(2, 8), elements=st.integers(-9, 9).map(float)))
def test_sign_flips_are_scipys_exact_test(values):
    """Swapping a pair's two values flips the sign of their difference."""
    peer = permutation_test(
        (values, np.zeros_like(values)),
        lambda a, b, axis: np.mean(a - b, axis=axis),
        permutation_type="samples",
        n_resamples=np.inf,
        vectorized=True,
    )
    assert flip_signs(values) == pytest.approx(peer.pvalue)


def test_p_values_of_equal_models_are_uniform():
    generator = np.random.default_rng(0)
    found = np.array([flip_signs(generator.normal(size=12)) for _ in range(300)])
    shares = [(found <= level).mean() for level in (0.05, 0.25, 0.5, 0.75)]
    assert shares == pytest.approx([0.05, 0.25, 0.5, 0.75], abs=0.09)  # three standard errors


def test_many_differences_are_drawn_and_agree_with_the_normal_law():
    generator = np.random.default_rng(2)
    noise = generator.normal(size=400)
    shifted = noise - noise.mean() + 1.96 * noise.std() / np.sqrt(400)
    assert flip_signs(shifted) == pytest.approx(0.05, abs=0.012)
    assert flip_signs(noise - noise.mean()) > 0.9
    assert flip_signs(noise + 1) == 1 / 10000, "the observed pattern is counted in"
    assert flip_signs([0.0] * 20) == 1 and flip_signs([3.0]) == 1


def test_paired_comparison_counts_and_matches_by_id():
    rows_a = make_rows([5.0, 4.0, 3.0, 2.0])
    rows_b = make_rows([4.0, 4.0, 4.0, 1.0])[::-1]
    found = compare_paired(rows_a, rows_b, "si_sdri")
    assert (found.n, found.mean, found.wins, found.ties, found.losses) == (4, 0.25, 2, 1, 1)
    assert found.low <= found.mean <= found.high and found.notes == ()
    back = compare_paired(rows_b, rows_a, "si_sdri")
    assert (back.mean, back.wins, back.losses) == (-0.25, 1, 2) and back.p_value == found.p_value


def test_pairing_sees_what_means_do_not():
    """Half a decibel better on each, where mixtures differ by 20: intervals overlap, p is small."""
    values = np.linspace(-5, 15, 60)
    rows_a, rows_b = make_rows(values + 0.5 + 0.1 * np.sin(values)), make_rows(values)
    found = compare_paired(rows_a, rows_b, "si_sdri")
    assert found.p_value < 0.001 and found.low > 0.4
    assert mean_interval(values + 0.5).low < mean_interval(values).high


def test_paired_comparison_of_what_only_one_has():
    rows_a = make_rows([1.0, 2.0, 3.0], audio=["p", "q", "r"])
    rows_b = make_rows([1.0, 2.0], audio=["p", "other"])
    rows_b.append(ScoreRow(mixture_id="m002", audio="r", problems=("zero-estimate",)))
    rows_b.append(ScoreRow(mixture_id="z9", audio="s", values={"si_sdri": 7.0}))
    found = compare_paired(rows_a, rows_b, "si_sdri")
    assert found.n == 2 and found.ties == 2
    only, unscored, other = found.notes
    assert only.startswith("1 mixture(s) are in one table only, z9")
    assert unscored.startswith("1 mixture(s) are not scored in both")
    assert "other audio" in other and "m001" in other


def test_paired_comparison_without_mixtures_in_common():
    found = compare_paired(make_rows([1.0]), [], "si_sdri")
    assert (found.n, found.mean, found.low, found.p_value) == (0, None, None, None)
    one = compare_paired(make_rows([1.0]), make_rows([0.5]), "si_sdri")
    assert (one.n, one.mean, one.low, one.p_value) == (1, 0.5, None, 1.0)
