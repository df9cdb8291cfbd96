"""``ablate``: its file, its runs (cut and resumed), its results, table and plot."""

import dataclasses
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from separation.ablate.ladder import Ladder, count_epochs, read_ladder
from separation.ablate.options import Options
from separation.ablate.plan import plan_runs
from separation.ablate.processes import Runner
from separation.ablate.report import write_report
from separation.ablate.result import RungResult, TestScores, read_results, write_result
from separation.ablate.steps import measure_gain, measure_rungs
from separation.cli.main import main
from separation.errors import MissingInputError, UserError
from separation.evaluation.score_rows import read_scores
from separation.files import is_locked, read_json
from tests.conftest import ROOT

TOY = {
    "recipe": "folder/ConvTasNet",
    "steps": 8,
    "validate_every": 4,
    "set": {
        "splits.dev_share": 0.34,
        "splits.test_share": 0.34,
        "mixtures.n_dev": 2,
        "mixtures.n_test": 3,
        "mixtures.n_train": 4,
        "mixtures.min_utterance_s": 1.5,
        "training.segment_s": 1.0,
        "training.batch_size": 2,
        "training.compile": "off",
        "training.dynamic_mixing": False,
        "model.n_filters": 8,
        "model.bn_chan": 4,
        "model.hid_chan": 8,
        "model.skip_chan": 4,
        "model.n_blocks": 1,
        "model.n_repeats": 1,
    },
    "rungs": {
        "a": {"label": "fixed mixtures"},
        "b": {"label": "mixed on the fly", "set": {"training.dynamic_mixing": True}},
        "c": {"label": "wider", "set": {"model.hid_chan": 16}},
        "d": {"label": "other masks", "from": "b", "set": {"model.mask_act": "sigmoid"}},
    },
}


def write_ladder(folder: Path, **changes: object) -> Path:
    path = folder / "toy.yml"
    path.write_text(yaml.safe_dump(TOY | changes, sort_keys=False))
    return path


def plan(path: Path, speech: Path, **options: object) -> list:
    chosen = {"out": path.parent / "out", "corpora": [f"speech={speech}"], "n_jobs": 1} | options
    return plan_runs(read_ladder(path), Options(ladder=path, device="cpu", **chosen))


def test_a_rung_takes_what_the_rungs_below_it_changed(tmp_path):
    ladder = read_ladder(write_ladder(tmp_path))
    a, b, c, d = ladder.rungs
    assert [rung.before for rung in ladder.rungs] == ["", "a", "b", "b"]
    assert not a.changes["training.dynamic_mixing"] and c.changes["training.dynamic_mixing"]
    assert (c.changes["model.hid_chan"], d.changes["model.hid_chan"]) == (16, 8)
    assert d.changes == b.changes | {"model.mask_act": "sigmoid"}


def test_steps_decide_epochs_and_are_equal_whatever_the_batch(tmp_path, speech_folder):
    rungs = {"a": {}, "b": {"set": {"training.batch_size": 3}}}
    path = write_ladder(tmp_path, rungs=rungs, steps=1000, validate_every=300)
    runs = plan(path, speech_folder)
    assert [run.steps for run in runs] == [999, 999]
    assert [run.experiment.conf.training.epochs for run in runs] == [3, 3]
    assert count_epochs(3, 1500) == (1, 3)


def test_runs_that_mix_anew_do_not_share_a_data_folder_with_those_that_do_not(
    tmp_path, speech_folder
):
    """Packs are made for the former only, and the key of stage 3 does not say so."""
    a, b, c, d = plan(write_ladder(tmp_path), speech_folder)
    assert a.options.data != b.options.data and b.options.data == c.options.data == d.options.data


def test_another_seed_is_another_training_begun_after_all_of_the_first(tmp_path, speech_folder):
    runs = plan(write_ladder(tmp_path), speech_folder, n_seeds=2, rungs=["c", "a"])
    assert [run.name for run in runs] == ["c-seed0", "a-seed0", "c-seed1", "a-seed1"]
    assert runs[0].key != runs[2].key


