import subprocess
import sys
import types
import warnings
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter

from separation import metrics
from separation.errors import UserError
from separation.evaluation.selfcheck import check_scorer, score_with_references
from separation.metrics.bss_eval import BLOCK, FILTER_TAPS, correlate, sdr_db, solve_system
from separation.metrics.problems import PROBLEMS, UNSCORABLE, best_permutation
from separation.metrics.score import (
    CEILING_DB,
    METRICS,
    check_metrics,
    find_permutation,
    score_mixture,
    si_sdr_db,
)
from tests.conftest import ROOT, make_voice

SAMPLE_RATE = 8000
BSS = ("si_sdr", "sdr", "sir", "sar")
EXACT = partial(pytest.approx, abs=1e-6)


def _voices(seed: int, n_samples: int = 12000, n_src: int = 2) -> np.ndarray:
    seconds = n_samples / SAMPLE_RATE
    return np.stack(
        [make_voice(seed + k, 110 + 70 * k, seconds, SAMPLE_RATE) for k in range(n_src)]
    ).astype(np.float64)


def _degrade(references: np.ndarray, level_db: float, kind: str, seed: int = 0) -> np.ndarray:
    """Estimates with the unwanted part some dB below the references."""
    generator = np.random.default_rng(seed)
    noise = generator.normal(size=references.shape)
    unwanted = {
        "noisy": noise,
        "interfering": np.roll(references, 1, axis=0) + 0.1 * noise,
        "filtered": lfilter([0, 0.5, 1, 0.5], [1, -0.5], noise),
        "clipped": np.clip(references, -0.02, 0.02) * noise,
    }[kind]
    power = (references**2).mean(axis=-1, keepdims=True)
    unwanted *= np.sqrt(power / (unwanted**2).mean(axis=-1, keepdims=True))
    wanted = lfilter([0.8, 0.3, -0.1], 1, references) if kind == "filtered" else references
    return wanted + 10 ** (-level_db / 20) * unwanted


def _score(references, estimates, metrics=BSS, mixture=None):
    mixture = references.sum(axis=0) if mixture is None else mixture
    return score_mixture(mixture, references, estimates, SAMPLE_RATE, metrics)


# what is known without any other implementation


@pytest.mark.parametrize("level_db", [5, 20, 40, 80])
def test_orthogonal_noise_gives_the_ratio_of_energies(level_db):
    time = np.arange(8000)
    tones = np.sin(2 * np.pi * np.array([100, 300, 700])[:, None] * time / 8000)
    references = tones[:2]
    estimates = references + 10 ** (-level_db / 20) * tones[2]
    score = _score(references, 5 * estimates, ("si_sdr",))
    assert score.values["si_sdr"] == pytest.approx(level_db, abs=1e-8)
    assert score.values["input_si_sdr"] == pytest.approx(0, abs=1e-8)
    assert si_sdr_db(references, estimates) == pytest.approx(level_db, abs=1e-8)


def test_projection_on_known_delays_gives_the_known_sdr():
    """An impulse's delays are unit vectors: what lies within 512 taps is target, beyond is not."""
    reference = np.zeros(2000)
    reference[100] = 2.0
    estimate = np.zeros((1, 2000))
    estimate[0, [150, 611, 612]] = 3.0, 4.0, 0.5
    assert sdr_db(reference[None], estimate)[0] == pytest.approx(10 * np.log10(25 / 0.25), abs=1e-9)


def test_filter_within_512_taps_is_no_distortion():
    references = _voices(3)
    references[:, -600:] = 0  # so that the filtered signal does not run over the end
    taps = np.zeros(FILTER_TAPS)
    taps[[0, 200, FILTER_TAPS - 1]] = 1, -0.5, 0.3
    values = _score(references, lfilter(taps, 1, references)).values
    assert values["sdr"] == CEILING_DB
    assert values["si_sdr"] < 20
    later = np.roll(references, FILTER_TAPS, axis=-1)
    assert _score(references, later, ("sdr",)).values["sdr"] < 30


