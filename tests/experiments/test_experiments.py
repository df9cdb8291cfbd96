"""``python -m separation experiments``: what was trained, how, and how good it is."""

import csv
from pathlib import Path

import pytest

from separation.cli.main import main
from separation.experiment.open import open_experiment
from separation.files import format_rows, write_json
from separation.stages.state import save_conf


def make_experiment(exp: Path, tag: str, sets: list[str], loss: float, score: float | None) -> None:
    """What stages 4 and 5 leave of an experiment of two epochs, the first of which was better."""
    experiment = open_experiment("mini/ConvTasNet", sets, tag=tag, exp=exp)
    save_conf(experiment)
    write_json(experiment.folder.run, {"recipe": "mini/ConvTasNet"})
    row = {"epoch": 1, "step": 100, "elapsed_s": 60.0, "train_loss": -3.0, "dev_loss": loss}
    rows = [row, row | {"epoch": 2, "step": 200, "elapsed_s": 90.0, "dev_loss": loss + 1}]
    experiment.folder.curves.write_text(format_rows(rows))
    if score is not None:
        mean = {"mean": score, "low": score - 1, "high": score + 1, "n": 30}
        group = {"n_mixtures": 30, "n_scored": 30, "problems": {}, "si_sdri": mean}
        scores = {"test_seen": {"model": {"all": group}}}
        write_json(experiment.folder.summary, {"about": {}, "scores": scores})


@pytest.fixture
def exp(tmp_path) -> Path:
    make_experiment(tmp_path, "plain", [], -4.0, 5.25)
    make_experiment(tmp_path, "wide", ["model.hid_chan=300", "training.num_workers=1"], -3.5, 6.5)
    make_experiment(tmp_path, "running", ["audio.sample_rate=16000"], -2.0, None)
    save_conf(open_experiment("mini/ConvTasNet", tag="failed", exp=tmp_path))
    return tmp_path


def test_a_line_each_with_what_differs_and_scores(exp, capsys):
    assert main(["experiments", "--exp", str(exp)]) == 0
    out, err = capsys.readouterr()
    head, plain, running, wide = out.splitlines()
    assert head.split("  ")[0] == "recipe" and "test_seen SI-SDRi" in head
    for text in ("plain", " 200 ", " 1.5 ", "-3.00", "-4.00", "5.25 [4.25, 6.25]"):
        assert text in plain
    assert plain.endswith("–")
    assert wide.endswith("  model.hid_chan=300")  # how it runs is no difference
    assert running.endswith("  audio.sample_rate=16000") and "–" in running
    assert err.splitlines()[-1] == "without a trained epoch: mini/ConvTasNet/failed"


def test_sorted_by_a_score_and_as_csv(exp, capsys):
    assert main(["experiments", "--exp", str(exp), "--sort", "test_seen", "--csv"]) == 0
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert [row["tag"] for row in rows] == ["wide", "plain", "running"]
    assert (rows[0]["test_seen_si_sdri"], rows[0]["test_seen_si_sdri_low"]) == ("6.5", "5.5")
    assert rows[2]["test_seen_si_sdri"] == ""
    assert main(["experiments", "--exp", str(exp), "--sort", "dev_loss"]) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line.split()[1] for line in lines] == ["plain", "wide", "running"]


def test_one_that_cannot_be_read_does_not_hide_the_others(exp, capsys, caplog):
    (exp / "mini" / "ConvTasNet" / "wide" / "conf.yml").write_text("model: [")
    (exp / "mini" / "ConvTasNet" / "plain" / "curves.csv").write_text("epoch,step\n1,x\n")
    assert main(["experiments", "--exp", str(exp)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert caplog.text.count("cannot be listed") == 2


def test_mistakes_are_one_sentence(exp, tmp_path, capsys):
    assert main(["experiments", "--exp", str(exp), "--sort", "test_sen"]) == 2
    assert "--sort test_sen: did you mean test_seen? there are recipe" in capsys.readouterr().err
    assert main(["experiments", "--exp", str(tmp_path / "none")]) == 2
    assert "holds no trained experiment" in capsys.readouterr().err
