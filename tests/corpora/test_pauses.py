"""Long recordings: cut at pauses for the fixed lists, and memory that stays bounded."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import soundfile

from separation.cli.main import main
from separation.config.load import load_conf
from separation.corpora.pauses import find_pieces
from separation.errors import UserError
from separation.files import read_rows
from separation.mixtures import kept
from separation.mixtures.dataset import MixtureDataset, ReadOptions
from separation.mixtures.layout import list_files
from tests.conftest import ROOT, make_voice
from tests.support.inputs_page import is_documented
from tests.support.mixture_folders import write_folder

RATE = 8000


def make_talk(seed: int, n_sentences: int, pause_s: float = 0.6) -> np.ndarray:
    """Sentences of 2 s and pauses between them."""
    parts = []
    for number in range(n_sentences):
        parts += [make_voice(seed + number, 100 + seed % 90, 2.0, RATE)]
        parts += [np.zeros(round(pause_s * RATE), np.float32)]
    noise = np.random.default_rng(seed).normal(0, 1e-4, round(n_sentences * (2 + pause_s) * RATE))
    return np.concatenate(parts) + noise.astype(np.float32)


def test_cuts_lie_in_pauses_and_lose_nothing():
    talk = make_talk(3, 12)
    pieces = find_pieces(talk, RATE, 6.0)
    assert pieces[0][0] == 0 and all(a == b for (_, a), (b, _) in itertools.pairwise(pieces))
    assert pieces[-1][1] > len(talk) - 0.1 * RATE
    for start, end in pieces:
        assert end - start <= 6.0 * RATE
        edge = talk[max(0, end - 80) : end + 80]
        assert np.abs(edge).max() < 0.01 * np.abs(talk).max()


def test_pieces_without_speech_are_left_out():
    silence = np.random.default_rng(0).normal(0, 1e-4, 20 * RATE).astype(np.float32)
    talk = np.concatenate([make_talk(1, 4), silence, make_talk(5, 4)])
    pieces = find_pieces(talk, RATE, 5.0)
    assert sum(b - a for a, b in pieces) < len(talk) - 12 * RATE
    assert all(np.abs(talk[a:b]).max() > 0.05 for a, b in pieces)


def test_a_piece_shorter_than_what_is_mixed_makes_no_sense():
    with pytest.raises(UserError) as caught:
        load_conf(ROOT, "folder/ConvTasNet", ["mixtures.max_utterance_s=3"])
    assert is_documented(str(caught.value))


@pytest.fixture(scope="module")
def talks(tmp_path_factory) -> Path:
    """Six people who talk for a minute each."""
    root = tmp_path_factory.mktemp("talks")
    for number in range(6):
        path = root / f"p{number}_{'FM'[number % 2]}" / "talk.wav"
        path.parent.mkdir()
        soundfile.write(path, make_talk(20 * number, 24), RATE, "PCM_16")
    return root


@pytest.mark.parametrize("rules", ["librimix", "teams"])
def test_lists_hold_pieces_of_bounded_length(rules, talks, tmp_path, capsys):
    """500 dev mixtures of 10 minutes took 29 GB; here one mixture of a minute was all of dev."""
    words = [
        *("--recipe=folder/ConvTasNet", f"--corpus=speech={talks}", f"--data={tmp_path}"),
        *(f"--exp={tmp_path}", "--nj=1", "--set=mixtures.max_utterance_s=8"),
        *("--set=mixtures.n_dev=9", "--set=mixtures.n_test=9", "--set=mixtures.n_train=9"),
        f"--set=metadata.rules={rules}",
    ]
    for stage in ("preflight", "corpus", "metadata"):
        assert main([stage, *words]) == 0
    said = capsys.readouterr().out.splitlines()
    cut = [line for line in said if "cut at pauses" in line]
    assert len(cut) == 3 and all(map(is_documented, cut))
    for split in ("train", "dev", "test"):
        (table,) = tmp_path.rglob(f"metadata/{split}.csv")
        rows = read_rows(table)
        assert len(rows) == 9
        for row in rows:
            assert all(0 < int(row[f"source_{k}_n_samples"]) <= 8 * RATE for k in (1, 2))
    corpora = [f"--corpus=speech={talks}", "--nj=1"]
    assert main(["render", str(table), *corpora, "--out", str(tmp_path / "tree")]) == 0
    assert main(["validate", str(table), *corpora]) == 0


def test_without_the_key_recordings_stay_whole(talks, tmp_path):
    words = [f"--corpus=speech={talks}", f"--data={tmp_path}", f"--exp={tmp_path}", "--nj=1"]
    words += ["--recipe=folder/ConvTasNet", "--set=mixtures.max_utterance_s=0"]
    for stage in ("preflight", "corpus", "metadata"):
        assert main([stage, *words]) == 0
    (table,) = tmp_path.rglob("metadata/dev.csv")
    assert "source_1_start" not in read_rows(table)[0]


def test_kept_mixtures_take_bounded_memory(tmp_path, monkeypatch):
    rows = list_files(write_folder(tmp_path / "set", 6))
    mixtures = MixtureDataset(rows, ReadOptions(corpora=None, sample_rate=RATE))
    monkeypatch.setattr(kept, "measure_memory", lambda: 4 * 3 * 4000 * 2.0 / kept.MEMORY_SHARE)
    mixtures.keep(1, "dev")
    assert 0 < sum(mixtures.holds([number]) for number in range(6)) < 6
    assert len(list(mixtures)) == 6
