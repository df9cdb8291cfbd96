"""Reading, rendering, packing and dynamic mixing on real files."""

import numpy as np
import pytest
import soundfile
from scipy.signal import resample_poly

from separation.audio.clips import open_clip
from separation.audio.files import read_mono
from separation.config.load import load_conf
from separation.corpora.pack import PackedAudio, pack_speakers
from separation.corpora.plugin import list_recordings
from separation.corpora.splits import assign_splits
from separation.corpora.table import format_table, read_table, scan_recordings
from separation.errors import UserError
from separation.mixtures.draw.combinations import draw_combinations
from separation.mixtures.dynamic.host import DynamicMixtures
from separation.mixtures.render import render_mixture
from separation.mixtures.source_files import Corpora
from tests.conftest import ROOT, make_voice

CONF = load_conf(ROOT, "mini/ConvTasNet", ["splits.unseen_speakers=[]", "splits.dev_share=0.2"])


@pytest.fixture(scope="module")
def table(speech_folder, tmp_path_factory):
    recordings = list_recordings("speech", speech_folder)
    folder = tmp_path_factory.mktemp("scan")
    found = scan_recordings(recordings, speech_folder, CONF.corpus, 2, folder).utterances
    return assign_splits(found, CONF.splits)


def test_table_survives_the_file(table, tmp_path):
    (tmp_path / "corpus.csv").write_text(format_table(table))
    assert read_table(tmp_path / "corpus.csv") == table
    assert len(table) == 72


def test_rendering_follows_librimix_order_of_operations(table, speech_folder, tmp_path):
    row = draw_combinations(table, "test_unseen", 1, CONF.mixtures)[0]
    mixture = render_mixture(row, Corpora(speech_folder), 8000)
    sources = []
    for source in row.sources:
        samples, rate = soundfile.read(speech_folder / source.path, dtype="float32")
        samples = samples * source.gain
        sources.append(resample_poly(samples, 8000, rate) if rate != 8000 else samples)
    shortest = min(map(len, sources))
    expected = np.stack([s[:shortest] for s in sources])
    soundfile.write(tmp_path / "sources.wav", expected.T, 8000, "PCM_16")
    soundfile.write(tmp_path / "mixture.wav", expected.sum(axis=0), 8000, "PCM_16")
    for name, signal in (("sources", mixture.sources.T), ("mixture", mixture.mixture)):
        assert np.array_equal(signal, soundfile.read(tmp_path / f"{name}.wav", dtype="float32")[0])


def test_packed_samples_are_within_one_step_of_the_resampled_ones(table, speech_folder, tmp_path):
    rows = [row for row in table if row.split == "train"]
    pack_speakers(rows, speech_folder, tmp_path, 8000, 2)
    speakers = sorted({row.speaker for row in rows})
    audio = PackedAudio(tmp_path, speakers)
    first = next(row for row in rows if row.speaker == speakers[0])
    samples, rate = read_mono(speech_folder / first.path)
    expected = resample_poly(samples, 8000, rate)
    assert np.abs(audio.read(0, 0, 0, 10**9) - expected).max() < 1 / 32767

    mixtures = DynamicMixtures(audio, 24000, CONF.mixtures, seed=3)
    mixture, sources = mixtures[17]
    assert sources.shape == (2, 24000) and mixture.equal(sources.sum(dim=0))
    again = DynamicMixtures(PackedAudio(tmp_path, speakers), 24000, CONF.mixtures, seed=3)
    assert again[17][1].equal(sources) and not again[18][1].equal(sources)


@pytest.mark.parametrize("fault", ["corrupt", "silent", "stereo", "empty"])
def test_bad_files_are_named(fault, tmp_path):
    folder = tmp_path / "anna"
    folder.mkdir()
    voice = make_voice(0, 200, 2, 8000)
    soundfile.write(folder / "good.wav", voice, 8000)
    bad = folder / "bad.wav"
    if fault == "corrupt":
        bad.write_bytes(b"RIFF but no more than that")
    elif fault == "silent":
        soundfile.write(bad, 0 * voice, 8000)
    elif fault == "stereo":
        soundfile.write(bad, np.stack([voice, voice], axis=1), 8000)
    else:
        soundfile.write(bad, voice[:0], 8000)
    recordings = list_recordings("speech", tmp_path)
    with pytest.raises(UserError, match=r"bad\.wav"):
        scan_recordings(recordings, tmp_path, CONF.corpus, 1, tmp_path / "scan")


def test_copies_under_other_names_are_dropped(tmp_path):
    (tmp_path / "anna").mkdir()
    voice = (20000 * make_voice(0, 200, 2, 8000)).astype(np.int16)
    soundfile.write(tmp_path / "anna" / "a.wav", voice, 8000)
    soundfile.write(tmp_path / "anna" / "b.flac", voice, 8000)
    recordings = list_recordings("speech", tmp_path)
    rows = scan_recordings(recordings, tmp_path, CONF.corpus, 1, tmp_path / "scan").utterances
    assert len(rows) == 1


def test_a_truncated_recording_is_refused_where_it_would_be_mixed(tmp_path):
    """Of a cut WAV file libsndfile gives what is there; stage 1 and tables took it for whole."""
    path = tmp_path / "a.wav"
    soundfile.write(path, np.ones(8000) * 0.1, 8000, "PCM_16")
    path.write_bytes(path.read_bytes()[:9044])
    for read in (read_mono, open_clip):
        with pytest.raises(UserError, match=r"a\.wav: is truncated"):
            read(path)
    assert len(read_mono(path, allow_cut=True)[0]) == 4500  # what is left of it is separated


def test_raw_gsm_is_read_though_it_cannot_be_sought_in(tmp_path):
    """The mini recipe's prompts are such files: 33 bytes for 160 samples, no header."""
    path = tmp_path / "prompt.gsm"
    voice = make_voice(5, 150, 1.0, 8000)
    soundfile.write(path, voice, 8000, subtype="GSM610", format="RAW")
    samples, rate = read_mono(path)
    assert rate == 8000 and len(samples) == -(-len(voice) // 160) * 160
    assert np.corrcoef(samples[: len(voice)], voice)[0, 1] > 0.9
