"""``run``: options checked in one place, stages in their order, signals minded between them."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from separation.errors import UserError
from separation.stages import recipe_command
from separation.stages.recipe_command import Options, StageProcesses
from separation.stages.table import STAGES
from tests.conftest import ROOT

PYTHON = [sys.executable, "-c"]


def test_stages_run_in_their_order_with_the_same_options(monkeypatch):
    calls = []
    monkeypatch.setattr(StageProcesses, "run", lambda _, stage, words: calls.append(words))
    options = Options(first=1, last=2, tag="mine", corpora=["speech=a b"], overrides=["a.b=c d"])
    assert recipe_command.run(options) == 0
    assert [words[3] for words in calls] == ["corpus", "metadata"]
    assert {"--tag=mine", "--corpus=speech=a b", "--set=a.b=c d"} <= set(calls[0])
    assert calls[0][4:] == calls[1][4:]


def test_the_first_exit_code_that_is_not_0_ends_the_run(monkeypatch):
    codes = iter([0, 1])
    monkeypatch.setattr(StageProcesses, "run", lambda *_: next(codes))
    assert recipe_command.run(Options()) == 1


def test_a_dry_run_lists_stages_and_runs_none(capsys):
    assert recipe_command.run(Options(first=4, last=5, dry_run=True)) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in said] == ["stage 4 train", "stage 5 evaluate"]


def test_a_stage_that_something_killed_is_named():
    killed = [*PYTHON, "import os; os.kill(os.getpid(), 9)"]
    with StageProcesses() as processes, pytest.raises(UserError, match=r"4 \(train\).*SIGKILL"):
        processes.run(STAGES[4], killed)


def _send_soon(number: int) -> None:
    threading.Timer(0.5, os.kill, (os.getpid(), number)).start()


def test_sigterm_is_passed_on_and_no_other_stage_begins(capfd):
    """run.sh was one process, its stage another: a SIGTERM to the first left the second alone."""
    began = time.monotonic()
    with StageProcesses() as processes:
        _send_soon(signal.SIGTERM)
        assert processes.run(STAGES[0], [*PYTHON, "import time; time.sleep(30)"]) == 143
        assert processes.run(STAGES[1], [*PYTHON, "print('began')"]) == 143
    assert time.monotonic() - began < 10
    said = capfd.readouterr()
    assert said.out == "" and "run the same command to go on" in said.err


def test_a_stage_chooses_its_exit_code_after_sigterm():
    code = "import signal, sys, time\nsignal.signal(15, lambda *_: sys.exit(7))\ntime.sleep(30)"
    with StageProcesses() as processes:
        _send_soon(signal.SIGTERM)
        assert processes.run(STAGES[0], [*PYTHON, code]) == 7


@pytest.fixture
def answers_ctrl_c():
    """As in a terminal: a job in the background ignores SIGINT, and so do its tests."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("answers_ctrl_c")
def test_ctrl_c_while_a_stage_ends_begins_no_other():
    with StageProcesses() as processes, pytest.raises(KeyboardInterrupt):
        _send_soon(signal.SIGINT)
        processes.run(STAGES[0], [*PYTHON, "import time; time.sleep(1)"])
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_options_need_nothing_that_is_installed():
    """run.sh checks them, and shows its help, before there is an environment."""
    wrong = ["--recipe", "mini/ConvTasnet"]
    for words, code in ((["--help"], 0), (["--dry-run"], 0), (["--nj", "0"], 2), (wrong, 2)):
        bare = [sys.executable, "-S", "-m", "separation", "run", *words]
        done = subprocess.run(bare, cwd=ROOT, text=True, capture_output=True, check=False)
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr and done.stderr.count("\n") == code // 2
