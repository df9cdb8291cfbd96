"""Rendering to the bit: against the official generators' recorded checksums, SciPy, libsndfile."""

import json

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import resample_poly

from local.wsj0mix import parse_name, read_list
from separation.audio.clips import open_clip
from separation.audio.pcm16 import quantise
from separation.audio.resample import resample
from separation.corpora.pack import ExactPack, pack_speakers
from separation.errors import UserError
from separation.files import read_rows
from separation.mixtures.kinds import TYPES
from separation.mixtures.render import render_mixture
from separation.mixtures.source_files import Corpora, list_clips
from separation.mixtures.table import parse_row, read_mixture_table
from separation.wav_trees.tree import Tree, render_tree
from tests.support.librimix_tree import DATA, hash_folder, read_reference_rows, write_tree
from tests.support.wsj0_tree import LISTS, write_wsj0

RATES, MODES = (8000, 16000), ("min", "max")


@pytest.fixture(scope="module")
def librimix(tmp_path_factory):
    """LibriSpeech and WHAM for the committed rows, and all outputs rendered from them."""
    folder = tmp_path_factory.mktemp("librimix")
    for n_src in (2, 3):
        rows = read_mixture_table(DATA / f"libri{n_src}mix_test-clean.csv")
        write_tree(read_reference_rows(n_src), folder / "LibriSpeech", folder / "wham")
        corpora = Corpora(folder / "LibriSpeech", folder / "wham")
        tree = Tree(
            folder=folder / "out" / f"Libri{n_src}Mix",
            split="test",
            rates=RATES,
            modes=MODES,
            types=TYPES,
        )
        render_tree(rows, corpora, tree, 2)
    return folder


@pytest.mark.parametrize("n_src", [2, 3])
def test_all_outputs_equal_those_of_the_official_script(librimix, n_src):
    reference = json.loads((DATA / "librimix_reference.json").read_text())
    assert reference["commit"] == "b898ca375c03e4039cdb3dbe3dd485aad58ec7d1"
    expected = reference[f"Libri{n_src}Mix"]
    assert len(expected["sha256"]) == 2 * 2 * (n_src + 4)
    names = [row["mixture_ID"] for row in read_reference_rows(n_src)]
    tree = librimix / "out" / f"Libri{n_src}Mix"
    for folder, checksum in expected["sha256"].items():
        assert hash_folder(tree / folder, names) == checksum, folder
    for table, rows in expected["snrs_db"].items():
        for row, snrs in zip(read_rows(tree / table), rows, strict=True):
            assert [float(v) for k, v in row.items() if k != "mixture_ID"] == pytest.approx(
                snrs, abs=1e-4
            )


def test_the_rows_hold_the_hard_cases(librimix):
    rows = read_reference_rows(2)
    speech, noise = librimix / "LibriSpeech", librimix / "wham"
    lengths = [
        [soundfile.info(speech / row[f"source_{k}_path"]).frames for k in (1, 2)] for row in rows
    ]
    noises = [soundfile.info(noise / row["noise_path"]) for row in rows]
    pairs = list(zip(lengths, noises, strict=True))
    assert len(rows) >= 20
    assert sum(2 * info.frames < max(pair) for pair, info in pairs) >= 3
    assert sum(info.channels == 2 for info in noises) >= 3
    assert sum(length % 2 for pair in lengths for length in pair) >= 5
    wavs = (librimix / "out" / "Libri2Mix" / "wav16k" / "max" / "test" / "mix_both").glob("*.wav")
    peaks = [soundfile.read(path, dtype="int16")[0] for path in wavs]
    assert sum((samples == 32767).any() for samples in peaks) >= 3


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("mode", MODES)
def test_on_the_fly_equals_the_tree(librimix, rate, mode, kind):
    """From the files and from a lossless pack; ``min`` reads no more than it needs."""
    tree = Tree(
        folder=librimix / "out" / "Libri3Mix", split="test", rates=RATES, modes=MODES, types=TYPES
    )
    rows = [parse_row(row) for row in read_reference_rows(3)]
    pack = librimix / "exact"
    pack_speakers(list_clips(rows), librimix / "LibriSpeech", pack, None, 1)
    for exact in (None, ExactPack(pack)):
        corpora = Corpora(librimix / "LibriSpeech", librimix / "wham", exact)
        for row in rows[::3]:
            mixture = render_mixture(row, corpora, rate, mode, kind)
            parts = {kind: mixture.mixture, "s1": mixture.sources[0]}
            if kind != "mix_single":
                parts |= {"s3": mixture.sources[2]}
            for signal, samples in parts.items():
                path = tree.wav(rate, mode, signal, row.mixture_id)
                assert np.array_equal(samples, soundfile.read(path, dtype="float32")[0]), path


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5000), st.sampled_from([2, 3, 6]), st.booleans(), st.integers(0, 99))
def test_decimation_is_scipys_to_the_bit(n_samples, down, wide, seed):
    draws = np.random.default_rng(seed).standard_normal(n_samples)
    samples = draws.astype(np.float64 if wide else np.float32)
    ours = resample(samples, 8000 * down, 8000)
    assert ours.dtype == samples.dtype
    assert np.array_equal(ours, resample_poly(samples, 1, down))


