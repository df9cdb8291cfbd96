"""``python -m separation render``: options, interruption, layout, mistakes."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import numpy as np
import pytest
import soundfile

from separation.errors import UserError
from separation.files import format_rows, read_rows
from separation.mixtures.render import render_mixture
from separation.mixtures.source_files import Corpora
from separation.mixtures.table import SourceRef, make_row
from separation.wav_trees.tree import Tree, render_tree
from tests.conftest import ROOT
from tests.support.librimix_tree import DATA, hash_folder, read_reference_rows, write_tree

TABLE = DATA / "libri2mix_test-clean.csv"
NAMES = [row["mixture_ID"] for row in read_reference_rows(2)]
RENDER = [sys.executable, "-m", "separation", "render"]


@pytest.fixture(scope="module")
def corpora(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("corpora")
    for n_src in (2, 3):
        write_tree(read_reference_rows(n_src), folder / "LibriSpeech", folder / "wham")
    return folder


def roots(corpora: Path) -> list[str]:
    speech, wham = corpora / "LibriSpeech", corpora / "wham"
    return ["--corpus", f"librispeech={speech}", "--corpus", f"wham={wham}"]


def hash_tree(out: Path) -> dict[str, str]:
    folders = sorted(out.glob("Libri2Mix/wav*/*/test/*"))
    return {str(folder.relative_to(out)): hash_folder(folder, NAMES) for folder in folders}


def read_tables(out: Path) -> dict[str, str]:
    tables = sorted(out.glob("Libri2Mix/wav*/*/metadata/*.csv"))
    return {str(table.relative_to(out)): table.read_text() for table in tables}


def test_mix_clean_needs_no_noise(corpora, call, tmp_path):
    speech = ["--corpus", f"librispeech={corpora / 'LibriSpeech'}"]
    done = call(*RENDER, TABLE, *speech, "--out", tmp_path, "--types", "mix_clean")
    assert done.returncode == 0, done.stdout
    branch = tmp_path / "Libri2Mix" / "wav8k" / "min"
    assert {path.name for path in (branch / "test").iterdir()} == {"s1", "s2", "mix_clean"}
    row = read_rows(branch / "metadata" / "mixture_test_mix_clean.csv")[0]
    assert (tmp_path / row["mixture_path"]).is_file() and not Path(
        row["source_1_path"]
    ).is_absolute()
    assert int(row["length"]) == soundfile.info(tmp_path / row["source_2_path"]).frames
    done = call(*RENDER, TABLE, *speech, "--out", tmp_path, "--types", "mix_both")
    assert done.returncode == 2 and "--corpus wham=DIR" in done.stdout


def test_killed_anywhere_and_started_again_is_complete_and_the_same(corpora, call, tmp_path):
    options = ["--rates", "8000", "16000", "--modes", "min", "max"]
    options += ["--types", "mix_clean", "mix_both", "mix_single", "--nj", "2"]
    whole = call(*RENDER, TABLE, *roots(corpora), "--out", tmp_path / "whole", *options)
    assert whole.returncode == 0, whole.stdout
    killed = [*RENDER, str(TABLE), *roots(corpora), "--out", str(tmp_path / "killed"), *options]
    journal = tmp_path / "killed" / "Libri2Mix" / ".render_test.jsonl"
    counts = []
    for wanted in (3, 9, 20):
        process = subprocess.Popen(killed, cwd=ROOT, stderr=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, start_new_session=True)  # fmt: skip
        while process.poll() is None and _count_lines(journal) < wanted:
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)  # the parent alone: its workers must not stay
        process.wait()
        counts.append(_count_lines(journal))
        assert not read_tables(tmp_path / "killed")  # CSV files come last
    assert counts == sorted(counts) and counts[-1] < len(NAMES) + 1
    done = call(*killed)
    assert done.returncode == 0 and "mixtures are there" in done.stdout, done.stdout
    assert hash_tree(tmp_path / "killed") == hash_tree(tmp_path / "whole")
    assert read_tables(tmp_path / "killed") == read_tables(tmp_path / "whole")


def _count_lines(path: Path) -> int:
    return path.read_text().count("\n") if path.is_file() else 0


def test_later_outputs_join_earlier_ones(corpora, call, tmp_path):
    out = ["--out", tmp_path / "out"]
    assert call(*RENDER, TABLE, *roots(corpora), *out).returncode == 0
    wav = Tree(
        folder=tmp_path / "out" / "Libri2Mix", split="test", rates=(), modes=(), types=()
    ).wav(8000, "min", "s1", NAMES[0])
    before = wav.stat().st_mtime_ns
    assert call(*RENDER, TABLE, *roots(corpora), *out).returncode == 0
    assert wav.stat().st_mtime_ns == before
    wav.unlink()
    both = ["--types", "mix_clean", "mix_both", "--modes", "min", "max"]
    done = call(*RENDER, TABLE, *roots(corpora), *out, *both)
    assert done.returncode == 0, done.stdout
    whole = ["--out", tmp_path / "whole", *both]
    assert call(*RENDER, TABLE, *roots(corpora), *whole).returncode == 0
    assert hash_tree(tmp_path / "out") == hash_tree(tmp_path / "whole")


def test_asteroids_own_dataset_loads_the_tree(corpora, call, tmp_path, monkeypatch):
    three = DATA / "libri3mix_test-clean.csv"
    speech = ["--corpus", f"librispeech={corpora / 'LibriSpeech'}"]
    for table in (TABLE, three):
        done = call(*RENDER, table, *speech, "--out", tmp_path, "--absolute-paths")
        assert done.returncode == 0, done.stdout
    package = Path(importlib.util.find_spec("asteroid").submodule_search_locations[0])
    # asteroid.data itself imports librosa, which nothing here needs
    shell = types.ModuleType("asteroid_data")
    shell.__path__ = [str(package / "data")]
    monkeypatch.setitem(sys.modules, "asteroid_data", shell)
    module = importlib.import_module("asteroid_data.librimix_dataset")
    for n_src in (2, 3):
        metadata = tmp_path / f"Libri{n_src}Mix" / "wav8k" / "min" / "metadata"
        folder = tmp_path / f"local{n_src}"  # as Asteroid's create_local_metadata.py makes it
        folder.mkdir()
        shutil.copy(metadata / "mixture_test_mix_clean.csv", folder)
        data = module.LibriMix(folder, "sep_clean", 8000, n_src, segment=None)
        mixture, sources = data[0]
        assert len(data) == len(read_reference_rows(n_src))
        assert sources.shape == (n_src, len(mixture))
        total = sources.sum(0)
        whole = (sources.abs().amax(0) < 0.99) & (total.abs() < 0.99)  # nothing saturates
        assert abs(total - mixture)[whole].max() <= (n_src - 1) / 32768 + 1e-6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--types", "mixclean"], "--types mixclean"),
        (["--modes", "mid"], "--modes mid"),
        (["--rates", "8001"], "--rates 8001"),
        (["--corpus", "wham=/no/such"], "no such folder"),
        (["--corpus", "other=/tmp"], "one corpus of speech"),
        (["--out", "/proc/no"], "cannot be written"),
    ],
)
def test_bad_options_are_one_sentence(corpora, call, tmp_path, change, message):
    done = call(*RENDER, TABLE, *roots(corpora), "--out", tmp_path, *change)
    assert done.returncode == 2 and message in done.stdout and "Traceback" not in done.stdout


def test_all_bad_files_are_listed_before_anything_is_made(corpora, call, tmp_path):
    rows = read_reference_rows(2)[:8]
    write_tree(rows, tmp_path / "speech", tmp_path / "wham")
    paths = [tmp_path / "speech" / row["source_1_path"] for row in rows]
    paths[0].unlink()
    paths[1].write_bytes(paths[1].read_bytes()[:20000])
    soundfile.write(paths[2], np.zeros((30000, 2)), 16000)
    paths[3].write_bytes(b"this is no FLAC file")
    wav = tmp_path / "wham" / rows[4]["noise_path"]
    wav.write_bytes(wav.read_bytes()[:9000])
    (tmp_path / "libri2mix_test-clean.csv").write_text(format_rows(rows))
    done = call(
        *RENDER, tmp_path / "libri2mix_test-clean.csv", "--corpus", f"x={tmp_path / 'speech'}",
        "--corpus", f"wham={tmp_path / 'wham'}", "--types", "mix_both", "--out", tmp_path / "out",
    )  # fmt: skip
    assert done.returncode == 2 and "Traceback" not in done.stdout, done.stdout
    for path, reason in (
        (paths[0], "is not there"),
        (paths[1], "is truncated"),
        (paths[2], "2 channels"),
        (paths[3], "cannot be decoded"),
        (wav, "is truncated"),
    ):
        assert any(str(path) in line and reason in line for line in done.stdout.splitlines())
    assert "5 of" in done.stdout and not list((tmp_path / "out").rglob("*.wav"))


def test_bad_tables_are_told(corpora, call, tmp_path):
    rows = read_reference_rows(2)[:3]
    cases = {
        "gain": [rows[0] | {"source_1_gain": "loud"}],
        "absolute": [rows[0] | {"source_1_path": "/etc/passwd"}],
        "twice": [rows[0], rows[0] | {"source_1_gain": "0.5"}],
        "columns": [{"name": "x", "path": "y"}],
    }
    for name, table in cases.items():
        (tmp_path / f"{name}.csv").write_text(format_rows(table))
    (tmp_path / "cut.csv").write_text(format_rows(rows)[:-60])
    (tmp_path / "empty.csv").write_text("mixture_ID\n")
    messages = {
        "gain": "is not a gain",
        "absolute": "should be relative",
        "twice": "more than once",
    }
    messages |= {"columns": "is no mixture table", "cut": "columns", "empty": "no mixtures"}
    for name, message in messages.items():
        table = tmp_path / f"{name}.csv"
        done = call(*RENDER, table, *roots(corpora), "--out", tmp_path / "out")
        assert done.returncode == 2 and message in done.stdout, (name, done.stdout)


def test_a_full_disk_is_told_before_rendering(corpora, tmp_path, monkeypatch, capsys):
    import collections

    from separation.__main__ import main

    usage = collections.namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(10**6, 10**6 - 1000, 1000))
    speech = f"librispeech={corpora / 'LibriSpeech'}"
    command = ["separation", "render", str(TABLE), "--corpus", speech, "--out", str(tmp_path)]
    monkeypatch.setattr("sys.argv", command)
    assert main() == 2
    assert "GB free where" in capsys.readouterr().err and not list(tmp_path.rglob("*.wav"))


def test_a_table_of_joined_pieces_is_rendered(tmp_path):
    """The disk space of a source of several recordings was looked for under their joined name."""
    paths = ["a/1.wav", "a/2.wav", "b/1.wav"]
    for number, path in enumerate(paths):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        noise = np.random.default_rng(number).normal(0, 0.1, 9000)
        soundfile.write(tmp_path / path, noise, 16000, "PCM_16")
    piece = SourceRef(paths=("a/1.wav", "a/2.wav"), start=5000, n_samples=8000, gain=0.5)
    row = make_row("m0", [piece, SourceRef(paths=("b/1.wav",), gain=0.7)])
    tree = Tree(
        folder=tmp_path / "out", split="train", rates=(8000,), modes=("min",), types=("mix_clean",)
    )
    render_tree([row], Corpora(tmp_path), tree, 1)
    rendered = render_mixture(row, Corpora(tmp_path), 8000)
    stored = soundfile.read(tree.wav(8000, "min", "mix_clean", "m0"), dtype="float32")[0]
    assert len(stored) == 4000 and np.array_equal(stored, rendered.mixture)


def test_recordings_of_a_lower_rate_are_refused(tmp_path):
    """They were rendered with an empty upper band, which validate then complained of."""
    for name, rate in (("a", 16000), ("b", 8000)):
        soundfile.write(tmp_path / f"{name}.wav", np.ones(rate) * 0.1, rate)
    row = make_row("m0", [SourceRef(paths=(f"{name}.wav",), gain=1.0) for name in "ab"])
    tree = Tree(
        folder=tmp_path / "out",
        split="test",
        rates=(8000, 16000),
        modes=("min",),
        types=("mix_clean",),
    )
    with pytest.raises(UserError, match=r"--rates 16000: 1 recordings have less \(.*b\.wav: 8000"):
        render_tree([row], Corpora(tmp_path), tree, 1)
    assert not list((tmp_path / "out").rglob("*.wav"))
