"""A clock that jumps by hours, forwards and back, changes no result and ends nothing."""

import os
import random
import re
import time

import pytest

from separation.cli.main import main
from separation.files import hold_folder
from tests.conftest import ROOT
from tests.faults.test_machine import speech as speech  # a fixture
from tests.faults.test_paths import list_files, write_table
from tests.support.training_case import run
from tests.training.test_training import assert_same

WALL_CLOCK = re.compile(r"\btime\.time(_ns)?\(|datetime\.(now|today|utcnow)|from time import")
HOURS_S = 3600


@pytest.fixture
def jumping(monkeypatch) -> None:
    """Every look at the wall clock finds it hours away from where it was."""
    true, dice = time.time, random.Random(0)

    def jump() -> float:
        return true() + dice.uniform(-6, 6) * HOURS_S

    monkeypatch.setattr(time, "time", jump)
    monkeypatch.setattr("tqdm.std.time", jump)


def test_durations_and_deadlines_are_of_a_clock_that_does_not_jump():
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in sorted((ROOT / "separation").rglob("*.py"))
        for line in path.read_text(encoding="utf-8").splitlines()
        if WALL_CLOCK.search(line)
    ]
    assert found == []


def test_a_table_is_rendered_and_found_done_under_a_clock_that_jumps(
    speech, tmp_path, jumping, capsys
):
    table = write_table(tmp_path / "test.csv", "second")
    words = ["render", str(table), "--nj", "1", "--corpus", f"mine={speech}", "--out"]
    assert main([*words, str(tmp_path / "out")]) == 0
    files = list_files(tmp_path / "out")
    for age_h in (-48, 48):  # files from tomorrow, and from before their sources
        for path in (tmp_path / "out").rglob("*"):
            at_s = time.clock_gettime(time.CLOCK_REALTIME) - age_h * HOURS_S
            os.utime(path, (at_s, at_s), follow_symlinks=False)
        assert main([*words, str(tmp_path / "out")]) == 0
        assert list_files(tmp_path / "out") == files


def test_a_training_that_goes_on_is_the_same_under_a_clock_that_jumps(tmp_path, jumping):
    run(tmp_path / "cut", epochs=1)
    cut = run(tmp_path / "cut", epochs=2)
    assert_same(run(tmp_path / "whole", epochs=2), cut)


def test_a_lock_is_of_a_process_and_no_clock(tmp_path, jumping):
    for age_h in (-48, 48):
        with hold_folder(tmp_path, "stages") as waited:
            assert not waited
        at_s = time.clock_gettime(time.CLOCK_REALTIME) - age_h * HOURS_S
        os.utime(tmp_path / ".stages.lock", (at_s, at_s))
