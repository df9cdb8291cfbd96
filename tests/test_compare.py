"""``python -m separation compare``: the whole way, through the real entry point."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from separation import __main__
from separation.data_stages import run_metadata
from separation.errors import UnscoredError
from separation.evaluation import comparison_scores
from separation.evaluation.breakdown import read_scores
from separation.evaluation.comparison_scores import Estimators, name_files
from separation.evaluation.test_sets import open_test_set
from separation.files import read_json
from separation.mixtures.inputs import InputOptions
from separation.model_stages import run_evaluate
from separation.models.asteroid_models import import_asteroid, load_model
from separation.options import open_experiment
from separation.run_stages import run_stage
from tests.conftest import ROOT
from tests.mixture_folders import make_sources, save_small_model, write_folder, write_mixture


@pytest.fixture
def compare(monkeypatch, capsys, caplog):
    """Run the command in this process; returns its exit code, stdout, and log before stderr."""
    caplog.set_level("INFO")

    def run(*words) -> tuple[int, str, str]:
        caplog.clear()
        argv = ["separation", "compare", *map(str, words), "--nj", "1", "--device", "cpu"]
        monkeypatch.setattr(sys, "argv", argv)
        code = __main__.main()
        captured = capsys.readouterr()
        return code, captured.out, caplog.text + captured.err

    return run


def score_as_asteroid(model_path: Path, folder: Path, name: str, rate: int) -> dict[str, float]:
    """One turn of Asteroid's evaluation loop (egs/librimix/ConvTasNet/eval.py)."""
    read = [soundfile.read(folder / part / f"{name}.wav", dtype="float32")[0] for part in PARTS]
    losses = import_asteroid("losses")
    loss = losses.PITLossWrapper(losses.pairwise_neg_sisdr, pit_from="pw_mtx")
    sources = torch.from_numpy(np.stack(read[1:]))[None]
    with torch.no_grad():
        estimates = load_model(model_path)(torch.from_numpy(read[0])[None])
        _, ordered = loss(estimates, sources, return_est=True)
    signals = (read[0][None], sources[0].numpy(), ordered[0].numpy())
    return import_asteroid("metrics").get_metrics(*signals, rate, ["si_sdr", "sdr"])


PARTS = ("mix", "s1", "s2")


def test_stage_5_compare_and_asteroid_agree_and_a_corrupt_file_is_named(tmp_path, call):
    for split in ("train", "dev", "test"):
        write_folder(tmp_path / split, 3 if split == "test" else 1)
    corpora = [f"{split}={tmp_path / split}" for split in ("train", "dev", "test")]
    sets = ["audio.sample_rate=8000", "evaluation.estimators=[mixture, model]"]
    sets.append("evaluation.check_mixtures=1")
    experiment = open_experiment(
        *("folder/ConvTasNet", sets, "t", corpora, tmp_path / "data", tmp_path / "exp"),
        *(1, "cpu"),
    )
    # Where nothing is separated Asteroid's SDR has a permutation of its own, the best SIR's.
    save_small_model(experiment.checkpoint, n_steps=40)
    experiment.mark_done("metadata", run_metadata(experiment))
    run_evaluate(experiment)
    ours = read_scores(experiment.folder / "evaluation" / "test" / "model.csv")

    (tmp_path / "test" / "s2" / "m2.wav").write_bytes(b"RIFF is all that is left")
    done = call(
        *(sys.executable, "-m", "separation", "compare", "--models", experiment.folder),
        *("--test-sets", tmp_path / "test", "--out", tmp_path / "out"),
        *("--nj", "2", "--device", "cpu", "--worst", "1", "--oracles", "irm"),
    )
    assert done.returncode == 1, done.stdout
    assert "m2 (s2/m2.wav: cannot be decoded" in done.stdout
    assert "| mixture (floor) | 0.00" in done.stdout
    assert {path.name for path in (tmp_path / "out").glob("comparison.*")} == {
        *("comparison.md", "comparison.json", "comparison.html")
    }
    (table,) = [path for path in tmp_path.glob("out/*/*.csv") if "exp" in path.name]
    theirs = read_scores(table)
    assert [row["problems"] for row in theirs] == ["", "", "unreadable"]
    assert all(row["si_sdri"] > 1 for row in ours)
    for own, other in zip(ours[:2], theirs[:2], strict=True):
        reference = score_as_asteroid(
            experiment.checkpoint, tmp_path / "test", own["mixture_ID"], 8000
        )
        assert own["audio"] == other["audio"]
        for metric, value in reference.items():
            assert own[metric] == pytest.approx(value, abs=1e-3), metric
            assert other[metric] == pytest.approx(value, abs=1e-3), metric


