"""A hundred damaged inputs, always the same; ``bash tests/faults/run.sh`` has as many as wanted."""

import os
import time

import pytest

from separation.errors import UserError
from tests.faults.kinds import KINDS
from tests.faults.mutate import DEFECTS, Kind, prepare, run_campaign, run_cases

QUICK = [
    kind for kind in KINDS if not kind.name.startswith(("table", "lists"))
]  # no whole commands
PLANTED = {
    "traceback": lambda folder: [][1],
    "hang": lambda folder: time.sleep(99),
    "memory": lambda folder: bytearray(1 << 40),
    "acted": lambda folder: (folder / "../canary/x.wav").write_bytes(b"theirs"),
    "silent": lambda folder: (folder / "a.txt").read_bytes(),
    "refused": lambda folder: refuse(),
}


def refuse() -> None:
    raise UserError("a.txt: is damaged.")


def test_damaged_inputs_are_refused_in_a_sentence_or_rightly_taken():
    outcomes = list(run_campaign(QUICK, seed=0, count=100))
    assert [own for own in outcomes if own.outcome in DEFECTS] == []
    assert {own.outcome for own in outcomes} == {"refused", "taken"}


@pytest.mark.parametrize("wanted", PLANTED)
def test_a_planted_defect_is_seen(wanted, tmp_path, monkeypatch):
    monkeypatch.setattr("tests.faults.mutate.WALL_S", 1)
    main_process = os.getpid()
    kind = Kind(
        name=wanted,
        make=lambda folder: (folder / "a.txt").write_text("some words\n"),
        read=lambda folder: os.getpid() != main_process and PLANTED[wanted](folder),
        damaged=("a.txt",),
        is_silent=lambda whole, got: wanted == "silent" and whole != got,
    )
    whole = prepare(kind, tmp_path)
    outcomes = list(run_cases(kind, 0, [0, 1], whole, tmp_path / "kept"))
    assert [own.outcome for own in outcomes] == [wanted, wanted]  # the second one in its turn
    assert [own.number for own in outcomes] == [0, 1]
    assert (tmp_path / "kept").exists() == (wanted in DEFECTS)
