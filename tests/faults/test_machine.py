"""What the machine refuses is one sentence, and the next call goes on; two runs do not meet."""

import contextlib
import errno
import os
import re
import resource
import signal
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from types import SimpleNamespace

import pytest
import soundfile
import torch

from separation.cli.faults import explain_fault
from separation.cli.main import main
from separation.errors import UnscoredError, UserError
from separation.files import check_writable, hold_folder
from separation.recordings.files import separate_files
from separation.recordings.job import Settings
from separation.stages.preflight import check_workers
from separation.stages.run import _run_alone
from tests.conftest import ROOT, make_voice
from tests.faults.test_paths import list_files, write_table
from tests.faults.test_paths import speech as speech  # a fixture
from tests.support.small_models import build_small
from tests.support.training_case import Voices, run
from tests.training.test_training import assert_same

REFUSED = [
    (OSError(errno.ENOSPC, "No space left on device", "/x/a.csv"), "/x/a.csv: .*make room"),
    (OSError(errno.EDQUOT, "Disk quota exceeded"), "make room and run the same command"),
    (PermissionError(errno.EACCES, "Permission denied", "/x"), "/x: .*check its rights"),
    (OSError(errno.EROFS, "Read-only file system", "/x"), "/x: .*Read-only"),
    (OSError(errno.EIO, "Input/output error", "/x"), "check the disk"),
    (FileNotFoundError(errno.ENOENT, "No such file", "/x/gone.wav"), "/x/gone.wav: .*restore it"),
    (OSError(errno.ENAMETOOLONG, "File name too long", "/x"), "shorten the name"),
    (MemoryError(), "the memory is full"),
    (BrokenProcessPool("terminated"), "a process was ended from outside"),
    (
        RuntimeError("[/pytorch/gloo/gloo/transport/tcp/pair.cc:537] Read error: Connection reset"),
        "another process of this training, or its node, ended",
    ),
    (RuntimeError("DataLoader worker (pid 3) is killed by signal: Killed."), "num_workers"),
    (RuntimeError("[enforce fail at inline_container.cc:595]"), "could not be written whole"),
    (soundfile.LibsndfileError(2), "could not be written whole .* in your quota too"),
]


@pytest.mark.parametrize(("error", "sentence"), REFUSED)
def test_what_the_machine_refuses_is_one_sentence(error, sentence, monkeypatch, capsys):
    def fail(options) -> None:
        raise error

    monkeypatch.setattr("separation.experiments.command.run", fail)
    assert main(["experiments"]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and message.startswith("error: ")
    assert re.search(sentence, message)


def test_a_defect_stays_a_defect(monkeypatch):
    def fail(options) -> None:
        raise RuntimeError("shapes differ")

    monkeypatch.setattr("separation.experiments.command.run", fail)
    with pytest.raises(RuntimeError, match="shapes differ"):
        main(["experiments"])
    assert explain_fault(KeyError("a"), []) == ""


def test_a_limit_on_file_size_ends_render_in_a_sentence_and_costs_nothing(speech, tmp_path):
    table = write_table(tmp_path / "test.csv", "second")
    words = ["render", str(table), "--nj", "1", "--corpus", f"mine={speech}", "--out"]
    limits = (8000, resource.getrlimit(resource.RLIMIT_FSIZE)[1])
    full = subprocess.run(
        [sys.executable, "-m", "separation", *words, str(tmp_path / "full")],
        cwd=ROOT,
        text=True,
        capture_output=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limits),
    )
    assert full.returncode == 2, full.stderr
    assert full.stderr.splitlines()[-1].startswith("error: ") and "Traceback" not in full.stderr
    assert all(main([*words, str(tmp_path / name)]) == 0 for name in ("full", "whole"))
    found = [list_files(tmp_path / name) for name in ("full", "whole")]
    assert found[0].keys() == found[1].keys() and len(found[0]) > 6
    assert found[0] == found[1]


