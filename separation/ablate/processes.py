"""Runs of a ladder side by side: each one's stages, training and scores in processes of their own.

One loop looks after all of them. A process that is told to stop (SIGTERM) writes its checkpoint
or keeps its finished rows; whatever ends this one ends them too, so the next call goes on.
"""

import ctypes
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import Enum
from types import FrameType

from separation.ablate.plan import Run
from separation.environment import ROOT
from separation.files import is_locked
from separation.jobs import PR_SET_PDEATHSIG

POLL_S = 0.2
STOPPING_S = 60  # for a training to write its checkpoint
PROGRESS_S = 15
TAIL_BYTES = 4000
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class Phase(Enum):
    """What is under way of a run."""

    DATA = "data"
    TRAINING = "training"
    SCORES = "scores"


@dataclass(kw_only=True)
class Slot:
    """A run under way.

    Attributes:
        run: which.
        phase: of it.
        process: that does it.
        began: of time.monotonic.
    """

    run: Run
    phase: Phase
    process: subprocess.Popen
    began: float = field(default_factory=time.monotonic)

    def describe(self) -> str:
        """``a-seed0 training 1204 of 6000 steps``."""
        detail = _read_bar(self.run) if self.phase == Phase.TRAINING else ""
        return f"{self.run.name} {self.phase.value} {detail}".rstrip()


@dataclass(kw_only=True)
class Outcome:
    """What became of a call's runs.

    Attributes:
        failed: by the run's name, the end of its log.
        is_stopped: whether runs are left for another call.
        number: of the signal that stopped it; 0: none.
    """

    failed: dict[str, str] = field(default_factory=dict)
    is_stopped: bool = False
    number: int = 0


