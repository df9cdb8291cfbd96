"""Silence in sources: crops with speech, and a loss that silent targets do not swamp."""

import logging
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from separation.config.load import load_conf
from separation.corpora.pack import PackedAudio, pack_speakers
from separation.corpora.plugin import Recording
from separation.corpora.table import scan_recordings
from separation.mixtures.dataset import MixtureDataset, ReadOptions
from separation.mixtures.dynamic.host import DynamicMixtures, ListedSegments, has_silent_source
from separation.mixtures.layout import list_files
from separation.models.asteroid import import_asteroid
from separation.training.loss import LOSSES, make_pit_loss
from tests.conftest import ROOT, make_voice
from tests.support.inputs_page import is_documented
from tests.support.mixture_folders import write_mixture

CONF = load_conf(ROOT, "folder/ConvTasNet", [])
RATE = 8000


def make_mostly_silent(seed: int) -> np.ndarray:
    """3 s of speech in 30 s of quiet noise."""
    samples = np.random.default_rng(seed).normal(0, 2e-4, 30 * RATE).astype(np.float32)
    place = (5 + 3 * seed) * RATE
    samples[place : place + 3 * RATE] += make_voice(seed, 120 + 20 * seed, 3.0, RATE)
    return samples


def pack(folder: Path, samples: list[np.ndarray]) -> PackedAudio:
    recordings = []
    for number, part in enumerate(samples):
        soundfile.write(folder / f"{number}.wav", part, RATE, "PCM_16")
        recordings.append(Recording(speaker=f"s{number}", path=f"{number}.wav", prompt="x"))
    rows = scan_recordings(recordings, folder, CONF.corpus, 1, folder / "scan").utterances
    pack_speakers(rows, folder, folder / "pack", RATE, 1)
    return PackedAudio(folder / "pack", [row.speaker for row in rows])


def test_training_crops_hold_speech_in_every_source(tmp_path, caplog):
    """Nine of ten crops of such recordings were a pause."""
    caplog.set_level(logging.INFO)
    audio = pack(tmp_path, [make_mostly_silent(seed) for seed in range(4)])
    items = DynamicMixtures(audio, 2 * RATE, CONF.mixtures, seed=0)
    levels = [np.sqrt(np.mean(items.draw(index)[1] ** 2, axis=-1)) for index in range(40)]
    silent = sum(float(level.min()) < 0.003 for level in levels)
    assert silent <= 4, silent
    said = next(record.getMessage() for record in caplog.records if "pauses" in record.getMessage())
    assert said.startswith("1 training crops") and is_documented(said)
    assert items.plans.n_redrawn >= 30
    again = DynamicMixtures(audio, 2 * RATE, CONF.mixtures, seed=0)
    np.testing.assert_array_equal(items.draw(7)[0], again.draw(7)[0])


def test_speech_without_long_pauses_is_drawn_as_it_was(tmp_path):
    audio = pack(tmp_path, [make_voice(seed, 100 + 30 * seed, 6.0, RATE) for seed in range(3)])
    items = DynamicMixtures(audio, 2 * RATE, CONF.mixtures, seed=0)
    for index in range(50):
        items.plan(index)
    assert items.plans.n_redrawn == 0


def test_crops_of_a_fixed_list_hold_speech_in_every_source(tmp_path):
    sources = np.zeros((2, 10 * RATE), np.float32)
    sources[0] = make_voice(1, 120, 10.0, RATE)
    sources[1, 7 * RATE : 8 * RATE] = make_voice(2, 220, 1.0, RATE)
    write_mixture(tmp_path / "set", "a", sources.sum(axis=0), sources, RATE)
    mixtures = MixtureDataset(
        list_files(tmp_path / "set"), ReadOptions(corpora=None, sample_rate=RATE)
    )
    segments = ListedSegments(mixtures, 2 * RATE, seed=0)
    assert not any(has_silent_source(segments[index][1].numpy()) for index in range(20))
    whole = ListedSegments(mixtures, 2 * RATE, seed=0, random_crop=False)
    assert has_silent_source(whole[0][1].numpy())  # asked for as it begins


@pytest.mark.parametrize("name", LOSSES)
def test_a_silent_target_does_not_swamp_the_mean(name):
    """It was a constant of some +80 dB."""
    generator = torch.Generator().manual_seed(0)
    sources = torch.randn(4, 2, 4000, generator=generator)
    sources[0, 1] = 0.0
    sources[3] = 0.0
    estimates = (sources + 0.1 * torch.randn(4, 2, 4000, generator=generator)).requires_grad_()
    loss = make_pit_loss(name)
    plain = estimates.detach()
    each = torch.stack([loss(plain[k : k + 1], sources[k : k + 1]) for k in range(4)])
    assert each.max() <= 0 and each[0] == pytest.approx(-20, abs=0.5) and each[3] == 0
    loss(estimates, sources).backward()
    assert torch.isfinite(estimates.grad).all()
    assert estimates.grad[0, 0].abs().max() > 0 and estimates.grad[0, 1].abs().max() == 0


@pytest.mark.parametrize("name", LOSSES)
def test_without_silence_the_loss_is_asteroids_to_the_bit(name):
    losses = import_asteroid("losses")
    sources, estimates = torch.randn(2, 3, 2, 2000, generator=torch.Generator().manual_seed(1))
    plain = losses.PITLossWrapper(getattr(losses, LOSSES[name]), pit_from="pw_mtx")
    assert make_pit_loss(name)(estimates, sources) == plain(estimates, sources)