MISTAKES = [
    ({"recipes": 1}, "unknown key recipes; did you mean recipe?"),
    ({"rungs": {}}, "has no rungs"),
    ({"rungs": {"a": {"labels": "x"}}}, "rung a: unknown key labels; did you mean label?"),
    ({"rungs": {"a": {"from": "z"}}}, "rung a: from: z is no rung above it."),
    ({"rungs": {"a-1": {}}}, "rungs: a-1: use letters, digits"),
    ({"rungs": {"a": {"set": {"lr": 1}}}}, "rung a: lr: write it as section.key: value."),
    ({"rungs": {"a": {"set": {"training.seed": 1}}}}, "rung a: training.seed follows from"),
    ({"rungs": {"a": {"set": {"training.lrr": 1}}}}, "rung a: --set training.lrr=1: unknown key"),
    ({"rungs": {"a": {"steps": 0}}}, "rung a: steps: 0 should be a whole number"),
    ({"rungs": ["a"]}, "rungs: should be lines of key: value."),
    ({"tests": {"t": "no.csv"}}, "no.csv: no such table, which is test set t"),
    ({"tests": {"t": "split:eval"}}, "rung a: tests: t: split:eval: the recipe has dev, test."),
    ({"corpora": {"speech": "no"}}, "no such folder"),
    ({"steps": "many"}, "steps: many should be a whole number"),
]