@given(
    scale=st.floats(1e-6, 1e6),
    offset=st.floats(-1, 1),
    level_db=st.floats(-10, 90),
    seed=st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_si_sdr_knows_neither_scale_nor_offset_nor_sign(scale, offset, level_db, seed):
    references = np.random.default_rng(seed).normal(size=(2, 700))
    estimates = _degrade(references, level_db, "noisy", seed)
    plain = _score(references, estimates, ("si_sdr",))
    moved = _score(references, -scale * estimates + offset * scale, ("si_sdr",))
    assert moved.values["si_sdr"] == EXACT(plain.values["si_sdr"])
    direct = si_sdr_db(references, estimates[list(plain.permutation)])
    assert plain.values["si_sdr"] == EXACT(float(direct.mean()))


def test_large_offset_costs_no_digits():
    references = _voices(5)
    estimates = _degrade(references, 30, "noisy")
    plain, moved = (_score(references + d, estimates + d, ("si_sdr",)) for d in (0, 1000))
    assert moved.values == pytest.approx(plain.values, abs=1e-6)


def test_perfect_estimates_reach_the_ceiling_and_no_more():
    references = _voices(7)
    values = _score(references, references.copy()).values
    assert [values[name] for name in BSS] == [CEILING_DB] * 4


def test_mixture_improves_nothing():
    references = _voices(7)
    mixture = references.sum(axis=0)
    score = _score(references, np.stack([mixture, mixture]))
    assert score.values["si_sdri"] == score.values["sdri"] == 0
    assert score.values["siri"] == EXACT(0)
    assert score.problems == ()


@pytest.mark.parametrize("dtype", [np.float32, np.int16, np.int32])
def test_samples_of_any_type_score_as_float64_does(dtype):
    references = np.rint(8000 * _voices(9)).astype(dtype)
    estimates = np.rint(_degrade(references.astype(float), 15, "noisy")).astype(dtype)
    whole = _score(*(signals.astype(np.float64) for signals in (references, estimates)))
    assert _score(references, estimates).values == pytest.approx(whole.values, abs=1e-9)


# against the implementations that others use


@pytest.mark.parametrize("kind", ["noisy", "interfering", "filtered", "clipped"])
@pytest.mark.parametrize("level_db", [5, 25, 40, 70])
def test_all_values_agree_with_mir_eval_and_the_definition(kind, level_db):
    references = _voices(level_db, 5001)
    estimates = _degrade(references, level_db, kind)[::-1]
    check = check_scorer([(references.sum(axis=0), references, estimates)], BSS)
    assert check.n == 1 and check.largest_db < 1e-6 and check.seconds > 0


@pytest.mark.parametrize("n_samples", [60, 511, 513, BLOCK, BLOCK + 1, 16 * BLOCK + 7])
def test_every_length_agrees_with_mir_eval(n_samples):
    references = np.random.default_rng(1).normal(size=(2, n_samples))
    estimates = _degrade(references, 12, "interfering")
    assert check_scorer([(references.sum(axis=0), references, estimates)], BSS).largest_db < 1e-6


@pytest.mark.parametrize("kind", ["band-limited", "lone tones", "offset", "impulses"])
def test_ill_conditioned_references_agree_with_mir_eval(kind):
    noise = np.random.default_rng(4).normal(size=(2, 5000))
    time = np.arange(5000)
    references = {
        "band-limited": lfilter(*_lowpass(), noise),
        "lone tones": np.sin(np.array([[0.1], [0.3]]) * time),
        "offset": 5 + noise,
        "impulses": (noise > 3.3).astype(float),
    }[kind]
    estimates = references + 0.05 * references[::-1] + 0.02 * noise
    assert check_scorer([(references.sum(axis=0), references, estimates)]).largest_db < 1e-6


def _lowpass():
    from scipy.signal import butter

    return butter(8, 0.3)


def test_one_and_three_sources_agree_with_mir_eval():
    references = np.random.default_rng(1).normal(size=(3, 5000))
    estimates = _degrade(references, 10, "noisy")[[2, 0, 1]]
    mixture = references.sum(axis=0)
    cases = [(mixture, references, estimates), (mixture, references[:1], estimates[1:2])]
    check = check_scorer(cases, BSS)
    assert check.n == 2 and check.largest_db < 1e-6


@pytest.mark.parametrize("n_src", [1, 2, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.int16])
def test_functions_by_themselves_agree_with_the_scorer_and_mir_eval(n_src, dtype):
    """Estimate k against reference k; any order and type of samples, (n_src, time)."""
    references = 0.1 * np.random.default_rng(5).normal(size=(n_src, 6000))
    estimates = _degrade(references, 10, "noisy")
    if dtype == np.int16:
        references, estimates = 20000 * references, 20000 * estimates
    references, estimates = references.astype(dtype), estimates.astype(dtype)
    found = metrics.bss_eval_db(references, estimates)
    found["si_sdr"] = metrics.si_sdr_db(references, estimates)
    theirs = score_with_references(references, estimates)
    score = _score(references, estimates)
    for name in BSS:
        assert found[name].shape == (n_src,) and found[name].dtype == np.float64
        assert found[name] == EXACT(theirs[name])
        if n_src > 1 or name != "sir":
            assert found[name].mean() == pytest.approx(score.values[name], abs=1e-9)
    assert metrics.sdr_db(references, estimates).tolist() == found["sdr"].tolist()
    assert (metrics.si_sdr_db(np.roll(references, 1, 0), estimates) < 0).all() or n_src == 1


def test_names_of_metrics_load_no_numpy():
    """So that configs and commands name them without a second of imports."""
    code = "import sys; from separation.metrics import METRICS; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr
    assert all(getattr(metrics, name) is not None for name in metrics.__all__)
    with pytest.raises(AttributeError, match="no attribute 'si_snr'"):
        metrics.si_snr  # noqa: B018 nothing by this name


def test_check_shows_a_wrong_scorer(monkeypatch):
    references = _voices(1, 3000)
    case = (references.sum(axis=0), references, _degrade(references, 10, "noisy"))
    assert check_scorer([case]).largest_db < 1e-6
    right = solve_system
    monkeypatch.setattr(
        "separation.metrics.bss_eval.solve_system", lambda *pair: 1.01 * right(*pair)
    )
    assert check_scorer([case]).largest_db > 1e-3


def test_windowed_tone_whose_delays_are_dependent_gets_its_sdr():
    """No fast solver finds a filter here; Levinson's blew up, and gave 0 dB."""
    time = np.arange(20000)
    noise = np.random.default_rng(0).normal(size=20000)
    reference = np.hanning(20000) * np.sin(0.1 * time)
    sdr = sdr_db(reference[None], (reference + 0.01 * noise)[None])[0]
    assert sdr == pytest.approx(10 * np.log10((reference**2).sum() / (1e-4 * 20000)), abs=0.2)


def test_unscorable_mixtures_are_not_counted_as_checked():
    references = _voices(1, 3000)
    assert check_scorer([(references[0], references, 0 * references)]).n == 0


def test_agreement_with_pb_bss_eval_and_asteroid():
    """Scaled up, so that the 1e-8 that pb_bss_eval adds to energies does not count."""
    from separation.models.asteroid import import_asteroid

    references = 2.0**20 * _voices(5, 6000)
    mixture = references.sum(axis=0)
    for level_db in (5, 40):
        estimates = _degrade(references, level_db, "interfering")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = import_asteroid("metrics").get_metrics(
                mixture, references, estimates, SAMPLE_RATE, list(BSS)
            )
        ours = _score(references, estimates).values
        for name, value in theirs.items():
            # of the mixture, whose artefacts are rounding errors, SAR is beyond the ceiling
            assert ours[name] == EXACT(min(value, CEILING_DB)), (level_db, name)


def test_stoi_is_pystois():
    from pystoi import stoi

    references = _voices(2, 16000)
    estimates = _degrade(references, 5, "noisy")
    score = _score(references, estimates[::-1], ("stoi",))
    expected = [stoi(*pair, SAMPLE_RATE) for pair in zip(references, estimates, strict=True)]
    assert [score.values[f"stoi_{k}"] for k in (1, 2)] == pytest.approx(expected, abs=1e-12)
    assert score.values["stoii"] == EXACT(score.values["stoi"] - score.values["input_stoi"])


# permutations, names, shapes


def test_permutation_of_three_sources_is_found():
    references = np.random.default_rng(2).normal(size=(3, 4000))
    assert find_permutation(references, references[[2, 0, 1]]) == (1, 2, 0)
    noisy = _degrade(references, 10, "noisy")
    score = _score(references, noisy[[2, 0, 1]], ("si_sdr", "sdr"))
    assert score.permutation == (1, 2, 0)
    straight = _score(references, noisy, ("si_sdr", "sdr"))
    assert score.values == pytest.approx(straight.values, abs=1e-9)


@given(st.integers(2, 5), st.integers(0, 999))
@settings(max_examples=40, deadline=None)
def test_best_permutation_has_the_highest_sum(n_src, seed):
    from itertools import permutations

    pairwise = np.random.default_rng(seed).normal(size=(n_src, n_src))
    sums = [
        sum(pairwise[i, j] for i, j in enumerate(order)) for order in permutations(range(n_src))
    ]
    order = best_permutation(pairwise)
    assert sum(pairwise[i, j] for i, j in enumerate(order)) == pytest.approx(max(sums))


def test_names_of_all_values():
    references = _voices(4, 4000)
    values = _score(references, _degrade(references, 10, "noisy")).values
    expected = set()
    for metric in BSS:
        for name in (f"input_{metric}", metric, *([] if metric == "sar" else [f"{metric}i"])):
            expected |= {name, f"{name}_1", f"{name}_2"}
    assert set(values) == expected
    assert values["sdr"] == EXACT((values["sdr_1"] + values["sdr_2"]) / 2)
    assert values["sdri_1"] == EXACT(values["sdr_1"] - values["input_sdr_1"])


def test_axis_order_is_sources_then_time():
    references = _voices(4, 4000)
    with pytest.raises(UserError, match="n_src, time"):
        _score(references, references.T)
    with pytest.raises(UserError, match="of one length"):
        score_mixture(references.sum(axis=0), references.T, references.T, SAMPLE_RATE)


@pytest.mark.parametrize("shapes", [((90,), (2, 100), (2, 100)), ((100,), (2, 100), (2, 90))])
def test_unequal_lengths_are_refused_in_one_sentence(shapes):
    with pytest.raises(UserError, match="length"):
        score_mixture(*(np.ones(shape) for shape in shapes), SAMPLE_RATE)


def test_correlation_is_the_sum_it_is_said_to_be():
    signals = np.random.default_rng(0).normal(size=(2, BLOCK + 700))
    found = correlate(signals[:1], signals, [(0, 1)])[0]
    lags = [signals[0, : signals.shape[1] - lag] @ signals[1, lag:] for lag in range(FILTER_TAPS)]
    assert np.allclose(found, lags, atol=1e-9)


# problems by name


def _case(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    references = _voices(9)
    estimates = _degrade(references, 15, "noisy")
    mixture = references.sum(axis=0)
    middle = references.shape[1] // 2
    if name == "silent-reference":
        references[1] = 0.25  # an offset and nothing else
    elif name == "silent-mixture":
        mixture = 0 * mixture
    elif name == "zero-estimate":
        estimates[0] = 0
    elif name == "non-finite":
        estimates[1, 5] = np.inf
    elif name == "same-voice-twice":
        estimates[1] = references[0] + 0.1 * estimates[1]
    elif name == "channel-swap":
        estimates[:, middle:] = estimates[::-1, middle:].copy()
    elif name == "merged-channels":
        estimates[1] = mixture + 0.1 * estimates[1]
    elif name == "same-references":
        references[1] = -2 * references[0]
        mixture = references.sum(axis=0) + 0.1 * estimates[1]
    return mixture, references, estimates


@pytest.mark.parametrize(
    "name",
    [
        *sorted(UNSCORABLE - {"unreadable", "model-failed", "score-failed"}),
        "same-voice-twice",
        "channel-swap",
    ],
)
def test_problem_is_named_and_only_itself(name):
    score = score_mixture(*_case(name), SAMPLE_RATE)
    assert score.problems == (name,) and name in PROBLEMS
    assert bool(score.values) == (name not in UNSCORABLE)
    assert all(np.isfinite(value) for value in score.values.values())


def test_nan_in_the_mixture_or_a_reference_is_named():
    mixture, references, estimates = _case("none")
    mixture[3] = np.nan
    assert score_mixture(mixture, references, estimates, SAMPLE_RATE).problems == ("non-finite",)
    mixture, references, estimates = _case("none")
    references[0, 3] = np.nan
    assert score_mixture(mixture, references, estimates, SAMPLE_RATE).problems == ("non-finite",)


@pytest.mark.parametrize("n_src", [2, 3])
@pytest.mark.parametrize(
    ("places_s", "n_swaps"),
    [((), 0), ((2.5,), 1), ((1.0, 3.0), 2), ((4.0,), 1), ((1.4, 1.5), 0), ((0.1,), 0)],
)
def test_swaps_are_counted_wherever_they_lie(n_src, places_s, n_swaps):
    """Only one in the middle of the mixture was found: the halves were compared."""
    references = _voices(3, 6 * SAMPLE_RATE, n_src)
    estimates = _degrade(references, 12, "interfering")
    for place_s in places_s:
        start = round(place_s * SAMPLE_RATE)
        estimates[:2, start:] = estimates[1::-1, start:].copy()
    score = _score(references, estimates, ("si_sdr",))
    assert score.n_swaps == n_swaps
    assert score.problems == (("channel-swap",) if n_swaps else ())


def test_a_window_in_which_a_source_is_quiet_says_nothing_of_a_swap():
    references = _voices(3, 5 * SAMPLE_RATE)
    quiet = slice(2 * SAMPLE_RATE, 3 * SAMPLE_RATE)
    references[1, quiet] *= 1e-3
    estimates = _degrade(references, 15, "noisy")
    estimates[:, quiet] = estimates[::-1, quiet].copy()
    assert _score(references, estimates, ("si_sdr",)).problems == ()


def test_swaps_of_four_sources_are_found():
    references = _voices(3, 4 * SAMPLE_RATE, 4)
    estimates = _degrade(references, 15, "noisy")
    estimates[:2, 2 * SAMPLE_RATE :] = estimates[1::-1, 2 * SAMPLE_RATE :].copy()
    assert _score(references, estimates, ("si_sdr",)).problems == ("channel-swap",)


def _mix_outputs(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mixture, three voices, outputs of which some hold more than one voice."""
    references = _voices(4, n_src=3)
    noise = 0.05 * np.random.default_rng(1).normal(size=references.shape)
    mixture = references.sum(axis=0)
    clean = references + 0.1 * noise
    if name == "two in one":
        return mixture, references, np.stack([clean[0] + clean[1], clean[2], noise[0]])
    if name == "mixture beside voices":
        return mixture, references, np.stack([mixture, clean[1], clean[2]])
    if name == "denoised, not separated":
        loud = mixture + 4 * noise[0]
        return loud, references[:2], np.stack([references[:2].sum(axis=0), noise[1]])
    if name == "floor":
        return mixture, references, np.stack([mixture] * 3)
    if name == "hardly separated":
        return mixture, references, mixture + 0.2 * references
    if name == "one faint voice":
        references = references[:2] * np.array([[1.0], [0.05]])
        return references.sum(axis=0), references, references + 0.01 * noise[:2]
    return mixture, references, _degrade(references, 6, "interfering")


@pytest.mark.parametrize("name", ["two in one", "mixture beside voices", "denoised, not separated"])
def test_an_output_that_holds_two_voices_is_named(name):
    assert (
        "merged-channels"
        in _score(*_mix_outputs(name)[1:], ("si_sdr",), _mix_outputs(name)[0]).problems
    )


@pytest.mark.parametrize("name", ["floor", "hardly separated", "one faint voice", "leaking"])
def test_what_separates_little_or_well_is_not_called_merged(name):
    mixture, references, estimates = _mix_outputs(name)
    assert _score(references, estimates, ("si_sdr",), mixture).problems == ()


def test_no_estimate_of_any_quality_is_called_merged_or_swapped():
    for kind in ("noisy", "interfering", "filtered", "clipped"):
        for level_db in (-3, 0, 3, 5, 10, 20):
            for seed in range(3):
                references = _voices(20 + seed, 24000) * np.array([[1.0], [0.5]])
                estimates = _degrade(references, level_db, kind, seed)
                assert _score(references, estimates, ("si_sdr",)).problems == (), (kind, level_db)


def test_sound_estimates_have_no_problem():
    assert score_mixture(*_case("none"), SAMPLE_RATE).problems == ()


def test_equal_references_have_no_score_whatever_the_estimates_are():
    """The mixture scored 150 dB, a binary mask, whose second output is zero, nothing."""
    mixture, references, estimates = _case("same-references")
    references[1] = references[0]
    mixture = references.sum(axis=0)
    silent = np.stack([mixture, np.zeros_like(mixture)])
    for own in (estimates, np.stack([mixture, mixture]), silent):
        score = score_mixture(mixture, references, own, SAMPLE_RATE, BSS)
        assert "same-references" in score.problems and not score.values


def test_a_single_source_has_no_sir():
    references = _voices(1, 4000)
    score = _score(references[:1], _degrade(references, 10, "noisy")[:1], BSS, references.sum(0))
    assert score.problems == ("one-source",)
    assert score.permutation == (0,)
    assert "sir" not in score.values and score.values["sar"] == EXACT(score.values["sdr"])


def test_stoi_of_too_short_a_signal_is_absent_and_named():
    references = _voices(1, 800)
    score = _score(references, _degrade(references, 10, "noisy"), ("si_sdr", "stoi"))
    assert score.problems == ("stoi-failed",)
    assert "si_sdr" in score.values and not [name for name in score.values if "stoi" in name]


# metrics that may not be there


def test_unknown_metric_is_refused():
    with pytest.raises(UserError, match="no metric 'sisdr'"):
        check_metrics(["sisdr"], 8000)
    with pytest.raises(UserError, match="no metric is asked for"):
        check_metrics([], 8000)
    check_metrics(METRICS[:5], 44100)


def _install_pesq(monkeypatch, measure) -> None:
    """A stand-in for the pesq package, which needs a compiler: the same function's signature."""
    module = types.ModuleType("pesq")
    module.pesq = measure
    module.__spec__ = types.SimpleNamespace(name="pesq")
    monkeypatch.setitem(sys.modules, "pesq", module)


def test_pesq_is_asked_for_the_mode_of_the_rate(monkeypatch):
    calls = []

    def measure(fs, ref, deg, mode):
        calls.append((fs, mode, ref.shape))
        return 1 + float(np.corrcoef(ref, deg)[0, 1])

    _install_pesq(monkeypatch, measure)
    references = _voices(1, 4000)
    estimates = _degrade(references, 10, "noisy")
    for rate, mode in ((8000, "nb"), (16000, "wb")):
        check_metrics(["pesq"], rate)
        values = score_mixture(
            references.sum(axis=0), references, estimates, rate, ("pesq",)
        ).values
        assert calls[-1] == (rate, mode, (4000,))
        assert values["pesq"] > values["input_pesq"]
    with pytest.raises(UserError, match="not at 44100 Hz"):
        check_metrics(["pesq"], 44100)


def test_pesq_that_fails_on_a_file_is_absent_and_named(monkeypatch):
    def measure(fs, ref, deg, mode):
        raise RuntimeError("No utterances detected")

    _install_pesq(monkeypatch, measure)
    references = _voices(1, 4000)
    score = _score(references, references + 1e-3, ("si_sdr", "pesq"))
    assert score.problems == ("pesq-failed",) and "si_sdr" in score.values


@pytest.mark.parametrize("rate", [8000, 16000])
def test_pesq_is_that_of_its_package_where_that_is_installed(rate):
    """``pip install pesq==0.0.4`` needs a C compiler and Python's headers: CI may have neither."""
    pesq = pytest.importorskip("pesq")
    references = np.stack([make_voice(k, 110 + 70 * k, 1.5, rate) for k in range(2)])
    estimates = _degrade(references, 10, "noisy")
    mixture = references.sum(axis=0)
    score = score_mixture(mixture, references, estimates[::-1], rate, ("pesq",))
    mode = {8000: "nb", 16000: "wb"}[rate]
    for k, (reference, estimate) in enumerate(zip(references, estimates, strict=True), 1):
        theirs = pesq.pesq(rate, reference.astype(np.float32), estimate.astype(np.float32), mode)
        assert score.values[f"pesq_{k}"] == pytest.approx(theirs, abs=1e-4)
        before = pesq.pesq(rate, reference.astype(np.float32), mixture.astype(np.float32), mode)
        assert score.values[f"pesqi_{k}"] == pytest.approx(theirs - before, abs=2e-4)


def test_missing_pesq_is_told_before_work_starts(monkeypatch):
    monkeypatch.setitem(sys.modules, "pesq", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install pesq"):
        check_metrics(["si_sdr", "pesq"], 8000)


def test_mir_eval_warns_nobody(recwarn):
    references = _voices(1, 2000)
    score_with_references(references, references)
    assert not recwarn.list
