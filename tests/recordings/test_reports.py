"""The page of a separated recording: its measures on signals that are known, and the page."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy.signal import butter, sosfiltfilt

from separation.errors import MissingInputError, UserError
from separation.files import read_json
from separation.recordings.inputs import check_spoken
from separation.recordings.record import (
    Record,
    format_record,
    stamp_output,
    stamp_recording,
)
from separation.recordings.report import (
    assess,
    conditions,
    dnsmos,
    findings,
    languages,
    signals,
)
from separation.recordings.report.streams import Streams
from separation.recordings.report.suspicions import list_leaks, list_suspicions
from separation.recordings.report.words import read_sentences
from separation.recordings.report.write import choose_page, write_report

RATE = 16000


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_a_telephone_band_is_measured(rng):
    noise = rng.standard_normal(4 * RATE)
    narrow = sosfiltfilt(butter(10, (300, 3400), "bandpass", fs=RATE, output="sos"), noise)
    low, high = conditions.measure_band(conditions.measure_powers(narrow).mean(axis=0))
    assert 200 < low < 320 and 3300 < high < 4400 and findings.is_narrow(high, RATE)
    whole = conditions.measure_band(conditions.measure_powers(noise).mean(axis=0))
    assert whole[1] > 7800 and not findings.is_narrow(whole[1], RATE)
    assert not findings.is_narrow(3900, 8000)  # a file of 8 kHz holds no more


def test_a_clipped_sine_is_found_at_any_level_and_a_whole_one_is_not():
    sine = np.sin(2 * np.pi * 200 * np.arange(RATE) / RATE).astype(np.float32)
    clipped = (0.3 * np.clip(sine, -0.8, 0.8)).astype(np.float32)
    for signal, share in ((sine, 0.0), (clipped, 0.41)):  # 1 - 2 arcsin(0.8) / pi
        meter = signals.ClipMeter(RATE)
        assert sum(map(len, meter.pass_on([signal[:5000], signal[5000:]]))) == RATE
        assert meter.read().share == pytest.approx(share, abs=0.02)
    assert meter.read().seconds == (0,)


@pytest.mark.parametrize("snr_db", [0, 20])
def test_a_known_ratio_of_speech_to_noise(snr_db, rng):
    gamma = rng.gamma(0.4, 1, 10 * RATE) * rng.choice((-1, 1), 10 * RATE)
    noise = rng.standard_normal(10 * RATE) * np.sqrt(np.square(gamma).mean()) * 10 ** (-snr_db / 20)
    assert conditions.estimate_wada(gamma + noise) == pytest.approx(snr_db, abs=1.5)
    speech = np.repeat([0.9, 0.0], 5 * RATE)
    mixed = gamma * (speech > 0.5) + noise
    powers = conditions.measure_powers(mixed)
    ticks = conditions.spread_ticks(np.repeat([0.9, 0.0], 50), len(powers))
    found, source = conditions.measure_snr(mixed, powers, ticks)
    assert found == pytest.approx(snr_db, abs=1) and source == "pauses"


def test_two_voices_without_pauses_are_no_noise():
    assert findings.is_noisy(9.0, "pauses", alone=False)
    assert findings.is_noisy(9.0, "distribution", alone=True)
    assert not findings.is_noisy(9.0, "distribution", alone=False)


@pytest.mark.parametrize("rt60_s", [0.3, 0.8])
def test_a_known_decay(rt60_s, rng):
    time = np.arange(RATE) / RATE
    bursts = [rng.standard_normal(RATE) * 10 ** (-3 * time / rt60_s) for _ in range(12)]
    found = conditions.measure_decay(conditions.measure_powers(np.concatenate(bursts)))
    assert found == pytest.approx(rt60_s, rel=0.25)


def test_chords_have_tones_and_noise_has_none(rng):
    time = np.arange(4 * RATE) / RATE
    chord = sum(np.sin(2 * np.pi * hz * time) for hz in (262, 330, 392))
    gated = chord * (np.sin(2 * np.pi * time) > -0.5)
    speaks = np.ones(40)
    assert conditions.measure_tones(gated, speaks)[0] > 0.5
    assert conditions.measure_tones(rng.standard_normal(4 * RATE), speaks)[0] < 0.02


def test_music_is_found_between_the_words_that_hide_it(rng):
    """Music 5 dB below speech was found in one of ten recordings."""
    time = np.arange(4 * RATE) / RATE
    speech = np.repeat([1.0, 0.0, 1.0, 0.0], 10)
    words = np.repeat(speech, RATE // 10) * rng.standard_normal(4 * RATE)
    chord = sum(np.sin(2 * np.pi * hz * time) for hz in (262, 330)) * (np.sin(9 * time) > -0.5)
    _, pause_tones = conditions.measure_tones(words + 0.3 * chord, speech)
    assert pause_tones > 0.4 and findings.is_musical(0.0, pause_tones, 5.0)
    noise = 0.3 * rng.standard_normal(4 * RATE)
    assert not findings.is_musical(*conditions.measure_tones(words + noise, speech), 5.0)
    assert not findings.is_musical(0.0, pause_tones, 40.0)
    assert conditions.measure_tones(words, np.ones(40))[1] is None


def make_streams(voices: np.ndarray, levels: np.ndarray, rng: np.random.Generator) -> Streams:
    """Tracks whose voice in each window of 0.4 s is known, ``(2, n)``, levels ``(n, 2)`` in dB."""
    n = voices.shape[1]
    centres = np.linalg.qr(rng.standard_normal((16, 2)))[0].T
    points = centres[voices] + 0.03 * rng.standard_normal((2, n, 16))
    ticks = np.repeat(levels, 4, axis=0).astype(float)
    ticks = np.concatenate([ticks, np.repeat(ticks[-1:], 12, axis=0)])
    powers = 10 ** (ticks / 10)
    return Streams(
        starts_s=0.4 * np.arange(n),
        points=points / np.linalg.norm(points, axis=2, keepdims=True),
        mixture=points[0],
        spoken=(levels.T > -40).astype(float),
        active=ticks > -40,
        levels=ticks,
        mixture_levels=ticks.max(axis=1),
        gram=np.stack([np.diag(row) for row in powers]),
    )


def make_turns(n: int) -> np.ndarray:
    """Levels of tracks that are loud in turns of ten windows, ``(n, 2)``."""
    first = (np.arange(n) // 10 % 2 == 0)[:, None]
    return np.where(np.concatenate([first, ~first], axis=1), -20, -60)


def test_a_planted_swap_is_found_and_nothing_without_it(rng):
    levels, voices = make_turns(80), np.repeat([[0], [1]], 80, axis=1)
    assert list_suspicions(make_streams(voices, levels, rng)) == []
    voices[:, 60:] = voices[::-1, 60:]
    found = [
        own for own in list_suspicions(make_streams(voices, levels, rng)) if own.kind == "swap"
    ]
    assert {own.track for own in found} == {1, 2}
    starts = [span[0] for own in found for span in own.spans]
    assert 23 < min(starts) < 25.5  # 60 windows of 0.4 s


def test_a_planted_merge_is_no_swap(rng):
    voices = np.tile(np.arange(80) // 10 % 2, (2, 1))
    levels = np.repeat([[-20, -60]], 80, axis=0)
    assert [own.kind for own in list_suspicions(make_streams(voices, levels, rng))] == ["merge"]


def test_a_planted_leak_has_its_level(rng):
    streams = make_streams(np.repeat([[0], [1]], 80, axis=1), make_turns(80), rng)
    loud = 10 ** (-20 / 10)
    gram = np.array(streams.gram)
    gram[45:75, 0, 0], gram[45:75, 0, 1], gram[45:75, 1, 0] = loud / 25, loud / 5, loud / 5
    (found,) = list_leaks(dataclasses.replace(streams, gram=gram))
    assert (found.track, found.value) == (1, pytest.approx(-14, abs=1)) and found.seconds > 2


def test_windows_for_dnsmos_are_those_in_which_the_voice_speaks():
    spoken = np.zeros(600, bool)
    assert len(dnsmos.choose_windows(spoken, 0.1)) == 0
    spoken[300:400] = True
    starts = dnsmos.choose_windows(spoken, 0.1)
    assert len(starts) and starts.min() >= 24 and starts.max() <= 37
    assert dnsmos.choose_windows(spoken[:50] | True, 0.1).tolist() == [0]


@pytest.fixture
def separated(tmp_path: Path, rng) -> Path:
    """NAME.json of a recording of a name that HTML must escape, with tracks of noise."""
    path = tmp_path / "<b>call&.wav"
    tracks = 0.1 * rng.standard_normal((2, 3 * RATE))
    soundfile.write(path, tracks.sum(axis=0), RATE)
    out = tmp_path / "out"
    out.mkdir()
    names = [f"{path.stem}_s{k}.wav" for k in (1, 2)]
    for name, track in zip(names, tracks, strict=True):
        soundfile.write(out / name, track, RATE)
    rttm = out / f"{path.stem}.rttm"
    rttm.write_text("SPEAKER c 1 0.0 2.0 <NA> <NA> s1 <NA> <NA>\n")
    measured = {
        "model": "<i>mine</i>",
        "n_channels": 1,
        "sample_rate": RATE,
        "duration_s": 3.0,
        "way": "overlap",
        "count": None,
        "suspected_swaps_s": [1.0],
        "voices": [{"track": name} for name in names],
    }
    record = Record(
        recording=str(path),
        channel=0,
        stamp=stamp_recording(path),
        settings={"channel": "mean"},
        outputs={name: stamp_output(out / name) for name in [*names, rttm.name]},
        measured=measured,
    )
    place = out / f"{path.stem}.json"
    place.write_text(format_record(record))
    return place


@pytest.fixture
def no_networks(monkeypatch):
    monkeypatch.setattr(assess, "load_encoder", lambda: None)
    monkeypatch.setattr(assess, "load_quality", lambda: None)
    monkeypatch.setattr(signals, "load_detector", lambda: None)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_page_escapes_names_and_says_what_is_missing(separated, no_networks, language):
    page = write_report(separated, language=language)
    text = page.read_text("utf-8")
    assert "<b>call" not in text and "&lt;b&gt;call&amp;" in text and "<i>mine" not in text
    assert text.count("pip install --no-deps -r requirements-voices.txt") == 2
    assert 'data-seek="1.0"' in text and text.count("<audio") == 3 and "http" not in text
    assert write_report(separated) == page  # its own page is replaced


@pytest.mark.parametrize(
    ("before", "after", "used", "said"),
    [(2.0, 8.26, True, "8.3"), (4.2, 3.0, False, "4.2")],
)
def test_a_page_says_how_well_these_voices_are_separated(
    separated, no_networks, before, after, used, said
):
    values = read_json(separated)
    learned = {"solo_s": [20.0, 31.0], "before_db": before, "after_db": after, "is_used": used}
    values["measured"]["adaptation"] = learned
    separated.write_text(json.dumps(values))
    text = write_report(separated).read_text("utf-8")
    assert f"These voices, mixed anew, are separated by {said} dB" in text
    assert "at least 20 s of each" in text
    assert f"{before} before" in text


def test_a_language_that_the_model_never_heard_is_named_with_what_it_costs(separated, no_networks):
    def write(spoken: str) -> str:
        return write_report(separated, spoken=spoken).read_text("utf-8")

    text = separated.read_text()
    assert "is spoken" not in write("es")  # of a model of which nothing is known
    separated.write_text(text.replace("<i>mine</i>", "shipped, a ConvTasNet"))
    assert "Spanish is spoken; the model heard English only" in write("es")
    assert "Spanish with French" in write("es") and "folder/ConvTasNet" in write("es")
    assert "not measured</h3>" in write("") and "--spoken" in write("")
    assert "--spoken" not in write("en-GB").partition("<footer")[0].partition("speechmos")[2]


def test_what_a_model_was_trained_on(tmp_path):
    assert languages.find_trained_on("shipped, a ConvTasNet of 2 speakers") == ("en",)
    assert languages.find_trained_on("JorisCos/ConvTasNet_Libri2Mix_sepclean_8k@main") == ("en",)
    assert languages.find_trained_on(str(tmp_path)) == ()
    (tmp_path / "conf.yml").write_text("corpus: {source: aishell3}\ntraining: {init_from: shipped}")
    assert languages.find_trained_on(str(tmp_path)) == ("en", "zh")
    with pytest.raises(UserError, match="--spoken Spanish: give the language's code"):
        check_spoken("Spanish")


def test_somebodys_page_stays(separated, no_networks):
    mine = separated.with_suffix(".html")
    mine.write_text("<p>mine</p>")
    assert choose_page(separated).name.endswith("_report.html")
    separated.with_name(f"{separated.stem}_report.html").write_text("mine too")
    with pytest.raises(UserError, match="did not write"):
        write_report(separated)
    assert mine.read_text() == "<p>mine</p>"


def test_what_has_changed_since_has_no_page(separated, no_networks):
    with pytest.raises(MissingInputError, match="is not there"):
        write_report(separated.with_name("none.json"))
    (separated.parent / "other.json").write_text("{}")
    with pytest.raises(UserError, match="is no record"):
        write_report(separated.parent / "other.json")
    next(separated.parent.glob("*_s2.wav")).unlink()
    with pytest.raises(UserError, match="missing or has changed"):
        write_report(separated)


def test_both_languages_say_the_same_things():
    english, chinese = read_sentences("en"), read_sentences("zh")
    assert english.keys() == chinese.keys()
    for section, texts in english.items():
        assert texts.keys() == chinese[section].keys(), section
