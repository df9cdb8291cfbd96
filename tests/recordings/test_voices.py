"""Voices known again: who speaks when, what is separated, and tracks of recording and outputs."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from separation.errors import UserError
from separation.recordings import speech_networks, turns, voice_count
from separation.recordings.arrangement import (
    Plan,
    arrange_turns,
    choose_mode,
    choose_way,
    explain_mode,
    plan_by_evidence,
    separate_planned,
)
from separation.recordings.chunks import Measurable, Part, StoredEstimates
from separation.recordings.evidence import Evidence, gather_evidence
from separation.recordings.mixdown import (
    Mixdown,
    extend_speech,
    find_unsure_seconds,
    make_gains,
    measure_products,
)
from separation.recordings.stretches import (
    OrderCues,
    cut_parts,
    find_stretches,
    order_outputs,
)
from separation.recordings.turns import (
    BOTH,
    Turns,
    average_before,
    compare_voices,
    describe_ticks,
    find_turns,
    find_voices,
    run_network,
)

RNG = np.random.default_rng(0)
RATE = 8000
CPU = torch.device("cpu")


def make_unit(*shape: int) -> np.ndarray:
    values = RNG.standard_normal((*shape, 256))
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


def make_states(spoken: np.ndarray, sure: float = 1.0) -> np.ndarray:
    """States of voices that speak in given ticks ``(t, 2)``."""
    return sure * np.eye(4)[spoken[:, 0] + 2 * spoken[:, 1]] + (1 - sure) / 4


def make_turned(spoken: np.ndarray) -> Turns:
    return Turns(states=make_states(spoken), centres=np.eye(2, 64))


def make_evidence(spoken: np.ndarray) -> Evidence:
    """Of voices that speak in given ticks ``(t, 2)``; spectra say nothing."""
    voices = make_unit(2)
    means = np.stack([average_before(spoken[:, k].astype(float)) for k in range(2)], axis=1)
    embeddings = means @ voices + 0.04 * RNG.standard_normal((len(spoken), 256))
    return Evidence(
        speech=(spoken.any(axis=1) * 0.98 + 0.01).astype(np.float32),
        spectra=np.zeros((len(spoken), 80), np.float16),
        embeddings=embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True),
    )


def make_turns() -> np.ndarray:
    """Turns of 4 s of two voices, a second of each overlapping the next, for 36 s."""
    spoken = np.zeros((360, 2), bool)
    for k, start in enumerate(range(0, 360, 30)):
        spoken[start : start + 40, k % 2] = True
    return spoken


def test_turns_do_not_depend_on_which_voice_is_called_the_first():
    network = turns.TurnNetwork().eval()
    common = RNG.standard_normal((50, turns.N_COMMON)).astype(np.float32)
    likeness = RNG.standard_normal((50, turns.N_LIKENESS)).astype(np.float32)
    found = run_network(network, common, likeness)
    swapped = run_network(network, common, turns.swap_voices(likeness))
    assert np.allclose(found, swapped[:, turns.SWAP_STATES], atol=1e-6)
    assert np.allclose(found.sum(axis=1), 1)


def test_long_recordings_are_read_in_blocks_as_if_whole(monkeypatch):
    network = turns.load_turns().network
    common = RNG.standard_normal((900, turns.N_COMMON)).astype(np.float32)
    likeness = RNG.standard_normal((900, turns.N_LIKENESS)).astype(np.float32)
    whole = run_network(network, common, likeness)
    monkeypatch.setattr(turns, "BLOCK", 350)
    blocks = run_network(network, common, likeness)
    assert blocks.shape == whole.shape and np.abs(blocks - whole).max() < 0.02


def test_turns_of_a_recording_of_any_length():
    spoken = make_turns()
    for part in (spoken, spoken[:15], spoken[:1]):
        found = find_turns(make_evidence(part))
        assert found.states.shape == (len(part), 4) and found.centres.shape == (2, 64)
        assert np.isfinite(found.states).all() and found.voices.shape == (len(part), 2)


def test_features_of_ticks_look_ahead_of_voices_and_not_at_levels():
    spoken = make_turns()
    evidence = make_evidence(spoken)
    louder = dataclasses.replace(evidence, spectra=evidence.spectra + np.float16(3))
    assert np.allclose(describe_ticks(evidence), describe_ticks(louder), atol=1e-2)
    points = make_unit(30)[:, :2]
    likeness = compare_voices(points, np.eye(2))
    assert np.allclose(likeness[3, 1], 2 * points[7, 0]) and likeness.shape == (30, 8)
    assert np.allclose(likeness[29, 5], 2 * points[29, 1])


def test_means_before():
    assert average_before(np.ones(20)).round(3).tolist()[:2] == [0.083, 0.167]
    assert np.allclose(average_before(np.ones((20, 2)))[11:], 1)


def test_clusters_are_voices_whatever_lies_between():
    voices = make_unit(2)
    shares = np.array([1.0] * 40 + [0.0] * 25 + [0.5] * 20)
    points = shares[:, None] * voices[0] + (1 - shares[:, None]) * voices[1]
    points += 0.03 * RNG.standard_normal(points.shape)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    likeness = find_voices(points) @ voices.T
    assert sorted(likeness.argmax(axis=1)) == [0, 1] and likeness.max(axis=1).min() > 0.85


@pytest.fixture
def stored(tmp_path: Path) -> StoredEstimates:
    """Two seconds of two noises; the model gives them the wrong way round, one inverted."""
    sources = RNG.standard_normal((2, 2 * RATE)).astype(np.float32)
    sources[0, 12000:] = 0
    sources[1, :4000] = 0
    sources.sum(axis=0).tofile(tmp_path / "mixture")
    (sources[::-1] * [[2], [-0.1]]).astype(np.float32).T.tofile(tmp_path / "estimates")
    return StoredEstimates(
        mixture=tmp_path / "mixture",
        estimates=tmp_path / "estimates",
        state=tmp_path / "state",
        rate=RATE,
        n_src=2,
    )


def test_tracks_are_the_recording_where_one_speaks_and_outputs_where_both_do(stored):
    spoken = np.zeros((20, 2), bool)
    spoken[:15, 0], spoken[5:, 1] = True, True
    gains = make_gains(make_turned(spoken), [(5, 15)], np.zeros(1), measure_products(stored))
    blocks = list(Mixdown(stored=stored, gains=gains).read_blocks(3000))
    mixture, tracks = (np.concatenate(parts, axis=-1) for parts in zip(*blocks, strict=True))
    outputs = stored.read_estimates(0, 2 * RATE)
    fade = round(0.02 * RATE)
    for k, alone in ((0, slice(fade, 4000)), (1, slice(12000 + fade, None))):
        assert np.allclose(tracks[k, alone], mixture[alone]) and not tracks[1 - k, alone].any()
    both = slice(4000 + fade, 12000)
    assert np.allclose(tracks[0, both], -10 * outputs[1, both], rtol=0.02, atol=0.02)
    assert np.allclose(tracks[1, both], outputs[0, both] / 2, rtol=0.02, atol=0.02)
    assert np.abs(tracks.sum(axis=0) - mixture)[fade:].max() < 0.1


def test_gains_are_probabilities_where_it_is_not_sure(stored):
    turned = make_turned(np.tile([True, False], (20, 1)))
    turned.states[5:10] = [0, 0.5, 0.5, 0]
    turned.states[10:15] = [0, 0, 0, 1]  # both, in no stretch
    gains = make_gains(turned, [], np.zeros(0), measure_products(stored))
    assert np.allclose(gains[:5, :, 0], [1, 0]) and np.allclose(gains[5:15, :, 0], 0.5)
    assert not gains[:, :, 1:].any()


def test_pauses_go_to_whoever_speaks_nearest():
    spoken = np.zeros((10, 2), bool)
    spoken[2, 0], spoken[7, 1] = True, True
    assert extend_speech(make_states(spoken, 0.9))[:, 0].argmin() >= 5
    assert (extend_speech(make_states(spoken, 0.9))[:5].argmax(axis=1) == 0).all()
    assert np.isfinite(extend_speech(make_states(np.zeros((3, 2), bool), 0.9))).all()


def test_seconds_in_which_a_voice_is_not_known_are_named():
    turned = make_turned(np.tile([True, False], (40, 1)))
    turned.states[20:30] = [0, 0.55, 0.45, 0]
    assert find_unsure_seconds(turned, [], np.zeros(0)) == [2.0]
    assert find_unsure_seconds(turned, [(10, 20)], np.array([0.6])) == [1.0, 2.0]


def test_stretches_are_joined_cut_and_long_enough():
    spoken = np.zeros((400, 2), bool)
    for start, stop in ((10, 20), (22, 30), (50, 52), (100, 350)):
        spoken[start:stop] = True
    stretches = find_stretches(make_turned(spoken))
    assert stretches == [(10, 30), (100, 183), (183, 267), (267, 350)]
    parts = cut_parts(stretches, 400 * 800, RATE)
    assert parts[0] == Part(start=7 * 800, stop=33 * 800, first=10 * 800, last=31 * 800)
    assert parts[1].last == parts[2].first and parts[1].stop > parts[2].start
    assert cut_parts([(390, 400)], 399 * 800 + 5, RATE)[0].last == 399 * 800 + 5
    assert cut_parts([], 8000, RATE) == []


class Halves(torch.nn.Module):
    sample_rate = RATE

    def forward(self, mixtures: torch.Tensor) -> torch.Tensor:
        return torch.stack([0.25 * mixtures, 0.75 * mixtures], dim=1)


def test_parts_are_separated_alone_and_a_second_call_goes_on(stored, monkeypatch):
    stored.estimates.unlink()
    parts = cut_parts([(2, 6), (10, 14)], stored.n_samples, RATE)
    seen = []

    def measure(found: Sequence[Measurable]) -> np.ndarray:
        ((number, mixture, estimates),) = found
        seen.append(number)
        assert estimates.shape == (2, len(mixture)) == (2, parts[number].size)
        if number and len(seen) == 2:
            raise KeyboardInterrupt
        return np.full((1, 3), number)

    monkeypatch.setattr("separation.recordings.chunks.PARTS_AT_ONCE", 1)
    with pytest.raises(KeyboardInterrupt):
        stored.separate_parts(Halves(), CPU, "x", parts, measure)
    found = stored.separate_parts(Halves(), CPU, "x", parts, measure)
    assert seen == [0, 1, 1] and found.tolist() == [[0] * 3, [1] * 3]
    estimates = stored.read_estimates(0, stored.n_samples)
    mixture = stored.read_mixture(0, stored.n_samples)
    inside = np.zeros(stored.n_samples, bool)
    inside[1600:5600], inside[8000:12000] = True, True
    assert estimates.shape == (2, stored.n_samples) and not estimates[:, ~inside].any()
    assert np.allclose(estimates[:, inside], np.array([[0.25], [0.75]]) * mixture[inside])
    others = cut_parts([(3, 6)], stored.n_samples, RATE)  # another version finds other stretches
    assert (
        len(stored.separate_parts(Halves(), CPU, "x", others, lambda own: np.ones((len(own), 3))))
        == 1
    )


def test_embeddings_of_signals_of_unlike_lengths_are_those_of_each_alone():
    encoder = speech_networks.load_encoder()
    if encoder is None:
        pytest.skip("resemblyzer is not installed")
    signals = [RNG.standard_normal(n).astype(np.float32) for n in (48000, 9000, 25600, 800)]
    together = encoder.embed_whole(signals)
    for signal, own in zip(signals, together, strict=True):
        (alone,) = encoder.embed_whole([signal])
        assert own.shape == alone.shape
        assert ((own * alone).sum(axis=1) > 0.999).all()


def test_cues_change_their_sign_with_the_outputs():
    encoder, project = speech_networks.load_encoder(), turns.load_turns().project
    if encoder is None:
        pytest.skip("resemblyzer is not installed")
    turned = make_turned(np.tile([True, False], (30, 1)))
    turned.states[10:20, BOTH], turned.states[10:20, 1] = 1, 0
    cues = OrderCues(
        stretches=[(10, 20)],
        turns=turned,
        encoder=encoder,
        project=project,
        points=project(make_unit(30)),
        rate=RATE,
    )
    estimates = RNG.standard_normal((2, 16 * 800)) * [[0.1], [0.02]]
    orders = (estimates, estimates[::-1])
    straight, crossed = cues([(0, estimates.sum(axis=0), own) for own in orders])
    assert np.allclose(straight, -crossed, atol=0.05) and straight[1] > 1 and straight[2] > 1
    assert order_outputs(np.array([]), np.ones(5)).shape == (0,)


def test_without_the_networks_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setattr("separation.recordings.arrangement.load_encoder", lambda: None)
    assert choose_mode("auto", 2) == "overlap"
    assert "pip install --no-deps -r requirements-voices.txt" in explain_mode("auto", 2)
    assert explain_mode("overlap", 2) == "" and choose_mode("auto", 3) == "overlap"
    assert "3 outputs" in explain_mode("auto", 3)


def test_another_file_of_weights_is_refused(tmp_path, monkeypatch):
    (tmp_path / "resemblyzer").mkdir()
    (tmp_path / "resemblyzer" / "__init__.py").touch()
    (tmp_path / "resemblyzer" / "pretrained.pt").write_bytes(b"not the weights")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match=r"its sha256 differs.*--mode overlap"):
        speech_networks.find_weights("resemblyzer", "pretrained.pt", speech_networks.ENCODER)
    assert speech_networks.find_weights("no_such_package", "x", "") is None


def test_mel_filters_are_slaneys():
    filters = speech_networks.make_mel_filters()
    areas = filters.sum(axis=1) * 40  # Hz of a bin
    assert filters.shape == (40, 201) and np.allclose(areas[20:], 1, atol=0.02)
    assert np.allclose(filters[0].max(), 2 / 148.5, rtol=0.25)


def test_embeddings_do_not_depend_on_the_level():
    encoder = speech_networks.load_encoder()
    if encoder is None:
        pytest.skip("resemblyzer is not installed")
    voice = RNG.standard_normal(RATE * 4).astype(np.float32) * 0.1
    starts = np.array([0, 6400, 16000])
    found = encoder.embed(voice, starts)
    assert found.shape == (3, 256) and np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-3)
    assert (found * encoder.embed(voice * 0.05, starts)).sum(axis=1).min() > 0.99
    assert torch.is_inference_mode_enabled() is False


def test_ticks_have_embeddings_of_the_windows_that_end_with_them(tmp_path):
    encoder, detector = speech_networks.load_encoder(), speech_networks.load_detector()
    if encoder is None or detector is None:
        pytest.skip("resemblyzer or silero-vad is not installed")
    signal = (RNG.standard_normal(16000 * 5) * 0.1).astype(np.float32)
    signal.tofile(tmp_path / "wide")
    found = gather_evidence(tmp_path / "wide", encoder, detector)
    assert found.spectra.shape == (50, 80) and found.embeddings.shape == (50, 256)
    (whole,) = encoder.embed(signal, np.array([16 * 1600]))  # ends with tick 31
    assert found.embeddings[31].astype(np.float32) @ whole > 0.98


@pytest.mark.parametrize(
    ("both", "alike", "n_counted"), [(0.0, True, 1), (0.4, True, 2), (0.0, False, 2)]
)
def test_voices_are_counted(both, alike, n_counted):
    traits = voice_count.Traits(
        speech_s=30.0,
        both=both,
        sure=0.8,
        likeness=0.8 if alike else 0.1,
        spread=0.8 if alike else 0.5,
        gain=0.02 if alike else 0.2,
        near=0.8,
        third=0.7,
        third_share=0.1,
    )
    assert voice_count.decide_count(traits) == n_counted
    third = dataclasses.replace(traits, both=0.4, third=0.2, near=0.6)
    assert voice_count.decide_count(third) == 3


def test_too_little_speech_is_not_counted():
    spoken = np.zeros((100, 2), bool)
    evidence = make_evidence(spoken)
    assert voice_count.count_voices(evidence, make_turned(spoken)).n_voices == 0
    spoken[:8, 0] = True
    count = voice_count.count_voices(make_evidence(spoken), make_turned(spoken))
    assert count.n_voices == 2 and not count.is_known and count.traits is None


def test_ways_of_making_tracks(stored, monkeypatch):
    """A few seconds of two voices stay as the model has them; turns where that is asked for."""
    spoken = np.zeros((20, 2), bool)
    spoken[:15, 0], spoken[5:, 1] = True, True
    evidence, turned = make_evidence(spoken), make_turned(spoken)
    plan = plan_by_evidence(evidence, "auto")
    assert plan.way == "overlap" and plan_by_evidence(evidence, "conversation").way != "overlap"
    known = dataclasses.replace(plan.count, n_voices=2, is_known=True)
    long = dataclasses.replace(evidence, speech=np.ones(300))
    apart = Turns(states=make_states(make_turns()[:300]), centres=turned.centres)
    assert choose_way(long, apart, known) == "conversation"
    together = Turns(states=make_states(np.ones((300, 2), bool)), centres=turned.centres)
    assert choose_way(long, together, known) == "overlap"
    plan = Plan(
        way="conversation", count=known, evidence=evidence, turns=turned, stretches=[(5, 15)]
    )
    arranged = arrange_turns(stored, plan, np.zeros(1))
    assert arranged.way == "conversation" and arranged.speech.shape == (100, 2)
    if speech_networks.load_encoder() is None:
        pytest.skip("resemblyzer is not installed")
    stored.estimates.unlink()
    single = dataclasses.replace(plan, way="one voice", stretches=[])
    one = separate_planned(stored, single, Halves(), CPU, "x")
    ((mixture, tracks),) = one.tracks.read_blocks(2 * RATE)
    assert np.array_equal(tracks[0], mixture) and not tracks[1].any()
    assert one.way == "one voice" and not one.speech[:, 1].any()