class Runner:
    """Runs what is not done, at most ``parallel`` at once.

    Args:
        runs: in the order of their start; finished ones are left alone.
        parallel: at once.
        deadline: of time.monotonic, at which running ones are told to stop.
        score_command: of a run: its scores in a process of their own.
    """

    def __init__(
        self,
        runs: list[Run],
        parallel: int,
        deadline: float,
        score_command: Callable[[Run], list[str]],
    ) -> None:
        self.n_all, self.pending = len(runs), [run for run in runs if not run.is_done]
        self.parallel, self.deadline, self.score_command = parallel, deadline, score_command
        self.slots: list[Slot] = []
        self.prepared: set[str] = set()
        self.waiting: set[str] = set()  # names of runs in whose folder another process trains
        self.outcome = Outcome()
        self._said = -float("inf")

    def run(self) -> Outcome:
        """Run until all is done, or the time is over, or a signal came."""
        for run in self.pending:
            run.log.parent.mkdir(parents=True, exist_ok=True)
        with self._noting_signals():
            while self.pending or self.slots:
                if self.outcome.number or time.monotonic() >= self.deadline:
                    self._stop()
                    break
                self._fill()
                self._say_progress()
                time.sleep(POLL_S)
                self._look()
        return self.outcome

    def _fill(self) -> None:
        """Begin runs in the free slots; of the same corpora one at a time is prepared.

        Where a call before this one was killed, its training may still write its checkpoint.
        """
        for run in list(self.pending):
            if len(self.slots) >= self.parallel:
                return
            busy = [slot.run.options.corpora for slot in self.slots if slot.phase == Phase.DATA]
            is_prepared = str(run.options.data) in self.prepared
            if is_prepared and is_locked(run.experiment.folder.training_lock):
                self._say_waiting(run)
            elif is_prepared or list(run.options.corpora) not in [list(own) for own in busy]:
                self.pending.remove(run)
                self._begin(run, Phase.TRAINING if is_prepared else Phase.DATA)

    def _begin(self, run: Run, phase: Phase) -> None:
        words = run.options.format_words()
        if phase == Phase.DATA:
            share_measurements(run)
            words = replace(run.options, n_jobs=run.data_jobs).format_words()
            words = ["run", "--stage=0", "--stop-stage=3", *words]
        elif phase == Phase.TRAINING:
            words = ["train", *words]
        else:
            words = self.score_command(run)
        with open(run.log, "ab") as log:
            log.write(f"\n== {phase.value}: separation {' '.join(words)}\n".encode())
            log.flush()
            process = subprocess.Popen(
                [sys.executable, "-m", "separation", *words],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=limit_threads(run.options.n_jobs),
                start_new_session=True,  # Ctrl-C comes to them from here, once
                preexec_fn=_end_with_parent,  # safe: this process has one thread
            )
        self.slots.append(Slot(run=run, phase=phase, process=process))

    def _say_waiting(self, run: Run) -> None:
        if run.name not in self.waiting:
            self.waiting.add(run.name)
            folder = run.experiment.folder.path
            print(f"{folder}: another process trains in it; waiting", file=sys.stderr, flush=True)

    def _look(self) -> None:
        """Go on with what ended."""
        for slot in list(self.slots):
            code = slot.process.poll()
            if code is None:
                continue
            self.slots.remove(slot)
            if code:
                self._note_failure(slot)
            elif slot.phase == Phase.DATA:
                self.prepared.add(str(slot.run.options.data))
                self.pending.insert(0, slot.run)
            elif slot.phase == Phase.TRAINING:
                self._begin(slot.run, Phase.SCORES)
            else:
                print(f"{slot.run.name}: done, {slot.run.result}", flush=True)

    def _note_failure(self, slot: Slot) -> None:
        text = " ".join(read_tail(slot.run)[-400:].split())
        self.outcome.failed[slot.run.name] = f"{slot.phase.value}: {text}"
        print(f"{slot.run.name}: {slot.phase.value} failed, see {slot.run.log}", flush=True)

    def _stop(self) -> None:
        """Tell all to stop; what does not in time is ended, its last checkpoint is whole."""
        for slot in self.slots:
            slot.process.send_signal(signal.SIGTERM)
        latest = time.monotonic() + STOPPING_S
        for slot in self.slots:
            try:
                slot.process.wait(max(0.1, latest - time.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(slot.process.pid, signal.SIGKILL)
                slot.process.wait()
        self.outcome.is_stopped = True
        self.slots.clear()

    @contextmanager
    def _noting_signals(self) -> Iterator[None]:
        before = {number: signal.signal(number, self._note) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.outcome.number = number

    def _say_progress(self) -> None:
        if time.monotonic() - self._said < PROGRESS_S:
            return
        self._said = time.monotonic()
        n_open = len(self.pending) + len(self.slots) + len(self.outcome.failed)
        parts = [slot.describe() for slot in self.slots]
        clock = time.strftime("%H:%M:%S")
        text = f"{clock} {self.n_all - n_open} of {self.n_all} done; {'; '.join(parts)}"
        print(text, file=sys.stderr, flush=True)


SIGNALS = (signal.SIGINT, signal.SIGTERM)


def _end_with_parent() -> None:
    """A training without its ladder would keep the next call out of its folder."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def limit_threads(n_threads: int) -> dict[str, str]:
    """The environment of a process that shares the cores with others."""
    return os.environ | dict.fromkeys(THREADS, str(n_threads))


def share_measurements(run: Run) -> None:
    """A corpus is measured once: another data folder's journal holds for this one too."""
    shared = run.experiment.data.shared
    shared.mkdir(parents=True, exist_ok=True)
    for journal in sorted((run.out / "data").glob("*/*/.scan-*.jsonl")):
        place = shared / journal.name
        if not place.exists() and journal.parent != shared:
            place.write_bytes(journal.read_bytes())


def read_tail(run: Run) -> str:
    """The end of a run's log."""
    with open(run.log, "rb") as handle:
        handle.seek(max(0, run.log.stat().st_size - TAIL_BYTES))
        return handle.read().decode("utf-8", "replace")


def _read_bar(run: Run) -> str:
    """Where a training is, from its progress bar: ``epoch 1, 340 of 1500 steps``."""
    bars = re.findall(r"Epoch (\d+):[^\r\n]*?(\d+)/(\d+) ", read_tail(run))
    if not bars:
        return ""
    epoch, step, n_steps = bars[-1]
    return f"epoch {epoch}, {step} of {n_steps} steps"
