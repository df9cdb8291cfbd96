"""``python -m separation compare``: the whole way, through the real entry point."""

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from separation import __main__
from separation.compare.scores import name_files
from separation.datasets.evaluation_sets import EvalSet, open_eval_set
from separation.datasets.options import MixtureOptions
from separation.datasets.standard_sets import compare_with_published
from separation.errors import UnscoredError
from separation.evaluation.score_rows import ScoreRow, parse_score_row, read_scores
from separation.experiment.experiment import Experiment
from separation.experiment.open import open_experiment
from separation.files import read_json
from separation.mixtures.dataset import MixtureDataset, ReadOptions
from separation.mixtures.source_files import Corpora
from separation.mixtures.table import parse_row
from separation.models.asteroid import import_asteroid
from separation.models.checkpoint.load import load_model
from separation.stages.data import run_metadata
from separation.stages.keys import evaluate_key, train_key
from separation.stages.run import run_stage
from separation.stages.state import is_done, mark_done
from tests.conftest import ROOT
from tests.support.mixture_folders import (
    make_sources,
    save_small_model,
    write_folder,
    write_mixture,
)


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


def name_splits(folder: Path) -> list[str]:
    """``--corpus`` options of a folder with train/, dev/ and test/."""
    return [f"{split}={folder / split}" for split in ("train", "dev", "test")]


def open_in(folder: Path, sets: list[str], device: str = "cpu") -> Experiment:
    """An experiment on the mixtures in a folder, with its data and results there too."""
    return open_experiment(
        "folder/ConvTasNet",
        sets,
        tag="t",
        corpora=name_splits(folder),
        data=folder / "data",
        exp=folder / "exp",
        n_jobs=1,
        device=device,
    )