def test_a_full_memory_is_one_sentence_before_a_recording_is_separated(tmp_path, monkeypatch):
    """With a megabyte left torch ended in a segmentation fault."""

    def refuse(*_):
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    soundfile.write(tmp_path / "a.wav", make_voice(1, 120, 1.0, 8000), 8000)
    monkeypatch.setattr("separation.device.mmap.mmap", refuse)
    model = build_small("ConvTasNet")
    settings = Settings(model=model, device=torch.device("cpu"), out=tmp_path / "out")
    with pytest.raises(UnscoredError, match=r"a\.wav: less than 32 MB of memory are left; free"):
        separate_files(settings, [tmp_path / "a.wav"])


def test_the_second_of_two_runs_waits_for_the_first(tmp_path, capsys):
    """Both wrote; one of them ended in a traceback."""
    with hold_folder(tmp_path, "stages") as waited:
        assert not waited
        code = (
            "import sys, pathlib; from separation.files import hold_folder\n"
            "with hold_folder(pathlib.Path(sys.argv[1]), 'stages') as waited: print(waited)"
        )
        other = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)],
            cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        line = other.stderr.readline()
        assert "another process works there (stages); waiting" in line
        assert other.poll() is None
    stdout, _ = other.communicate(timeout=60)
    assert stdout.strip() == "True"


def test_a_stage_that_another_run_did_meanwhile_is_not_done_again(tmp_path, monkeypatch, capsys):
    @contextlib.contextmanager
    def wait(folder, name):
        yield True

    monkeypatch.setattr("separation.stages.run.hold_folder", wait)
    monkeypatch.setattr("separation.stages.run.is_done", lambda experiment, name: True)
    monkeypatch.setattr("separation.stages.run._run", None)
    stage = SimpleNamespace(number=1, name="corpus", find_home=lambda experiment: tmp_path)
    _run_alone(None, stage)
    assert "stage 1 corpus: done meanwhile" in capsys.readouterr().out


def test_two_runs_may_look_at_one_folder_at_once(tmp_path):
    """The probe of one was gone when the other removed it."""
    faults: list[BaseException] = []

    def look() -> None:
        end = time.monotonic() + 0.2
        try:
            while time.monotonic() < end:
                check_writable(tmp_path, "choose another")
        except UserError as error:
            faults.append(error)

    children = []
    for _ in range(2):
        child = os.fork()
        if not child:
            look()
            os._exit(len(faults))
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0]
    assert list(tmp_path.iterdir()) == []


class EndingWorker(Voices):
    """A worker that makes training mixtures is killed, once."""

    def __init__(self, note: Path) -> None:
        self.note, self.process = note, os.getpid()

    def __getitem__(self, index: int):
        if index == 20 and os.getpid() != self.process and not self.note.exists():
            self.note.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(index)


def train_past_a_dead_worker(folder: Path) -> None:
    """A training whose data worker is killed, called again, ends as one without that."""
    items, often = EndingWorker(folder / "note"), {"checkpoint_min": 1e-6, "num_workers": 1}
    with pytest.raises(RuntimeError) as caught:
        run(folder / "cut", items, **often)
    sentence = explain_fault(caught.value, [])
    assert "a process that makes training mixtures ended" in sentence and "\n" not in sentence
    assert_same(run(folder / "whole"), run(folder / "cut", items, **often))


def test_a_dead_data_worker_is_one_sentence_and_the_training_goes_on(tmp_path):
    """In a process of its own: torch's handler raises wherever Python is when the signal comes."""
    code = (
        "import sys; from pathlib import Path; from tests.faults.test_machine import *; "
        "train_past_a_dead_worker(Path(sys.argv[1]))"
    )
    words = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_more_workers_than_the_machine_serves_are_refused(monkeypatch):
    """64 on two cores hung."""
    conf = SimpleNamespace(training=SimpleNamespace(num_workers=64))
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    with pytest.raises(UserError, match="the 2 cores of this machine: set at most"):
        check_workers(conf)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    check_workers(conf)