def test_stage_5_goes_on_past_bad_mixtures_and_is_done_once_every_file_is_read(tmp_path):
    for split in ("train", "dev", "test"):
        write_folder(tmp_path / split, 2)
    sources = make_sources(7, 2, 8000, 0.5) * [[1], [0]]
    write_mixture(tmp_path / "test", "silent", sources.sum(axis=0), sources, 8000)
    experiment = open_experiment(
        *("folder/ConvTasNet", ["evaluation.estimators=[model]", "evaluation.check_mixtures=1"]),
        *("t", [f"{split}={tmp_path / split}" for split in ("train", "dev", "test")]),
        *(tmp_path / "data", tmp_path / "exp", 1, "cpu"),
    )
    experiment.mark_done("preflight", [])
    experiment.mark_done("corpus", [])
    experiment.mark_done("metadata", run_metadata(experiment))
    experiment.mark_done("audio", [])
    experiment.mark_done("train", [save_small_model(experiment.checkpoint)])
    broken = tmp_path / "test" / "s1" / "m1.wav"
    whole = broken.read_bytes()
    broken.write_bytes(whole[:30])
    with pytest.raises(UnscoredError, match=r"m1 \(.*\); silent \(silent-reference\)"):
        run_stage(experiment, "evaluate")
    assert not experiment.is_done("evaluate")  # the file may be mended
    broken.write_bytes(whole)
    with pytest.raises(UnscoredError, match=r"1 of the mixtures.*silent \(silent-reference\)"):
        run_stage(experiment, "evaluate")
    assert experiment.is_done("evaluate")
    scores = read_json(experiment.folder / "evaluation" / "summary.json")["scores"]["test"]
    assert (scores["model"]["all"]["n_scored"], scores["model"]["all"]["n_mixtures"]) == (2, 3)


def test_killed_in_the_middle_it_goes_on_to_the_same_rows(tmp_path, compare):
    folder = write_folder(tmp_path / "calls", 16, duration_s=0.3)
    model = save_small_model(tmp_path / "model.pth")
    words = ["--models", model, "--test-sets", folder, "--oracles", "--worst", "0"]
    command = [sys.executable, "-m", "separation", "compare", *words, "--out", tmp_path / "cut"]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    process = subprocess.Popen(
        [str(word) for word in [*command, "--nj", "1"]],
        **{"cwd": ROOT, "env": environment, "stderr": subprocess.DEVNULL},
    )
    try:
        n_killed = _kill_at(process, tmp_path / "cut", 3)
    finally:
        process.kill()
        process.wait()
    assert 3 <= n_killed < 16
    code, _, stderr = compare(*words, "--out", tmp_path / "cut")
    assert code == 0, stderr
    assert compare(*words, "--out", tmp_path / "whole")[0] == 0
    tables = sorted((tmp_path / "whole").glob("*/*.csv"))
    assert len(tables) == 2
    for table in tables:
        cut = tmp_path / "cut" / table.parent.name / table.name
        assert cut.read_text() == table.read_text()


def _kill_at(process: subprocess.Popen, out: Path, n_rows: int) -> int:
    """Send SIGKILL once the model's journal holds some rows; returns how many it held."""
    for _ in range(3000):
        for journal in out.glob("*/.*model*.rows"):
            if len(journal.read_text().splitlines()) > n_rows:
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
                return len(journal.read_text().splitlines()) - 1
        assert process.poll() is None, "it ended before it was killed"
        time.sleep(0.02)
    raise AssertionError("no rows appeared")


def test_models_of_two_rates_on_three_speakers_and_one_utterance(tmp_path, compare):
    folder = write_folder(tmp_path / "talk", 1, n_src=3, rate=44100)
    models = [
        save_small_model(tmp_path / name / "model.pth", 3, rate, seed=rate)
        for name, rate in (("low", 8000), ("high", 16000))
    ]
    words = ["--models", *models, "--test-sets", folder, "--out", tmp_path / "out"]
    code, stdout, stderr = compare(*words, "--worst", "1", "--metrics", "sdr", "--sixteen-bit")
    assert code == 0, stderr
    assert "the scorer lies within" in stderr
    assert stdout.count("model.pth") >= 2
    tables = sorted((tmp_path / "out").glob("*/*.csv"))
    assert len(tables) == 6  # two models of one file name, the mixture, three oracles
    lengths = {table.name: read_scores(table)[0]["n_samples"] for table in tables}
    assert sorted(lengths.values()) == [4000] * 5 + [8000]
    row = next(read_scores(table)[0] for table in tables if "high" in table.name)
    assert {"si_sdri_3", "sdri", "si_sdr_16bit", "n_clipped"} <= set(row)
    report = (tmp_path / "out" / "comparison.md").read_text()
    assert "resampled 44100 -> 16000 Hz" in report
    assert "at 8000 Hz, the rate of the first model" in report

    third = save_small_model(tmp_path / "third.pth", 3, seed=3)
    code, _, stderr = compare(
        *words[:3], third, *words[3:], "--worst", "0", "--metrics", "sdr", "--sixteen-bit"
    )
    assert code == 0
    assert stderr.count("1 of 1 mixtures are scored already") == 6
    assert "third.pth: the scorer lies within" in stderr


