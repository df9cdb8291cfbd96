"""The real entry point: options, the whole way, interruption, edits."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import mir_eval
import pytest
import soundfile

from separation.config.load import load_conf
from separation.evaluation.references import MixtureItself, make_oracle_mask
from separation.files import read_rows
from separation.metrics import sdr_db
from separation.mixtures.render import render_mixture
from separation.mixtures.source_files import Corpora
from separation.mixtures.table import parse_row
from tests.conftest import ROOT, make_voice

TINY = {
    "model.n_filters": 32,
    "model.bn_chan": 16,
    "model.hid_chan": 24,
    "model.skip_chan": 16,
    "model.n_blocks": 3,
    "model.n_repeats": 1,
    "training.init_from": "",
    "training.compile": "off",
    "training.epoch_mixtures": 16,
    "training.epochs": 3,
    "training.segment_s": 1.0,
    "splits.dev_share": 0.2,
    "splits.test_share": 0.2,
    "mixtures.n_dev": 6,
    "mixtures.n_test": 6,
}


def options(folder: Path, speech: Path | None, **changes) -> list[str]:
    sets = [f"{key}={value}" for key, value in (TINY | changes).items()]
    corpus = ["--corpus", f"speech={speech}"] if speech else []
    paths = ["--data", str(folder / "data"), "--exp", str(folder / "exp"), "--device", "cpu"]
    return [*corpus, *paths, *(word for text in sets for word in ("--set", text))]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--stages", "1"], "unknown option --stages"),
        (["--set", ""], "needs a value"),
        (["--stage", "one"], "whole number"),
        (["--stage", "5", "--stop-stage", "2"], "stages run from 0 to 6"),
        (["--recipe", "mini/ConvTasnet"], "mini/ConvTasNet"),
        (["--device", "tpu"], "--device tpu: choose of auto, cpu, cuda"),
        (["--tag", "../x"], "--tag"),
        (["--corpus", "speech"], "NAME=DIR"),
        (["--set", "training.batchsize=4"], "did you mean training.batch_size"),
        (["--set", "model.stride=7"], "use model.stride=32"),
        (["--corpus", "speech=/no/such/folder"], "no such folder"),
        (["--data", "/proc/no"], "cannot be written"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(call, arguments, message, tmp_path):
    if "--data" not in arguments:
        arguments = [*arguments, "--data", str(tmp_path / "data")]
    done = call("bash", "run.sh", "--exp", tmp_path / "exp", *arguments)
    assert done.returncode == 2, done.stdout
    assert message in done.stdout and "Traceback" not in done.stdout


def test_empty_corpus_folder_is_named(call, tmp_path):
    (tmp_path / "empty").mkdir()
    done = call("bash", "run.sh", *options(tmp_path, tmp_path / "empty"))
    assert done.returncode == 2 and "is empty" in done.stdout


def test_paths_are_the_callers_and_the_package_is_not(speech_folder, call, tmp_path):
    """Where one stands a folder may be called as the package is."""
    (tmp_path / "separation").mkdir()
    (tmp_path / "separation" / "__init__.py").write_text("raise SystemExit('the wrong package')")
    (tmp_path / "speech").symlink_to(speech_folder)
    options = ["--corpus", "speech=speech", "--data", "data", "--exp", "made/exp"]
    done = call("bash", ROOT / "run.sh", *options, "--stop-stage", "0", cwd=tmp_path)
    assert done.returncode == 0 and "72 recordings of 6 speakers" in done.stdout, done.stdout
    assert (tmp_path / "data/mini/.done_0_preflight.json").is_file()
    assert (tmp_path / "made/exp/mini/ConvTasNet/default").is_dir()


def test_help_prints_the_stage_table(call):
    done = call("bash", "egs/mini/ConvTasNet/run.sh", "--help")
    assert done.returncode == 0 and "6 report" in done.stdout


def _kill_in_stage(command: list[str], number: int) -> None:
    """Start the command and kill its whole process group once stage ``number`` says it runs."""
    process = subprocess.Popen(
        command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    started = any(
        line.startswith(f"stage {number} ") and line.endswith(": running\n")
        for line in process.stdout
    )
    assert started, f"stage {number} never ran"
    time.sleep(0.2 * number)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.fixture(scope="module")
def finished(speech_folder, tmp_path_factory) -> Path:
    """A whole run that was killed -9 in each of its stages, then called once more."""
    folder = tmp_path_factory.mktemp("run")
    command = ["bash", "run.sh", *options(folder, speech_folder)]
    for number in range(7):
        _kill_in_stage(command, number)
    done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SI-SDRi" in done.stdout
    return folder


def experiment(folder: Path) -> Path:
    return folder / "exp" / "mini" / "ConvTasNet" / "default"


@pytest.mark.slow
def test_killed_run_ends_with_a_complete_result(finished):
    folder = experiment(finished)
    for split, count in (("test_seen", 6), ("test_unseen", 6)):
        for name in ("mixture", "model", "irm"):
            with open(folder / "evaluation" / split / f"{name}.csv") as handle:
                rows = list(csv.DictReader(handle))
            assert len(rows) >= count and len({row["mixture_ID"] for row in rows}) == len(rows)
    scores = json.loads((folder / "evaluation" / "summary.json").read_text())["scores"]
    for estimators in scores.values():
        assert estimators["mixture"]["all"]["si_sdri"]["mean"] == 0
        assert estimators["irm"]["all"]["si_sdri"]["mean"] > 5
    with open(folder / "curves.csv") as handle:
        assert [row["epoch"] for row in csv.DictReader(handle)] == ["0", "1", "2"]
    page = (folder / "report.html").read_text()
    assert page.count("<audio") == 2 * 3 * 5 and 'src="http' not in page
    assert not list(finished.rglob("*.partial"))


@pytest.mark.slow
def test_second_run_finds_everything_done(finished, speech_folder, call):
    began = time.monotonic()
    done = call("bash", "run.sh", *options(finished, speech_folder))
    assert done.returncode == 0 and done.stdout.count("done already") == 7, done.stdout
    assert time.monotonic() - began < 20


@pytest.mark.slow
def test_edited_evaluation_redoes_only_what_depends_on_it(finished, speech_folder, call):
    changed = options(finished, speech_folder, **{"evaluation.stft_window_s": 0.064})
    before = (experiment(finished) / "best_model.pth").stat().st_mtime_ns
    done = call("bash", "run.sh", *changed)
    assert done.stdout.count("done already") == 5, done.stdout
    assert "stage 5 evaluate: running" in done.stdout
    assert (experiment(finished) / "best_model.pth").stat().st_mtime_ns == before


@pytest.mark.slow
def test_edited_training_asks_for_a_new_tag(finished, speech_folder, call):
    changed = options(finished, speech_folder, **{"training.lr": 0.5})
    done = call("bash", "run.sh", *changed)
    assert done.returncode == 2
    assert "training.lr: 0.001 -> 0.5" in done.stdout and "--tag" in done.stdout


@pytest.mark.slow
def test_another_machine_is_no_other_training(finished, speech_folder, call):
    moved = {"training.num_workers": 1, "training.micro_batch": 2, "training.fused_norm": "false"}
    done = call("bash", "run.sh", "--stop-stage", "4", *options(finished, speech_folder, **moved))
    assert done.returncode == 0 and done.stdout.count("done already") == 5, done.stdout


@pytest.mark.long
@pytest.mark.slow
def test_training_that_ended_goes_on_with_more_epochs(finished, speech_folder, call):
    stage = ["--stage", "4", "--stop-stage", "4", "--tag", "longer"]
    for epochs, step in ((1, 4), (2, 8)):
        sets = {"training.anneal_share": 0, "training.epochs": epochs}
        done = call("bash", "run.sh", *stage, *options(finished, speech_folder, **sets))
        assert done.returncode == 0 and "stage 4 train: done in" in done.stdout, done.stdout
        curve = read_rows(experiment(finished).parent / "longer" / "curves.csv")
        assert [int(row["step"]) for row in curve] == list(range(4, step + 1, 4))


@pytest.mark.slow
def test_separate_takes_the_trained_model(finished, call, tmp_path):
    soundfile.write(tmp_path / "two.wav", make_voice(1, 100, 1, 11025), 11025)
    separate = [sys.executable, "-m", "separation", "separate", tmp_path / "two.wav"]
    ending = ["--model", experiment(finished), "--out", tmp_path / "out"]
    done = call(*separate, *ending)
    assert done.returncode == 0, done.stdout
    assert soundfile.info(tmp_path / "out" / "two_s2.wav").samplerate == 11025
    for name, code, message in (
        (tmp_path / "no.wav", 2, "is not there"),
        (__file__, 1, "cannot be decoded"),
    ):
        done = call(*separate[:-1], name, *ending)
        assert done.returncode == code and message in done.stdout


@pytest.mark.slow
def test_mini_recipe_on_real_speech_where_apt_answers(call, tmp_path):
    """The shipped recipe, shortened; stage 0 says the way out where apt does not answer."""
    small = {"mixtures.n_dev": 15, "mixtures.n_test": 15, "training.epochs": 1}
    sets = [key for key in TINY if key.startswith(("training", "mixtures"))]
    changes = {key: TINY[key] for key in sets} | small
    del changes["training.init_from"]
    words = [word for key, value in changes.items() for word in ("--set", f"{key}={value}")]
    paths = ["--data", tmp_path / "data", "--exp", tmp_path / "exp"]
    done = call("bash", "run.sh", "--stop-stage", "0", *paths, *words)
    if done.returncode == 2:
        assert "--corpus speech=DIR" in done.stdout
        pytest.skip("apt does not answer here")
    done = call("bash", "run.sh", *paths, *words)
    assert done.returncode == 0, done.stdout
    assert "test_unseen | irm" in done.stdout and "it_carlo (M)" in done.stdout
    assert "fine-tuning the weights of shipped" in done.stdout
    _compare_scores_on_real_speech(tmp_path / "data" / "mini")


def _compare_scores_on_real_speech(data: Path) -> None:
    """SDR of mixtures and of oracle estimates of recorded speech against mir_eval."""
    for row in read_rows(data / "metadata" / "test_unseen.csv")[:4]:
        mixture = render_mixture(parse_row(row), Corpora(data / "corpus"), 8000)
        conf = load_conf(ROOT, "mini/ConvTasNet", []).evaluation
        for estimates in (make_oracle_mask("irm", conf, 8000)(mixture), MixtureItself()(mixture)):
            peer = mir_eval.separation.bss_eval_sources(mixture.sources, estimates, False)[0]
            assert sdr_db(mixture.sources, estimates) == pytest.approx(peer, abs=1e-3)
