"""Voices known again: embeddings, who speaks when, and tracks made of recording and outputs."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from separation.errors import UserError
from separation.recordings import speech_networks, turns, voice_count
from separation.recordings.activity import survey
from separation.recordings.arrangement import (
    arrange_evidence,
    choose_mode,
    explain_mode,
    keep_recording,
)
from separation.recordings.chunks import StoredEstimates
from separation.recordings.evidence import Evidence, count_ticks, find_spoken_windows
from separation.recordings.mixdown import (
    Mixdown,
    extend_speech,
    find_unsure_seconds,
    make_gains,
    measure_products,
)
from separation.recordings.turns import Projection, Turns, find_turns, find_voices, run_network

RNG = np.random.default_rng(0)
RATE = 8000


def make_unit(*shape: int) -> np.ndarray:
    values = RNG.standard_normal((*shape, 256))
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


def make_evidence(spoken: np.ndarray, straight: bool = True) -> Evidence:
    """Of voices that speak in given ticks ``(t, 2)``, clearly."""
    voices = make_unit(2)
    starts = np.arange(0, len(spoken) / 10 - 1.6, 0.4)
    middles = np.round((starts + 0.8) * 10).astype(int)
    heard = spoken[middles].astype(float)
    mixture = heard @ voices + 0.04 * RNG.standard_normal((len(starts), 256))
    outputs = np.stack([np.where(heard[:, [k]] > 0, voices[k], mixture) for k in range(2)])
    outputs = outputs + 0.04 * RNG.standard_normal(outputs.shape)
    levels = np.where(spoken, -8.0, -25.0)
    order = slice(None, None, 1 if straight else -1)
    return Evidence(
        starts_s=starts,
        mixture=mixture / np.linalg.norm(mixture, axis=1, keepdims=True),
        estimates=(outputs / np.linalg.norm(outputs, axis=2, keepdims=True))[order],
        speech=spoken.any(axis=1) * 0.98 + 0.01,
        levels=levels[:, order],
        mixture_levels=np.where(spoken.any(axis=1), -5.0, -50.0),
    )


def make_turns() -> np.ndarray:
    """Turns of 4 s of two voices, a second of each overlapping the next, for 36 s."""
    spoken = np.zeros((360, 2), bool)
    for k, start in enumerate(range(0, 360, 30)):
        spoken[start : start + 40, k % 2] = True
    return spoken


@pytest.mark.parametrize("straight", [True, False])
def test_turns_of_clear_voices(straight, monkeypatch):
    plain = Projection(mean=np.zeros(256), matrix=np.eye(256))
    network = turns.load_turns()[1]
    monkeypatch.setattr(turns, "load_turns", lambda: (plain, network))
    spoken = make_turns()
    found, centres = find_turns(make_evidence(spoken, straight))
    assert centres.shape == (2, 256)
    decided = found.voices > 0.5
    swapped = (decided == spoken).mean() < (decided[:, ::-1] == spoken).mean()
    assert (decided[:, :: -1 if swapped else 1] == spoken).mean() > 0.85
    both = spoken.all(axis=1)
    assert ((found.straight > 0.5) == (straight != swapped))[both].mean() > 0.9


def test_turns_do_not_depend_on_what_is_called_the_first():
    network = turns.TurnNetwork().eval()
    features = RNG.standard_normal((50, turns.N_FEATURES)).astype(np.float32)
    found = run_network(network, features)
    voices = run_network(network, features[:, turns.SWAP_VOICES])
    outputs = run_network(network, features[:, turns.SWAP_OUTPUTS])
    assert np.allclose(found.voices, voices.voices[:, ::-1], atol=1e-6)
    assert np.allclose(found.voices, outputs.voices, atol=1e-6)
    assert np.allclose(found.straight, 1 - voices.straight, atol=1e-6)
    assert np.allclose(found.straight, 1 - outputs.straight, atol=1e-6)


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
    turned = Turns(voices=spoken.astype(float), straight=np.zeros(20))
    gains = make_gains(turned, measure_products(stored), spoken)
    blocks = list(Mixdown(stored=stored, gains=gains).read_blocks(3000))
    mixture, tracks = (np.concatenate(parts, axis=-1) for parts in zip(*blocks, strict=True))
    outputs = stored.read_estimates(0, 2 * RATE)
    fade = round(0.02 * RATE)
    for k, alone in ((0, slice(fade, 4000)), (1, slice(12000 + fade, None))):
        assert np.array_equal(tracks[k, alone], mixture[alone]) and not tracks[1 - k, alone].any()
    both = slice(4000 + fade, 12000)
    assert np.allclose(tracks[0, both], -10 * outputs[1, both], rtol=0.02, atol=0.02)
    assert np.allclose(tracks[1, both], outputs[0, both] / 2, rtol=0.02, atol=0.02)
    assert np.abs(tracks.sum(axis=0) - mixture)[fade:].max() < 0.1


def test_pauses_go_to_whoever_speaks_nearest():
    spoken = np.zeros((10, 2), bool)
    spoken[2, 0], spoken[7, 1] = True, True
    assert extend_speech(spoken)[:, 0].tolist() == [True] * 5 + [False] * 5
    assert extend_speech(np.zeros((3, 2), bool)).all()


def test_seconds_in_which_a_voice_is_not_known_are_named():
    voices = np.tile([0.95, 0.02], (40, 1))
    voices[20:30] = [0.55, 0.5]
    turned = Turns(voices=voices, straight=np.full(40, 0.6))
    assert find_unsure_seconds(turned, voices > 0.5) == [2.0]


def test_windows_without_speech_are_not_looked_at():
    speech = np.zeros(count_ticks(10.0))
    speech[40:60] = 1
    assert find_spoken_windows(speech, 0, 10.0).tolist() == pytest.approx(
        [3.2, 3.6, 4.0, 4.4, 4.8, 5.2]
    )


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


@pytest.mark.parametrize(("n_speak", "n_counted"), [(0, 0), (1, 1), (2, 2)])
def test_voices_are_counted(n_speak, n_counted, monkeypatch):
    plain = Projection(mean=np.zeros(256), matrix=np.eye(256))
    monkeypatch.setattr(voice_count, "load_turns", lambda: (plain, None))
    spoken = make_turns()
    if n_speak == 1:
        spoken = np.stack([np.ones(len(spoken), bool), np.zeros(len(spoken), bool)], axis=1)
    evidence = make_evidence(spoken)
    if n_speak == 0:
        evidence = dataclasses.replace(evidence, speech=0 * evidence.speech)
    count = voice_count.count_voices(evidence)
    assert count.n_voices == n_counted and count.is_known


def test_too_little_speech_is_not_counted():
    spoken = np.zeros((100, 2), bool)
    spoken[:8, 0] = True
    evidence = dataclasses.replace(make_evidence(spoken), starts_s=np.array([0.0]))
    count = voice_count.count_voices(evidence)
    assert count.n_voices == 2 and not count.is_known and count.traits is None


def test_ways_of_making_tracks(stored, monkeypatch):
    """A few seconds of two voices stay as the model has them; turns where that is asked for."""
    spoken = np.zeros((20, 2), bool)
    spoken[:15, 0], spoken[5:, 1] = True, True
    evidence, surveyed = make_evidence(spoken), survey(stored)
    kept = arrange_evidence(stored, surveyed, evidence, "auto")
    assert kept.way == "overlap" and kept.tracks is stored
    evidence = dataclasses.replace(evidence, starts_s=np.array([0.0, 0.4]))
    evidence = dataclasses.replace(
        evidence, mixture=make_unit(2), estimates=np.stack([make_unit(2), make_unit(2)])
    )
    turned = arrange_evidence(stored, surveyed, evidence, "conversation")
    assert turned.way == "conversation" and turned.speech.shape == (100, 2)
    one = keep_recording(stored, evidence.speech, voice_count.count_voices(evidence))
    ((mixture, tracks),) = one.tracks.read_blocks(2 * RATE)
    assert np.array_equal(tracks[0], mixture) and not tracks[1].any()
    assert one.way == "one voice" and not one.speech[:, 1].any()