@pytest.mark.slow
def test_run_sh_compare_and_asteroid_agree_and_a_corrupt_file_is_named(tmp_path, call):
    for split in ("train", "dev", "test"):
        write_folder(tmp_path / split, 3 if split == "test" else 1)
    corpora = name_splits(tmp_path)
    sets = ["audio.sample_rate=8000", "evaluation.estimators=[mixture, model]"]
    sets.append("evaluation.check_mixtures=1")
    experiment = open_in(tmp_path, sets)
    # Where nothing is separated Asteroid's SDR has a permutation of its own, the best SIR's.
    save_small_model(experiment.folder.checkpoint, n_steps=40)
    mark_done(experiment, "metadata", run_metadata(experiment))
    mark_done(experiment, "train", [experiment.folder.checkpoint])
    done = call(
        *("bash", "run.sh", "--recipe", "folder/ConvTasNet", "--tag", "t", "--device", "cpu"),
        *("--data", tmp_path / "data", "--exp", tmp_path / "exp", "--nj", "1"),
        *(word for text in corpora for word in ("--corpus", text)),
        *(word for text in sets for word in ("--set", text)),
        *("--stage", "5", "--stop-stage", "5"),
    )
    assert done.returncode == 0, done.stdout
    assert is_done(experiment, "evaluate")
    ours = read_scores(experiment.folder.scores("test", "model"))

    (tmp_path / "test" / "s2" / "m2.wav").write_bytes(b"RIFF is all that is left")
    done = call(
        *(sys.executable, "-m", "separation", "compare", "--models", experiment.folder.path),
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
    assert [row.problems for row in theirs] == [(), (), ("unreadable",)]
    assert all(row.values["si_sdri"] > 1 for row in ours)
    for own, other in zip(ours[:2], theirs[:2], strict=True):
        checkpoint = experiment.folder.checkpoint
        reference = score_as_asteroid(checkpoint, tmp_path / "test", own.mixture_id, 8000)
        assert own.audio == other.audio
        for metric, value in reference.items():
            assert own.values[metric] == pytest.approx(value, abs=1e-3), metric
            assert other.values[metric] == pytest.approx(value, abs=1e-3), metric


def test_stage_5_goes_on_past_bad_mixtures_and_is_done_once_every_file_is_read(tmp_path):
    for split in ("train", "dev", "test"):
        write_folder(tmp_path / split, 2)
    sources = make_sources(7, 2, 8000, 0.5) * [[1], [0]]
    write_mixture(tmp_path / "test", "silent", sources.sum(axis=0), sources, 8000)
    sets = ["evaluation.estimators=[model]", "evaluation.check_mixtures=1"]
    experiment = open_in(tmp_path, sets)
    for stage in ("preflight", "corpus", "audio"):
        mark_done(experiment, stage, [])
    mark_done(experiment, "metadata", run_metadata(experiment))
    mark_done(experiment, "train", [save_small_model(experiment.folder.checkpoint)])
    broken = tmp_path / "test" / "s1" / "m1.wav"
    whole = broken.read_bytes()
    broken.write_bytes(whole[:30])
    with pytest.raises(UnscoredError, match=r"m1 \(.*\); silent \(silent-reference\)"):
        run_stage(experiment, "evaluate")
    assert not is_done(experiment, "evaluate")  # the file may be replaced
    broken.write_bytes(whole)
    with pytest.raises(UnscoredError, match=r"1 of the mixtures.*silent \(silent-reference\)"):
        run_stage(experiment, "evaluate")
    assert is_done(experiment, "evaluate")
    whole = experiment.folder.read_summary().scores["test"]["model"]["all"]
    assert (whole.n_scored, whole.n_mixtures) == (2, 3)


@pytest.mark.slow
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
    lengths = {table.name: read_scores(table)[0].n_samples for table in tables}
    assert sorted(lengths.values()) == [4000] * 5 + [8000]
    row = next(read_scores(table)[0] for table in tables if "high" in table.name)
    assert {"si_sdri_3", "sdri", "si_sdr_16bit", "n_clipped"} <= set(row.as_cells())
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
        ({"--limit": [0]}, "--limit 0: should be a whole number, 1 or more"),
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


def test_equal_references_are_in_no_estimators_mean(tmp_path, compare):
    """The floor's mean held them with 150 dB, the binary mask's did not."""
    folder = write_folder(tmp_path / "calls", 2, duration_s=0.3)
    voice = make_sources(5, 1, 8000, 0.4)[0]
    write_mixture(folder, "same", 2 * voice, np.stack([voice, voice]), 8000)
    model = save_small_model(tmp_path / "model.pth")
    words = ["--models", model, "--test-sets", folder, "--out", tmp_path / "out", "--worst", "0"]
    code, stdout, _ = compare(*words)
    assert code == 1 and "150" not in stdout
    for table in (tmp_path / "out").glob("*/*.csv"):
        rows = read_scores(table)
        assert [row.is_scored for row in rows] == [True, True, False], table
        assert "same-references" in rows[2].problems
        # as an earlier version wrote it
        old = parse_score_row(rows[2].as_cells() | {"si_sdri": 150.0, "si_sdr": 150.0})
        assert not old.is_scored


def test_names_become_files_that_stay_apart():
    names = ["JorisCos/Conv_8k", "mpariente/Conv_8k", "a/b", "a__b", "../x y", "."]
    files = name_files(names)
    assert len({text.lower() for text in files.values()}) == len(names)
    assert files["JorisCos/Conv_8k"] == "JorisCos__Conv_8k"
    assert not any(text.startswith(".") or "/" in text for text in files.values())
    # a file system counts bytes, of which a Chinese character has three
    long = [f"{'录音' * 100}{number}/测试{'集' * 100}" for number in (1, 2)]
    files = name_files([*long, "录音/测试"])
    assert files["录音/测试"] == "录音__测试"
    assert len(set(files.values())) == 3
    assert all(len(f".{text}-12345678.rows.partial".encode()) < 255 for text in files.values())


@pytest.mark.parametrize(
    ("expected_db", "kind", "said"),
    [
        ({"mix_clean": 0.1, "mix_both": -2.0}, "mix_clean", "mix_clean within"),
        ({"mix_clean": 3.0, "mix_both": 0.1}, "mix_clean", "NOT THE STANDARD MIXTURES"),
        # folders mix/ s1/ s2/ do not say which of both they are, and were never looked at
        ({"mix_clean": 3.0, "mix_both": 0.1}, "mix", "mix_both within"),
        ({"mix_clean": 3.0, "mix_both": -2.0}, "mix", "NOT THE STANDARD MIXTURES"),
    ],
)
def test_a_published_set_is_compared_with_what_it_should_measure(
    expected_db, kind, said, tmp_path, librimix, caplog
):
    found = librimix(kind, {(own, 8000): db for own, db in expected_db.items()})
    verdict = compare_with_published(found, {"mixture": INPUTS}, {"mixture": 8000})
    assert said in verdict.notes[-1]
    loud = said.isupper()
    assert ("NOT THE STANDARD MIXTURES" in caplog.text) == loud
    task = "sep_noisy" if "both" in said else "sep_clean"
    assert verdict.standard == (() if loud else (f"Libri2Mix test, min, 8 kHz, {task}",))


def make_input_row(mixture_id: str, input_db: float) -> ScoreRow:
    return ScoreRow(mixture_id=mixture_id, values={"input_si_sdr": input_db})


INPUTS = [make_input_row("m0", 0.05), make_input_row("m1", 0.15)]


@pytest.fixture
def librimix(tmp_path, monkeypatch):
    """A set of two mixtures that has the IDs of a published list, with anchors of our own."""

    def make(kind: str, expected_db: dict, rate: int = 8000) -> EvalSet:
        folder = write_folder(tmp_path / "test", 2, rate=rate)
        if kind != "mix":
            (folder / "mix").rename(folder / kind)
        name = "libri2mix_test-clean"
        monkeypatch.setattr("local.librimix.recognise", lambda _: (name, True))
        anchors = {(name, own, hz): (db, 0.01) for (own, hz), db in expected_db.items()}
        monkeypatch.setattr("local.librimix.INPUT_SI_SDR_DB", anchors)
        return open_eval_set(str(folder), MixtureOptions(), [8000])

    return make


def test_the_anchor_is_that_of_the_audio_and_not_of_the_first_model(librimix, caplog):
    """A wav8k tree was said to be no standard set where a model of 16 kHz came first."""
    found = librimix("mix_both", {("mix_both", 8000): 0.1, ("mix_both", 16000): -5.0})
    rates = {"mixture": 16000, "high": 16000}
    rows = {"mixture": INPUTS, "high": INPUTS}
    verdict = compare_with_published(found, rows, rates)
    assert "above its own 8000 Hz only" in verdict.notes[-1] and not caplog.text
    assert verdict.standard == ()
    # where a model works at the audio's rate, its rows are what counts
    other = [make_input_row("m0", 9.0), make_input_row("m1", 9.0)]
    verdict = compare_with_published(
        found, {"mixture": other, "low": INPUTS}, {"mixture": 16000, "low": 8000}
    )
    assert verdict.standard == ("Libri2Mix test, min, 8 kHz, sep_noisy",) and not caplog.text


def test_audio_brought_to_a_lower_rate_has_that_rates_anchor(librimix):
    found = librimix("mix_both", {("mix_both", 8000): 0.1, ("mix_both", 16000): -5.0}, 16000)
    verdict = compare_with_published(found, {"mixture": INPUTS}, {"mixture": 8000})
    assert "(min, 8000 Hz)" in verdict.notes[-1] and "mix_both within" in verdict.notes[-1]
    assert verdict.standard == ()  # the published one of 8 kHz has files of 8 kHz


def test_a_set_is_standard_only_at_rates_at_which_it_was_measured(librimix):
    found = dataclasses.replace(librimix("mix_clean", {("mix_clean", 8000): 0.1}), own_rate=0)
    whole, part = INPUTS, [INPUTS[0], ScoreRow(mixture_id="m1", problems=("model-failed",))]
    verdict = compare_with_published(
        found, {"mixture": whole, "high": part}, {"mixture": 8000, "high": 16000}
    )
    assert verdict.standard == ("Libri2Mix test, min, 8 kHz, sep_clean",)


def test_what_is_not_checked_is_said(librimix, tmp_path, monkeypatch):
    """One unreadable mixture, --limit or a part of a copy switched the check off in silence."""
    found = librimix("mix_clean", {("mix_clean", 8000): 0.1})
    part = [INPUTS[0], ScoreRow(mixture_id="m1", problems=("unreadable",))]
    verdict = compare_with_published(found, {"mixture": part}, {"mixture": 8000})
    assert "not checked" in verdict.notes[-1] and "could not be measured" in verdict.notes[-1]
    assert verdict.standard == ()
    monkeypatch.undo()
    for number in (1, 2):
        name = f"672-122797-000{number}_3570-5694-0009"
        sources = make_sources(number, 2, 8000, 0.3)
        write_mixture(tmp_path / "part", name, sources.sum(axis=0), sources, 8000)
    found = open_eval_set(str(tmp_path / "part"), MixtureOptions(), [8000])
    (note,) = compare_with_published(found, {"mixture": INPUTS}, {"mixture": 8000}).notes
    assert "2 of 3,000 mixtures" in note and "not checked" in note
    # official trees have no table of speakers, but names that hold them
    assert [source.speaker for source in found.rows[0].sources] == ["672", "3570"]


def test_fingerprints_do_not_depend_on_the_order_of_the_models(tmp_path, compare):
    """Of audio that exists they were those of the samples at the first model's rate."""
    folder = write_folder(tmp_path / "calls", 2, rate=16000, duration_s=0.3)
    models = [
        save_small_model(tmp_path / f"{rate}.pth", rate=rate, seed=rate) for rate in (8000, 16000)
    ]
    found = []
    for order in (models, models[::-1]):
        out = tmp_path / f"out{len(found)}"
        words = ["--test-sets", folder, "--out", out, "--oracles", "--worst", "0"]
        assert compare("--models", *order, *words, "--limit", "1")[0] == 0
        (own,) = read_json(out / "comparison.json")["sets"]
        found.append(own)
        line = next(
            line for line in (out / "comparison.md").read_text().splitlines()
            if line.startswith("| " + own["name"] + " | audio")
        )  # fmt: skip
        assert "| audio | mix | – |" in line and "| 1 of 2 |" in line
        assert f"{own['audio']['16000']} at 16000 Hz" in line
    assert found[0]["audio"] == found[1]["audio"] and set(found[0]["audio"]) == {"8000", "16000"}
    assert len(set(found[0]["audio"].values())) == 2
    assert found[0]["fingerprint"] == "" and (found[0]["type"], found[0]["n_whole"]) == ("mix", 2)


def test_existing_audio_that_changes_is_scored_anew_and_so_is_another_device(tmp_path, monkeypatch):
    """Stage 5 was done for good, whatever became of the files."""
    for split in ("train", "dev", "test"):
        write_folder(tmp_path / split, 2, duration_s=0.3)

    def find_keys(device: str = "cpu") -> tuple[str, str]:
        experiment = open_in(tmp_path, [], device)
        return train_key(experiment), evaluate_key(experiment)

    save_small_model(open_in(tmp_path, []).folder.checkpoint)
    first = find_keys()
    assert find_keys() == first
    assert find_keys("cuda")[0] == first[0] and find_keys("cuda")[1] != first[1]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert find_keys("auto") == first
    sources = make_sources(5, 2, 8000, 0.3)
    write_mixture(tmp_path / "test", "m1", sources.sum(axis=0), sources, 8000)
    second = find_keys()
    assert second[0] == first[0] and second[1] != first[1]


def test_a_table_whose_recordings_change_is_rendered_and_scored_anew(tmp_path):
    """Stage 5 kept rows by the table's line alone."""
    soundfile.write(tmp_path / "a.wav", np.zeros(800), 16000)
    row = {"mixture_ID": "m", "source_1_path": "a.wav", "source_1_gain": "1"}
    row |= {"source_2_path": "a.wav", "source_2_gain": "1"}
    options = ReadOptions(corpora=Corpora(tmp_path), sample_rate=8000)
    mixtures = MixtureDataset([parse_row(row)], options)
    before = mixtures.stamp(0)
    assert mixtures.stamp(0) == before
    soundfile.write(tmp_path / "a.wav", np.zeros(900), 16000)
    assert mixtures.stamp(0) != before