def test_decimation_of_silence_within_speech_is_the_same_in_16_bits():
    samples = np.zeros(4000, np.float32)
    samples[[900, 1501, 2200, 2201]] = 0.3, -0.7, 0.9, -0.9  # sums of SciPy's near-zero taps
    ours, scipys = resample(samples, 16000, 8000), resample_poly(samples, 1, 2)
    assert np.abs(ours - scipys).max() < 1e-17
    assert np.array_equal(quantise(ours), quantise(scipys))


def test_decimation_of_several_blocks_is_scipys_to_the_bit():
    samples = np.random.default_rng(0).standard_normal(200001).astype(np.float32)
    assert np.array_equal(resample(samples, 16000, 8000), resample_poly(samples, 1, 2))
    assert np.array_equal(resample(samples, 44100, 16000), resample_poly(samples, 160, 441))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_quantise_is_libsndfiles_to_the_bit(dtype, tmp_path):
    steps = np.arange(-33000, 33000, 7) / 32768
    near = [steps + offset for offset in (0, 1e-10, -1e-10, 2.0**-32, -(2.0**-32), 1e-5, -1e-5)]
    random = np.random.default_rng(0).normal(0, 0.5, 50000)
    samples = np.concatenate([*near, random, [1.0, -1.0, 5.0, -5.0, 0.0]]).astype(dtype)
    soundfile.write(tmp_path / "x.wav", samples, 8000, "PCM_16")
    written = soundfile.read(tmp_path / "x.wav", dtype="int16")[0]
    assert np.array_equal(quantise(samples), written)


def test_a_noise_too_short_to_repeat_is_named(tmp_path):
    row = read_reference_rows(2)[0]
    write_tree([row], tmp_path / "speech", tmp_path / "noise")
    soundfile.write(tmp_path / "noise" / row["noise_path"], np.zeros(8000), 16000)
    with pytest.raises(UserError, match="half a second"):
        corpora = Corpora(tmp_path / "speech", tmp_path / "noise")
        render_mixture(parse_row(row), corpora, 8000, "min", "mix_both")


@pytest.mark.parametrize("suffix", [".wav", ".wv1"])
def test_wsj0_mixtures_equal_those_of_pywsj0_mix(suffix, tmp_path):
    reference = json.loads((DATA / "wsj0mix_reference.json").read_text())
    assert reference["commit"] == "6ca4c926057aa461866a5593413adeb4218b82c5"
    for n_src in (2, 3):
        write_wsj0(tmp_path / "disc", n_src, suffix)
        for table in sorted(LISTS.glob(f"mix_{n_src}_*.txt")):
            condition = parse_name(table)[1]
            rows = read_list(LISTS, n_src, condition, tmp_path / "disc")
            tree = Tree(
                folder=tmp_path / f"{n_src}speakers",
                split=condition,
                rates=RATES,
                modes=MODES,
                types=("mix",),
            )
            render_tree(rows, Corpora(tmp_path / "disc"), tree, 1)
            assert rows[0].n_src == n_src and rows[0].origin == "wsj0"
    assert len(reference["folders"]) == 2 * 2 * 3 * (3 + 4)
    for folder, expected in reference["folders"].items():
        assert hash_folder(tmp_path / folder, expected["names"]) == expected["sha256"], folder


def test_shorten_compressed_sphere_names_the_conversion(tmp_path):
    head = "NIST_1A\n   1024\nsample_coding -s26 pcm,embedded-shorten-v2.00\nend_head\n"
    (tmp_path / "01to030v.wv1").write_bytes(head.encode().ljust(1024) + b"ajkg" + bytes(100))
    with pytest.raises(UserError, match=r"01to030v\.wv1.*sph2pipe"):
        open_clip(tmp_path / "01to030v.wv1")
