"""Mixing on a torch device gives the items of DynamicMixtures, in any of its ways."""

import dataclasses
import threading
import time

import numpy as np
import pytest
import torch

from separation.audio.resample import resample_fast
from separation.config.load import load_conf
from separation.corpora.pack import STEP, PackedAudio, PackedUtterance
from separation.errors import UserError
from separation.files import format_rows
from separation.mixtures.dynamic.device import DeviceMixer, run_ahead
from separation.mixtures.dynamic.device_speed import BLOCK, SpeedChanger, measure_weights
from separation.mixtures.dynamic.equalizer import N_BANDS, equalize
from separation.mixtures.dynamic.host import DynamicMixtures
from separation.mixtures.dynamic.plans import Piece
from separation.mixtures.dynamic.sample_store import DeviceStore, HostStore, choose_store
from tests.conftest import ROOT
from tests.support.dispatched import Dispatched

CPU = torch.device("cpu")
N_SAMPLES = 8000


def write_pack(folder, n_speakers, durations, seed):
    """Speakers of noise-like utterances: loud ones, quiet ones, one of a scale of its own."""
    folder.mkdir()
    generator = np.random.default_rng(seed)
    for number in range(n_speakers):
        rows, samples = [], []
        for place, n_samples in enumerate(durations):
            amplitude = (200, 3000, 12000)[place % 3]
            samples.append(np.clip(amplitude * generator.standard_normal(n_samples), -32767, 32767))
            scale = STEP * (2.5 if place == 1 else 1.0)
            peak = float(np.abs(samples[-1]).max()) * scale + 1e-4
            offset = sum(map(len, samples[:-1]))
            row = PackedUtterance(
                speaker=f"s{number}",
                path=f"{place}.wav",
                offset=offset,
                n_samples=n_samples,
                sample_rate=8000,
                scale=scale,
                peak=peak,
                loudness_lufs=-30.0 + place,
            )
            rows.append(dataclasses.asdict(row))
        np.concatenate(samples).astype("<i2").tofile(folder / f"s{number}.i16")
        (folder / f"s{number}.csv").write_text(format_rows(rows))
    return PackedAudio(folder, [f"s{number}" for number in range(n_speakers)])


@pytest.fixture(scope="module")
def audio(tmp_path_factory):
    return write_pack(tmp_path_factory.mktemp("audio") / "pack", 5, [9000, 2500, 12000, 700], 0)


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    return write_pack(tmp_path_factory.mktemp("noise") / "pack", 2, [5000, 30000], 1)


def make_mixtures(audio, noise=None, speeds=(1.0, 1.0), weight=0.0, equalize_db=0.0, **changes):
    conf = dataclasses.replace(load_conf(ROOT, "mini/ConvTasNet", []).mixtures, **changes)
    voices = {"speaker_weight": weight, "equalize_db": equalize_db}
    return DynamicMixtures(audio, N_SAMPLES, conf, 3, noise, speeds, **voices)


def assert_equal_items(mixer, mixtures, batch, items):
    """A batch of the mixer against items made one by one."""
    [(found_mixtures, found_sources)] = list(mixer.batches(batch, 1))
    expected = [mixtures[item] for item in items]
    assert found_mixtures.dtype == found_sources.dtype == torch.float32
    for found, item in ((found_mixtures, 0), (found_sources, 1)):
        whole = torch.stack([signals[item] for signals in expected])
        assert found.shape == whole.shape
        assert float((found - whole).abs().max()) <= 1e-6


@pytest.mark.parametrize("keep", ["host", "device"])
@pytest.mark.parametrize("level_by", ["loudness", "difference"])
@pytest.mark.parametrize("speeds", [(1.0, 1.0), (0.9, 1.1), (0.5, 2.0)])
@pytest.mark.parametrize("noisy", [False, True])
@pytest.mark.parametrize("n_src", [2, 3])
def test_batches_equal_the_items(audio, noise, n_src, noisy, speeds, level_by, keep):
    mixtures = make_mixtures(
        audio, noise if noisy else None, speeds, n_src=n_src, train_level_by=level_by
    )
    mixer = DeviceMixer(mixtures, 8, CPU, keep=keep)
    assert_equal_items(mixer, mixtures, 40, range(320, 328))


