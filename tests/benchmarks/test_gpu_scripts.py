"""The GPU scripts at toy size, through the code that a GPU runs."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.gpu import checks, recipe, throughput
from benchmarks.gpu.cases import FORMS, Bench, Case, NotHereError, list_cases
from benchmarks.gpu.floor import count_floor_bytes
from benchmarks.gpu.settings import SMOKE
from benchmarks.gpu.steps import make_product_step, make_stock_step
from separation.config.load import load_conf
from separation.files import read_json, write_json
from separation.models.registry import build_model
from tests.conftest import ROOT

CPU = torch.device("cpu")
TINY_MODEL = [
    "model.n_filters=2", "model.kernel_size=4", "model.stride=2", "model.kernel_rate=0",
    "model.bn_chan=1", "model.hid_chan=3", "model.skip_chan=1", "model.n_blocks=1",
    "model.n_repeats=1",
]  # fmt: skip


def test_floor_by_hand():
    """10 samples: 4 frames. Stored values: encoder 2, bottleneck 1, norms 3 + 3, no residual sum
    after the last block, skip 1, masks 4 channels of 4 frames: 56; estimates 2 * 10: 76 in all.
    Parameters: filters 16, norm 4, bottleneck 3, widen 1*3+3+1+6, depthwise 9+3+1+6, narrow
    3*2+2, masks 1+4+4: 72."""
    conf = load_conf(ROOT, "folder/ConvTasNet", TINY_MODEL).model
    n_parameters = sum(p.numel() for p in build_model(conf, 2, 8000).parameters())
    assert n_parameters == 72
    assert count_floor_bytes(conf, 72, 1, 10, 2) == 5 * 76 * 2 + 11 * 72 * 4
    assert count_floor_bytes(conf, 72, 3, 10, 4) == 5 * 3 * 76 * 4 + 11 * 72 * 4


# CUDA graphs without a compiled model are refused, see tests/training/test_training.py
@pytest.mark.parametrize("name", [name for name in FORMS if FORMS[name].get("cuda_graphs") != "on"])
def test_every_form_has_stocks_loss(name):
    """On the same weights; bf16 alone may round."""
    conf = SMOKE.load_conf("small")
    torch.manual_seed(3)
    batch = torch.randn(2, 2000), torch.randn(2, 2, 2000)
    expected = float(make_stock_step(conf, CPU).run(batch))
    changes = {"precision": "fp32", "compile": "off"} | FORMS[name]
    step = make_product_step(conf, CPU, changes=changes)
    assert float(step.run(batch)) == pytest.approx(expected, abs=1e-3)


def test_stock_is_timed_with_torchs_own_defaults():
    """Bug: after one of our steps its products would have run as TF32."""
    torch.backends.cuda.matmul.allow_tf32 = True
    make_stock_step(SMOKE.load_conf("small"), CPU)
    assert not torch.backends.cuda.matmul.allow_tf32 and torch.backends.cudnn.allow_tf32


def make_bench(tmp_path: Path) -> Bench:
    return Bench(settings=SMOKE, device=CPU, out=tmp_path, done={})


def test_a_failing_case_is_recorded_and_the_others_go_on(tmp_path):
    def fail(bench):
        raise torch.OutOfMemoryError("no memory\nat all")

    def skip(bench):
        raise NotHereError("needs a moon")

    works = {"first": fail, "second": skip, "third": lambda bench: {"audio_s_per_s": 5.0}}
    cases = [Case(name, work, 1.0) for name, work in works.items()]
    path = tmp_path / "result.json"
    throughput.run_cases(make_bench(tmp_path), cases, path, float("inf"))
    done = read_json(path)["cases"]
    assert done["first"] == {"status": "failed", "why": "OutOfMemoryError: no memory at all"}
    assert done["second"] == {"status": "skipped", "why": "needs a moon"}
    assert done["third"]["status"] == "ok" and done["third"]["audio_s_per_s"] == 5.0


def test_cases_without_time_are_dropped_and_named(tmp_path):
    cases = [Case("late", lambda bench: {}, 1.0)]
    late = -float("inf")
    result = throughput.run_cases(make_bench(tmp_path), cases, tmp_path / "r.json", late)
    assert "late: dropped, no time left" in throughput.format_table(result)


def test_only_takes_whole_names_before_beginnings_in_its_order():
    cases = list(list_cases())
    chosen = throughput.choose_cases(cases, "ours_best,validation,btc_own_graphs,bandwidth")
    names = ["ours_best", "validation_best", "validation_small", "btc_own_graphs_best"]
    names += ["btc_own_graphs_small", "bandwidth"]
    assert [case.name for case in chosen] == names
    assert throughput.choose_cases(cases, "") == cases


@pytest.fixture(scope="module")
def measured(tmp_path_factory) -> dict:
    out = tmp_path_factory.mktemp("throughput")
    command = [sys.executable, "-m", "benchmarks.gpu.throughput", "--smoke", "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    (path,) = out.glob("throughput_*_smoke.json")
    return json.loads(path.read_text())


@pytest.mark.long
@pytest.mark.slow
def test_every_case_of_the_throughput_smoke_run_succeeds(measured):
    cases = measured["cases"]
    assert set(cases) == {case.name for case in list_cases()}
    bad = {name: case for name, case in cases.items() if case["status"] != "ok"}
    assert all("graphs" in name for name in bad), bad
    for name in ("stock_best", "ours_best", "stock_small", "ours_small"):
        case = cases[name]
        assert case["ms"]["low"] <= case["ms"]["median"] <= case["ms"]["high"]
        assert case["floor_share"] == pytest.approx(case["floor_ms"] / case["ms"]["median"])


@pytest.mark.long
@pytest.mark.slow
def test_table_says_toy_and_what_is_missing(measured, tmp_path, capsys):
    assert "| ours_best (eager) | 2 |" in throughput.format_table(measured)
    measured["cases"]["ours_best"] = {"status": "failed", "why": "OutOfMemoryError: full"}
    write_json(tmp_path / "r.json", measured)
    assert throughput.main(["--table", str(tmp_path / "r.json")]) == 0
    text = capsys.readouterr().out
    assert "no measurement" in text and "- ours_best: failed, OutOfMemoryError: full" in text
    assert "| stock_best | 2 |" in text and "| ours_best (eager) | 2 |" not in text


def test_small_table_by_hand():
    step = {"status": "ok", "batch": 24, "peak_gib": 1.0, "floor_share": 0.5}
    stock = step | {"ms": {"median": 10.0, "low": 9.0, "high": 11.0}, "audio_s_per_s": 7200.0}
    ours = step | {"ms": {"median": 2.0, "low": 2.0, "high": 2.5}, "host_ms": 1.5}
    ours |= {"audio_s_per_s": 36000.0}
    cases = {"stock_best": stock, "ours_best": ours}
    device = {"name": "G", "torch": "2", "commit": "c"}
    text = throughput.format_table({"device": device, "smoke": False, "cases": cases})
    row = "| ours_best | 24 | 2.00 [2.00, 2.50] | 1.50 | 36,000 | 5.00 | 1.0 GiB | 50% |"
    assert row in text and "no measurement" not in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "moon"], "no case begins so"),
        (["--table", "/no/such.json"], "no such result"),
        (["--resume", "/no/such.json", "--smoke"], "no such result"),
    ],
)
def test_throughput_names_a_mistake(arguments, message, capsys):
    assert throughput.main(arguments) == 2
    assert message in capsys.readouterr().err


def test_a_result_of_another_device_is_not_completed(tmp_path, capsys):
    write_json(tmp_path / "r.json", {"device": {"name": "GPU"}, "cases": {}})
    assert throughput.main(["--smoke", "--resume", str(tmp_path / "r.json")]) == 2
    assert "was measured on GPU" in capsys.readouterr().err


def test_gpu_modules_stay_small():
    """So that they are read before an hour of a GPU is spent on them."""
    for path in (ROOT / "benchmarks" / "gpu").glob("*.py"):
        assert len(path.read_text().splitlines()) <= 300, path


@pytest.mark.slow
def test_checks_find_nothing_wrong_on_a_cpu(capsys):
    assert checks.main(["--tiny"]) == 0
    text = capsys.readouterr().out
    assert "FAILED" not in text
    assert "a NaN batch changes no weight        True; skipped steps 1" in text


def test_a_check_that_fails_is_named_and_costs_no_other(monkeypatch, capsys):
    def fail(device, settings):
        raise RuntimeError("no kernel image")

    monkeypatch.setitem(checks.PARTS, "mixing", fail)
    assert checks.main(["--tiny", "--parts", "mixing,facts"]) == 1
    text = capsys.readouterr().out
    assert "RuntimeError: no kernel image" in text
    assert text.index("mixing FAILED") < text.index("-- facts")


@pytest.mark.long
@pytest.mark.slow
def test_recipe_goes_on_after_sigterm(tmp_path, capsys):
    """Toy sizes: SIGTERM within the training, and a step that cannot do its work."""
    options = ["--tiny", "--work", str(tmp_path), "--nj", "2", "--device", "cpu", "--minutes", "9"]
    assert recipe.main([*options, "--only", "compare"]) == 1
    assert "FAILED compare" in capsys.readouterr().out
    assert recipe.main([*options, "--only", "prepare,stop,train,compare,pieces"]) == 0
    text = capsys.readouterr().out
    assert text.count("ok ") == 5
    (stopped,) = re.findall(r"stopped by SIGTERM after step (\d+)", text)
    assert f"going on after step {stopped}" in text


def test_first_call_explains_itself(call, tmp_path):
    script = ["bash", "benchmarks/gpu/first_call.sh"]
    assert "recipe.txt" in call(*script, "--help").stdout
    done = call(*script, tmp_path / "out", "--moon")
    assert done.returncode == 2 and "unknown option --moon" in done.stdout