def test_a_limit_is_told_and_what_was_scored_is_used_again(tmp_path, compare):
    folder = write_folder(tmp_path / "calls", 6, duration_s=0.3)
    model = save_small_model(tmp_path / "model.pth")
    words = ["--models", model, "--test-sets", folder, "--out", tmp_path / "out", "--oracles"]
    words += ["--worst", "0"]
    assert compare(*words, "--limit", "3")[0] == 0
    report = (tmp_path / "out" / "comparison.md").read_text()
    assert "3 of 6 mixtures, evenly spaced" in report
    code, _, stderr = compare(*words)
    assert code == 0
    assert stderr.count("3 of 6 mixtures are scored already") == 2


def test_mistakes_are_one_sentence_before_anything_is_scored(tmp_path, compare):
    two = write_folder(tmp_path / "two", 1)
    three = write_folder(tmp_path / "three", 1, n_src=3)
    model = save_small_model(tmp_path / "model.pth")
    (tmp_path / "file").write_text("")
    usual = {"--models": [model], "--test-sets": [two], "--out": [tmp_path / "out"]}
    for changes, said in (
        ({"--test-sets": [tmp_path / "nowhere"]}, "no such table, folder or MIX:split"),
        ({"--test-sets": [two, three]}, "separates 2 speakers but the mixtures of"),
        ({"--models": [model, model]}, "is given twice"),
        ({"--models": ["irm"]}, "write ./irm"),
        ({"--models": [tmp_path / "nothing.pth"]}, "nothing.pth"),
        ({"--metrics": ["snr"]}, "--metrics snr: choose of si_sdr"),
        ({"--oracles": ["iam"]}, "--oracles iam: choose of ibm"),
        ({"--limit": [0]}, "--limit 0: should be 1 or more"),
        ({"--rate": [100]}, "--rate 100"),
        ({"--mode": ["mid"]}, "--mode mid: choose of min, max"),
        ({"--out": [tmp_path / "file"]}, "cannot be written"),
    ):
        words = [word for pair in (usual | changes).items() for word in (pair[0], *pair[1])]
        code, stdout, stderr = compare(*words)
        sentence = stderr.splitlines()[-1]
        assert (code, stdout) == (2, ""), sentence
        assert sentence.startswith("error: "), sentence
        assert said in sentence
    assert not list(tmp_path.glob("out/*/*.csv"))


def test_names_become_files_that_stay_apart():
    names = ["JorisCos/Conv_8k", "mpariente/Conv_8k", "a/b", "a__b", "../x y", "."]
    files = name_files(names)
    assert len({text.lower() for text in files.values()}) == len(names)
    assert files["JorisCos/Conv_8k"] == "JorisCos__Conv_8k"
    assert not any(text.startswith(".") or "/" in text for text in files.values())


@pytest.mark.parametrize(("expected_db", "loud"), [(0.1, False), (3.0, True)])
def test_a_published_set_is_compared_with_what_it_should_measure(
    expected_db, loud, tmp_path, monkeypatch, caplog
):
    folder = write_folder(tmp_path / "test", 2)
    (folder / "mix").rename(folder / "mix_clean")
    found = open_test_set(str(folder), InputOptions([]), [8000])
    monkeypatch.setattr(comparison_scores, "recognise", lambda _: ("libri2mix_test-clean", True))
    anchors = {("libri2mix_test-clean", "mix_clean", 8000): (expected_db, 0.01)}
    monkeypatch.setattr("local.known_librimix.INPUT_SI_SDR_DB", anchors)
    monkeypatch.setattr(Estimators, "base_rate", 8000)
    estimators = Estimators({}, [], None, None)  # type: ignore[arg-type]
    rows = [{"input_si_sdr": value} for value in (0.05, 0.15)]
    notes = comparison_scores.judge_set(found, rows, estimators)
    assert any("NOT THE STANDARD MIXTURES" in note for note in notes) == loud
    assert ("NOT THE STANDARD MIXTURES" in caplog.text) == loud
    part = comparison_scores.judge_set(found, [rows[0], {"problems": "unreadable"}], estimators)
    assert len(part) == 1  # a set that is not whole measures something else
    model = SimpleNamespace(sample_rate=8000)
    estimators = Estimators({"m": model}, [], None, None)  # type: ignore[arg-type,dict-item]
    published = comparison_scores.name_published(found, notes, estimators)
    assert published == (() if loud else ("Libri2Mix test, min, 8 kHz, sep_clean",))