@pytest.mark.parametrize(("speeds", "most"), [((1.0, 1.0), 40), ((0.9, 1.1), 80)])
def test_mixing_dispatches_few_operations(audio, noise, speeds, most):
    """However many items a batch has."""
    counts = []
    for size in (2, 16):
        mixer = DeviceMixer(make_mixtures(audio, noise, speeds), size, CPU, keep="device")
        plan = mixer.plan_batch(0)
        with Dispatched() as seen:
            mixer.mix(plan)
        counts.append(seen.count)
    assert counts[0] == counts[1] <= most, counts


@pytest.mark.parametrize("noisy", [False, True])
@pytest.mark.parametrize("speeds", [(1.0, 1.0), (0.9, 1.1)])
def test_equalized_batches_equal_the_items(audio, noise, noisy, speeds):
    mixtures = make_mixtures(
        audio, noise if noisy else None, speeds, 0.5, 12.0, train_level_by="difference"
    )
    assert_equal_items(DeviceMixer(mixtures, 8, CPU), mixtures, 2, range(16, 24))
    plain = make_mixtures(audio, noise if noisy else None, speeds, 0.5, 0.0)
    assert not torch.allclose(plain[16][1], mixtures[16][1], atol=1e-4)


def test_an_equalizer_has_its_curve_and_keeps_the_power():
    signals = torch.randn(2, 8000, generator=torch.Generator().manual_seed(0))
    curves = torch.tensor([[0.0] * N_BANDS, [6.0, 6.0, 6.0, -6.0, -6.0, -6.0, -6.0]])
    found = equalize(signals, curves, 8000)
    assert torch.allclose(found[0], signals[0], atol=1e-5)
    assert torch.allclose(found.square().sum(-1), signals.square().sum(-1), rtol=1e-5)
    gains = (torch.fft.rfft(found[1]).abs() / torch.fft.rfft(signals[1]).abs())[1:-1]
    # bin k is k Hz; the third band lies at 541 Hz, the fourth at 1114 Hz: 12 dB between them
    assert torch.allclose(gains[10] / gains[3000], torch.tensor(10 ** (12 / 20)), rtol=1e-3)
    assert gains[:530].std() < 1e-3 and gains[1200:].std() < 1e-3
    assert torch.equal(equalize(torch.zeros(1, 80), curves[1:], 8000), torch.zeros(1, 80))


def test_speakers_are_drawn_by_their_speech(tmp_path):
    """Four times the speech, four times as often the first of a pair; of its square root, twice."""
    folder = tmp_path / "pack"
    long = write_pack(folder, 2, [8000], 0)
    index = folder / "s1.csv"
    index.write_text(index.read_text().replace("8000", "2000", 1))
    samples = np.fromfile(folder / "s1.i16", "<i2")[:2000]
    samples.tofile(folder / "s1.i16")
    audio = type(long)(folder, long.speakers)
    for weight, share in ((1.0, 0.8), (0.5, 2 / 3), (0.0, 0.5)):
        plans = make_mixtures(audio, weight=weight).plans
        firsts = [plans.plan(item).sources[0].pieces[0].speaker for item in range(2000)]
        assert abs(firsts.count(0) / 2000 - share) < 0.04


def test_the_cases_meant_do_occur(audio):
    """Short utterances completed, peaks limited and left: else the comparison shows little."""
    mixtures = make_mixtures(audio, loudness_min_lufs=-40.0, loudness_max_lufs=-10.0)
    plans = [mixtures.plan(item) for item in range(8)]
    counts = {len(source.pieces) for plan in plans for source in plan.sources}
    assert min(counts) == 1 and max(counts) >= 3
    peaks = torch.stack([mixtures[item][0].abs().max() for item in range(8)])
    limited = (peaks - mixtures.conf.peak_max).abs() < 1e-6
    assert limited.any() and not limited.all()
    assert_equal_items(DeviceMixer(mixtures, 8, CPU), mixtures, 0, range(8))


def test_silence_keeps_its_level(tmp_path):
    audio = write_pack(tmp_path / "pack", 2, [9000], 0)
    np.zeros(9000, "<i2").tofile(tmp_path / "pack" / "s0.i16")
    mixtures = make_mixtures(audio, train_level_by="difference")
    mixer = DeviceMixer(mixtures, 4, CPU)
    assert torch.isfinite(next(mixer.batches(0, 1))[1]).all()
    assert_equal_items(mixer, mixtures, 0, range(4))


