"""The draw under LibriMix's rules: properties, and real gains on real files."""

import random
from collections import Counter

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from separation.audio.loudness import measure_loudness_lufs
from separation.config.load import load_conf
from separation.corpora.splits import assign_splits, check_disjoint
from separation.corpora.table import Utterance
from separation.mixtures.draw.librimix import assign_noises, draw_librimix
from separation.mixtures.draw.speaker_groups import count_groups, draw_groups
from separation.mixtures.render import render_row
from separation.mixtures.source_files import Corpora
from tests.conftest import ROOT, make_voice

SETTINGS = ["splits.by=speakers", "splits.dev_share=0.2", "splits.test_share=0.2"]
CONF = load_conf(ROOT, "librimix/ConvTasNet", SETTINGS)


def make_utterance(name: str, speaker: str, sex: str, duration_s: float, **changes) -> Utterance:
    values = {
        "utterance": name, "speaker": speaker, "sex": sex, "split": "train", "path": f"{name}.wav",
        "n_samples": round(16000 * duration_s), "sample_rate": 16000, "loudness_lufs": -20.0,
        "peak": 0.2, "channel": "mono", "prompt": name, "transcript": "", "subset": "",
    }  # fmt: skip
    return Utterance(**(values | changes))


def make_table(n_speakers: int, n_each: int) -> list[Utterance]:
    return [
        make_utterance(f"{speaker}-{item}", str(speaker), "FM"[speaker % 2], 2.5 + item * 0.3)
        for speaker in range(n_speakers)
        for item in range(n_each)
    ]


@settings(max_examples=25, deadline=None)
@given(st.integers(10, 16), st.integers(4, 9), st.sampled_from([2, 3]), st.integers(0, 5),
       st.randoms(use_true_random=False))  # fmt: skip
def test_properties_of_the_draw(n_speakers, n_each, n_src, seed, shuffler: random.Random):
    overrides = [*SETTINGS, f"mixtures.n_src={n_src}", f"mixtures.seed={seed}"]
    conf = load_conf(ROOT, "librimix/ConvTasNet", overrides)
    table = make_table(n_speakers, n_each)
    shuffled = table.copy()
    shuffler.shuffle(shuffled)
    first, second = (assign_splits(rows, conf.splits) for rows in (table, shuffled))
    check_disjoint(first, "speakers")
    speakers = {s: {r.speaker for r in first if r.split == s} for s in ("train", "dev", "test")}
    assert not speakers["train"] & speakers["dev"] | speakers["dev"] & speakers["test"]
    draws = [
        draw_librimix(rows, [], "train", 0, conf.mixtures, Corpora(ROOT), 1, sample_rate=8000)
        for rows in (first, second)
    ]
    assert draws[0] == draws[1]
    used: Counter = Counter()
    for row in draws[0]:
        assert len({source.speaker for source in row.sources}) == n_src
        used.update(source.path for source in row.sources)
    assert set(used.values()) <= {1}
    durations = {row.path: row.duration_s for row in first}
    assert all(durations[path] >= 3.0 for path in used)
    long_enough = [r for r in first if r.split == "train" and r.duration_s >= 3.0]
    assert len(used) > len(long_enough) - max(Counter(r.speaker for r in long_enough).values()) - 9


def test_dev_and_test_reuse_utterances_but_never_a_group():
    rows = [r for r in make_table(6, 6) if r.duration_s >= 3]
    groups = draw_groups(rows, "dev", 60, CONF.mixtures)
    assert len({frozenset(r.utterance for r in group) for group in groups}) == 60
    assert len(draw_groups(rows, "dev", 5000, CONF.mixtures)) == count_groups(rows, 2)


def test_noises_are_as_long_as_the_sources_where_there_are_such():
    groups = [[make_utterance(f"{k}-{i}", str(k), "F", 3.0 + i) for k in (1, 2)] for i in range(4)]
    noises = [make_utterance(f"n{i}", "noise", "", 2.5 + i) for i in range(5)]
    chosen = assign_noises(groups, noises, "train", 0)
    assert len({row.utterance for row in chosen}) == 4
    assert sum(n.duration_s >= t[0].duration_s for n, t in zip(chosen, groups, strict=True)) >= 3


@pytest.mark.parametrize("loud", [False, True])
def test_gains_give_the_drawn_loudness_and_hold_the_peak(loud, tmp_path):
    """Loud sources: mixture peaks (max mode, with noise) come down to 0.9, never above."""
    table = []
    for speaker in range(8):
        for item in range(2):
            name = f"{speaker}-{item}"
            voice = make_voice(10 * speaker + item, 90 + 20 * speaker, 3.2 + item, 16000)
            if loud:  # a click: high peak at low loudness
                voice = 0.02 * voice
                voice[1000 * (speaker + 1)] = 0.5
            soundfile.write(tmp_path / f"{name}.wav", voice, 16000, "PCM_16")
            samples = soundfile.read(tmp_path / f"{name}.wav", dtype="float32")[0]
            loudness = round(measure_loudness_lufs(samples, 16000), 2)
            peak = round(float(np.abs(samples).max()), 4)
            table.append(
                make_utterance(name, str(speaker), "F", 1, n_samples=len(samples),
                               loudness_lufs=loudness, peak=peak)
            )  # fmt: skip
    noise = make_utterance("noise", "noise", "", 2.0)
    generator = np.random.default_rng(0)
    soundfile.write(tmp_path / "noise.wav", generator.normal(0, 0.05, 32000), 16000)
    corpora = Corpora(tmp_path, tmp_path)
    rows = draw_librimix(table, [noise], "train", 0, CONF.mixtures, corpora, 1, sample_rate=8000)
    assert len(rows) >= 6  # at the end only one speaker's may be left
    peaks = []
    for row in rows:
        rendered = render_row(row, corpora, [16000], ["max"], ["mix_both"])[16000, "max"]
        peaks.append(np.abs(rendered.signals["mix_both"] / 32768).max())
        for k in (1, 2):
            samples = rendered.signals[f"s{k}"] / 32768
            loudness = measure_loudness_lufs(samples, 16000)
            assert loud or -33.2 < loudness < -24.8
        loudness = measure_loudness_lufs(rendered.signals["noise"] / 32768, 16000)
        assert loud or -38.2 < loudness < -29.8
    assert max(peaks) <= 0.9 + 1e-3
    assert not loud or sum(abs(peak - 0.9) < 2e-3 for peak in peaks) >= 4