@pytest.mark.parametrize(("changes", "message"), MISTAKES)
def test_a_mistake_in_a_ladder_is_found_before_anything_runs(changes, message, tmp_path, capsys):
    (tmp_path / "speech").mkdir()
    path = write_ladder(tmp_path, **({"corpora": {"speech": "speech"}} | changes))
    assert main(["ablate", str(path), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_rung_that_is_not_there_is_named(tmp_path, speech_folder, capsys):
    path = write_ladder(tmp_path)
    words = [str(path), "--corpus", f"speech={speech_folder}", "--rungs", "z"]
    assert main(["ablate", *words]) == 2
    assert "has no such rung; choose of a, b, c, d." in capsys.readouterr().err
    assert main(["ablate", str(tmp_path / "no.yml")]) == 2


# Results by hand: three mixtures of four speakers, two seeds.
def make_result(rung: str, before: str, seed: int, values: tuple[float, ...]) -> RungResult:
    speakers = (("s1", "s2"), ("s3", "s4"), ("s1", "s3"), ("s2", "s4"))
    return RungResult(
        ladder="toy",
        rung=rung,
        label=f"change {rung}",
        before=before,
        seed=seed,
        recipe="folder/ConvTasNet",
        overrides=[],
        key="k",
        commit="c0ffee",
        device="CPU",
        versions={"torch": "2"},
        steps=10,
        batch_size=2,
        minutes=1.5,
        audio_s_per_s=10.0,
        hours=0.5,
        mixtures=20,
        distinct_mixtures=4,
        utterances=7,
        speakers=5,
        speech_hours=0.1,
        parameters=100,
        sample_rate=8000,
        field_s=0.5,
        train_si_sdr=6.0,
        dev_si_sdr=3.0,
        dev_si_sdri=2.5,
        tests={"adults": TestScores(fingerprint="f", values=values, speakers=speakers)},
    )


@pytest.fixture
def results(tmp_path) -> Path:
    folder = tmp_path / "results"
    given = [
        make_result("a", "", 0, (1.0, 2.0, 3.0, 4.0)),
        make_result("a", "", 1, (3.0, 2.0, 1.0, 4.0)),
        make_result("b", "a", 0, (4.0, 4.0, 4.0, 6.0)),
    ]
    for result in given:
        write_result(folder / f"{result.rung}-seed{result.seed}.json", result)
    return folder


def test_results_are_read_as_they_were_written(results):
    assert read_results(results)[0] == make_result("a", "", 0, (1.0, 2.0, 3.0, 4.0))
    record = read_json(results / "a-seed0.json")
    assert record["tests"]["adults"]["si_sdri_by_mixtures"]["mean"] == 2.5
    assert record["tests"]["adults"]["si_sdri_by_speakers"]["n"] == 4


def test_gains_are_of_the_same_mixtures_and_means_over_seeds(results, tmp_path):
    """Of a the mean over seeds is 2, 2, 2, 4; b is 2 dB above it in every mixture."""
    a, b = measure_rungs(read_ladder(write_ladder(tmp_path)), read_results(results))
    assert a.sets["adults"].seeds == (2.5, 2.5) and a.sets["adults"].gain is None
    gain = b.sets["adults"].gain
    assert (gain.mean, gain.low, gain.high) == (2.0, 2.0, 2.0)
    assert b.sets["adults"].score.mean == 4.5


def test_table_and_plot_are_made_from_the_results_by_the_command(results, tmp_path, capsys):
    path = write_ladder(tmp_path)
    assert main(["ablate", str(path), "--table", "--results", str(results)]) == 0
    table = (results / "table.md").read_text()
    row = "| b | change b | 4.50 [4.00, 6.00] | 2.00 [2.00, 2.00] | 3.00 | 6.00 | 0.5 | 4 | 7 | 5 |"
    assert row in table and "commit c0ffee" in table and "adults 4 mixtures of 4 speakers" in table
    assert capsys.readouterr().out.startswith(table.split("\n\n")[0])
    assert (results / "waterfall.png").read_bytes().startswith(b"\x89PNG")


def test_results_of_other_mixtures_are_not_compared(results, tmp_path):
    other = make_result("c", "b", 0, (1.0, 1.0, 1.0, 1.0))
    scores = dataclasses.replace(other.tests["adults"], fingerprint="g")
    write_result(results / "c.json", dataclasses.replace(other, tests={"adults": scores}))
    with pytest.raises(UserError, match="rungs a and c were scored on different mixtures"):
        measure_rungs(read_ladder(write_ladder(tmp_path)), read_results(results))


def test_a_folder_without_results_and_a_file_that_is_none_are_named(tmp_path):
    ladder: Ladder = read_ladder(write_ladder(tmp_path))
    with pytest.raises(MissingInputError, match="holds no result of the ladder toy"):
        write_report(ladder, tmp_path / "none")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "x.json").write_text("{}")
    with pytest.raises(UserError, match=r"x.json: is no result of ablate"):
        write_report(ladder, tmp_path / "bad")


def test_a_result_of_other_settings_is_refused(tmp_path, speech_folder):
    path = write_ladder(tmp_path)
    run = plan(path, speech_folder)[0]
    write_result(run.result, make_result("a", "", 0, (1.0, 2.0, 3.0, 4.0)))
    with pytest.raises(UserError, match="made with other settings of rung a"):
        Runner([run], 1, float("inf"), lambda run: [])


def test_a_training_that_a_killed_call_left_behind_is_waited_for(tmp_path, speech_folder, capsys):
    """It still wrote its checkpoint, and the next call's training of that rung failed."""
    run = plan(write_ladder(tmp_path), speech_folder)[0]
    run.experiment.folder.path.mkdir(parents=True)
    hold = "import fcntl, sys; handle = open(sys.argv[1], 'w')\n"
    hold += "fcntl.lockf(handle, fcntl.LOCK_EX); print('held', flush=True); input()"
    words = [sys.executable, "-c", hold, str(run.experiment.folder.training_lock)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(words, **pipes) as process:
        assert process.stdout.readline() == "held\n"
        runner = Runner([run], 1, time.monotonic() + 1, lambda run: [])
        runner.prepared.add(str(run.options.data))
        outcome = runner.run()
        process.communicate("\n")
    assert outcome.is_stopped and not outcome.failed and not run.log.exists()
    assert capsys.readouterr().err.count("another process trains in it; waiting") == 1
    assert not is_locked(run.experiment.folder.training_lock)


def ablate(path: Path, speech: Path, *words: object) -> list[str]:
    return [
        *(sys.executable, "-m", "separation", "ablate", str(path)),
        *("--corpus", f"speech={speech}", "--out", str(path.parent / "out")),
        *("--device", "cpu", "--nj", "1", *map(str, words)),
    ]


@pytest.fixture(scope="module")
def climbed(tmp_path_factory, speech_folder) -> Path:
    """A toy ladder: killed within its first training, cut by its time, then run to the end."""
    folder = tmp_path_factory.mktemp("ladder")
    path = write_ladder(folder, steps=300, validate_every=100)
    log, checkpoints = folder / "out" / "logs" / "a-seed0.txt", folder / "out" / "exp"
    words = ablate(path, speech_folder, "--rungs", "a", "b")
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    wait_for(lambda: any(checkpoints.glob("*/*/*/checkpoints/last.ckpt")), process)
    process.kill()
    process.wait()
    wait_for(lambda: "stopped by SIGTERM" in log.read_text())
    cut = subprocess.run([*words, "--minutes", "0.01"], cwd=ROOT, capture_output=True, text=True)
    assert cut.returncode == 75, cut.stderr
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr + log.read_text()[-2000:]
    return folder


def wait_for(condition, process: subprocess.Popen | None = None) -> None:
    latest = time.monotonic() + 240
    while not condition():
        assert time.monotonic() < latest and (process is None or process.poll() is None)
        time.sleep(0.1)


@pytest.mark.slow
def test_a_ladder_killed_in_a_training_goes_on_from_its_last_step(climbed):
    log = (climbed / "out" / "logs" / "a-seed0.txt").read_text()
    assert "going on after step" in log
    a, b = read_results(climbed / "out" / "results")
    assert (a.rung, a.steps, a.distinct_mixtures) == ("a", 300, 4)
    assert (b.rung, b.steps, b.distinct_mixtures) == ("b", 300, 600)
    assert a.utterances <= 8 and a.speakers == b.speakers == 2


@pytest.mark.slow
def test_results_hold_the_scores_of_the_tests(climbed):
    (result, _) = read_results(climbed / "out" / "results")
    rows = read_scores(climbed / "out/exp/folder/ConvTasNet/a-seed0/ladder_tests/test.csv")
    expected = [row.values["si_sdri"] for row in rows]
    assert result.tests["test"].values == pytest.approx(expected, abs=1e-4)
    assert result.tests["test"].speakers == tuple(row.speakers for row in rows)


@pytest.mark.slow
def test_a_finished_rung_never_runs_again(climbed, speech_folder):
    """Nothing is written but table and plot; a removed result costs its scores and no training."""
    out = climbed / "out"
    logs = [path.read_text() for path in sorted((out / "logs").iterdir())]
    words = ablate(climbed / "toy.yml", speech_folder, "--rungs", "a", "b")
    assert subprocess.run(words, cwd=ROOT, capture_output=True).returncode == 0
    assert [path.read_text() for path in sorted((out / "logs").iterdir())] == logs
    before = (out / "results" / "b-seed0.json").read_bytes()
    (out / "results" / "b-seed0.json").unlink()
    assert subprocess.run(words, cwd=ROOT, capture_output=True).returncode == 0
    assert (out / "results" / "b-seed0.json").read_bytes() == before
    assert "stage 4 train: done already" in (out / "logs" / "b-seed0.txt").read_text()


@pytest.mark.long
@pytest.mark.slow
def test_a_rung_that_fails_is_named_and_the_others_go_on(tmp_path, speech_folder):
    rungs = {"a": {"set": {"training.init_from": "/no/such.pth"}}, "b": {"from": ""}}
    path = write_ladder(tmp_path, rungs=rungs)
    done = subprocess.run(
        ablate(path, speech_folder), cwd=ROOT, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 1
    assert "error: a-seed0: training: " in done.stderr and "/no/such.pth" in done.stderr
    assert [path.stem for path in (tmp_path / "out/results").glob("*.json")] == ["b-seed0"]


@pytest.mark.long
@pytest.mark.slow
def test_sigterm_lets_a_training_write_its_checkpoint(tmp_path, speech_folder):
    path = write_ladder(tmp_path, steps=100_000, validate_every=100)
    words = ablate(path, speech_folder, "--rungs", "a")
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    log = tmp_path / "out" / "logs" / "a-seed0.txt"
    wait_for(lambda: any((tmp_path / "out/exp").glob("*/*/*/checkpoints/last.ckpt")), process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(90) == 128 + signal.SIGTERM
    assert "stopped by SIGTERM" in log.read_text()


def test_a_gain_over_a_rung_further_down(results):
    """c is 3 dB above a on the mean over its seeds; without a result there is no gain."""
    a = [own for own in read_results(results) if own.rung == "a"]
    c = [make_result("c", "b", 0, (5.0, 5.0, 5.0, 7.0))]
    assert measure_gain(c, a, "adults").mean == 3.0
    assert measure_gain(c, [], "adults") is None and measure_gain(c, a, "children") is None