def test_plans_stand_still(audio):
    """Recorded from the items of before plans existed: another draw would break resumption."""
    plan = make_mixtures(audio, speeds=(0.9, 1.1), train_level_by="difference").plan(300)
    assert [source.speed for source in plan.sources] == [108, 100]
    assert [[piece[:4] for piece in source.pieces] for source in plan.sources] == [
        [(1, 3, 0, 700), (1, 1, 0, 2500), (1, 0, 2593, 5440)],
        [(3, 3, 0, 700), (3, 2, 4034, 7300)],
    ]
    assert plan.sources[0].pieces[0] == Piece(1, 3, 0, 700, pytest.approx(1.0317249615649426))
    assert plan.differences_db == [pytest.approx(-3.339965265037441)] and plan.noise is None


def test_processes_share_a_global_batch(audio):
    mixtures = make_mixtures(audio)
    for rank in (0, 1, 2):
        mixer = DeviceMixer(mixtures, 6, CPU, rank=rank, world=3)
        assert_equal_items(mixer, mixtures, 5, [30 + rank, 33 + rank])
    with pytest.raises(UserError, match="batch_size=6 cannot be shared by 4"):
        DeviceMixer(mixtures, 6, CPU, world=4)


def test_going_on_gives_the_batches_not_yet_seen(audio):
    mixer = DeviceMixer(make_mixtures(audio), 3, CPU)
    whole = [sources for _, sources in mixer.batches(0, 6)]
    endless = DeviceMixer(make_mixtures(audio), 3, CPU).batches(4)
    resumed = [next(endless)[1], next(endless)[1]]
    endless.close()
    assert len(whole) == 6 and all(a.equal(b) for a, b in zip(whole[4:], resumed, strict=True))
    assert not whole[0].equal(whole[1])


def test_measured_weights_are_resamplings():
    generator = np.random.default_rng(0)
    for speed in (50, 67, 90, 99, 100, 101, 110, 125, 200):
        assert measure_weights(speed).shape == (speed + 42, BLOCK)
        signals = [generator.standard_normal(n).astype(np.float32) for n in (20 * speed, 3 * speed)]
        changer = SpeedChanger((50, 200), 300, CPU)
        lengths = torch.tensor([len(signal) for signal in signals])
        flat = torch.from_numpy(np.concatenate(signals))
        found = changer.change(flat, lengths.cumsum(0) - lengths, lengths, torch.full((2,), speed))
        for row, signal in zip(found, signals, strict=True):
            assert np.allclose(row, resample_fast(signal, speed, 100)[:300], atol=2e-6)


def test_samples_go_where_they_fit(audio, noise):
    packs = [audio, noise]
    wanted = 2 * (audio.n_samples + noise.n_samples)
    assert isinstance(choose_store(packs, CPU), HostStore)
    assert isinstance(choose_store(packs, CPU, "device"), DeviceStore)
    cuda = torch.device("cuda")  # nothing is put there: there is no room
    assert isinstance(choose_store(packs, cuda, "auto", 0.5, 2 * wanted - 2), HostStore)
    with pytest.raises(UserError, match="50% must stay free: keep the samples on the host"):
        choose_store(packs, cuda, "device", 0.5, 2 * wanted - 2)
    fits = choose_store(packs, CPU, "device", 0.5, 2 * wanted)
    assert fits.samples.numpy().tobytes() == b"".join(
        pack.samples_of(k).tobytes() for pack in packs for k in range(len(pack.speakers))
    )


def test_the_thread_stays_a_few_batches_ahead_and_ends():
    done = []
    results = run_ahead(lambda number: done.append(number) or number, range(100), 3)
    assert next(results) == 0
    deadline = time.monotonic() + 5
    while len(done) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    # one handed out, three waiting, one in hand
    assert 4 <= len(done) <= 5
    results.close()
    assert not [t for t in threading.enumerate() if t.name == "plan-batches"]


def test_an_error_of_the_thread_is_raised_where_batches_are_taken():
    results = run_ahead(lambda number: 1 // (2 - number), range(5), 2)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)
