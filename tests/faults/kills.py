"""Random kills (``kill -9``) of stages and tools: nothing is lost, and nothing differs.

    python -m tests.faults.kills DIR [--kills N] [--seed N] [--only NAME ...]

Each command first runs by itself; then, round after round, it begins from the same folder, is
killed one to three times at random moments, and is called once more: it must end well, and its
results must be those of the run without faults. Commands run in forks of this process, whose
imports are done, so that kills fall into the work; so do the processes that ``ablate`` starts. Half
of the kills end a command and all that it started, as a machine that stops; the others end the
command's own process alone, as the kernel does where memory is short. Runs of several seeds add up.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
import yaml

import separation.ablate.processes
import separation.ablate.score
import separation.compare.scores
import separation.recordings.files
import separation.reports.training_report
import separation.stages.data
import separation.stages.model
import separation.stages.recipe_command
import separation.training.loop
import separation.wav_trees.tree
from separation.cli.main import main as call
from separation.config.load import load_conf
from separation.files import hash_file, hash_value
from separation.models.asteroid import save_model
from separation.models.registry import build_model
from separation.stages.table import STAGES
from tests.conftest import ROOT, make_voice
from tests.faults.stages import SETTINGS, write_speakers
from tests.support.small_models import build_small, list_small

# of records: times, and sizes and hashes of files that hold some; tracks and weights are compared
VOLATILE = {"seconds_taken", "changed_ns", "size", "sha256", "minutes", "audio_s_per_s"}
RUNGS = {"a": {}, "b": {"set": {"model.hid_chan": 16}}}
FROM_LADDER = ("training.epochs", "training.epoch_mixtures")
MOST_TRIES = 3  # for a kill that comes while the command is under way


@dataclass(frozen=True, kw_only=True)
class Target:
    """A command that is killed.

    Attributes:
        name: of the command, or of a mode of it.
        words: that call it.
        results: patterns of its results below the folder.
    """

    name: str
    words: list[str]
    results: tuple[str, ...]

    @property
    def is_stage(self) -> bool:
        """Whether it is a stage, which needs those before it."""
        return self.name in {stage.name for stage in STAGES}


@dataclass(kw_only=True)
class Counts:
    """What came of a target's kills."""

    killed: int = 0
    rounds: int = 0
    lost: int = 0
    different: int = 0


def list_targets(folder: Path, speech: Path) -> list[Target]:
    """Stages in their order, then what needs them."""
    own = ["--recipe", "folder/ConvTasNet", "--corpus", f"speech={speech}", "--nj", "1"]
    own += ["--data", str(folder / "data"), "--exp", str(folder / "exp"), "--device", "cpu"]
    settings = SETTINGS | {"training.epochs": 2}
    own += [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    tables = ("data/**/corpus.csv", "data/**/metadata/*.csv", "exp/**/best_model.pth")
    results = (*tables, "exp/**/evaluation/*/*.csv")
    stages = [Target(name=s.name, words=[s.name, *own], results=results) for s in STAGES]
    return [*stages, *_list_tools(folder, speech)]


def _list_tools(folder: Path, speech: Path) -> list[Target]:
    out, model = folder / "out", str(folder.parent / "model.pth")
    table, calls = str(folder.parent / "test.csv"), [str(folder.parent / "calls")]
    to = ["--out", str(out), "--device", "cpu"]
    own = ["--nj", "1", *to]
    rendered = ["render", table, "--corpus", f"speech={speech}", "--nj", "1", "--out", str(out)]
    compared = ["compare", "--models", model, "--test-sets", str(folder.parent / "set")]
    return [
        Target(name="render", words=rendered, results=("out/**/*.wav", "out/**/*.csv")),
        Target(
            name="ablate",
            words=[
                "ablate",
                str(folder.parent / "ladder.yml"),
                "--corpus",
                f"speech={speech}",
                *own,
            ],
            results=("out/results/*.json", "out/data/**/*.csv", "out/exp/**/best_model.pth"),
        ),
        Target(
            name="compare",
            words=[*compared, *own, "--worst", "1"],
            results=("out/*/*.csv",),
        ),
        Target(
            name="separate stream",
            words=[
                "separate",
                *calls,
                "--model",
                str(folder.parent / "causal.pth"),
                "--stream",
                *to,
            ],
            results=("out/*.wav", "out/*.json"),
        ),
        *(
            Target(
                name=f"separate {mode}",
                words=["separate", *calls, "--model", model, "--mode", mode, *to],
                results=("out/*.wav", "out/*.rttm", "out/*.json"),
            )
            for mode in ("overlap", "conversation", "auto")
        ),
    ]


def write_inputs(folder: Path) -> Path:
    """Speakers, a table, a set of mixtures, two calls and a model; returns the speakers' folder."""
    speech = folder / "speech"
    write_speakers(speech)
    write_models(folder)
    write_ladder(folder / "ladder.yml")
    head = "mixture_ID,source_1_path,source_1_gain,source_2_path,source_2_gain"
    rows = [f"m{k},spk{k}/say0.wav,0.5,spk{k + 1}/say1.wav,0.6" for k in range(5)]
    (folder / "test.csv").write_text("\n".join([head, *rows]) + "\n")
    for k in range(4):
        voices = [make_voice(9 * k + n, 100 + 60 * n, 1.5, 8000) for n in range(2)]
        for name, samples in (("s1", voices[0]), ("s2", voices[1]), ("mix", sum(voices))):
            (folder / "set" / name).mkdir(parents=True, exist_ok=True)
            soundfile.write(folder / "set" / name / f"m{k}.wav", samples, 8000, "FLOAT")
        (folder / "calls").mkdir(exist_ok=True)
        if k < 2:
            samples = np.concatenate([*voices, sum(voices)] * 2)
            soundfile.write(folder / "calls" / f"call{k}.wav", samples / 2, 8000)
    return speech


def write_models(folder: Path) -> None:
    """Small models of fixed weights, one of them causal."""
    torch.manual_seed(0)
    save_model(build_small("ConvTasNet"), folder / "model.pth")
    overrides = [*list_small("ConvTasNet"), "model.causal=true", "model.norm_type=cLN"]
    conf = load_conf(ROOT, "folder/STFTMask", overrides).model
    save_model(build_model(conf, 2, 8000), folder / "causal.pth")


def write_ladder(path: Path) -> None:
    """Two rungs on fixed mixtures, eight steps each."""
    settings = {key: value for key, value in SETTINGS.items() if key not in FROM_LADDER}
    settings |= {"training.dynamic_mixing": False, "mixtures.n_train": 4}
    values = {"recipe": "folder/ConvTasNet", "steps": 8, "validate_every": 4, "set": settings}
    path.write_text(yaml.safe_dump(values | {"rungs": RUNGS}, sort_keys=False))


class ForkedCommand:
    """What ``subprocess.Popen`` gives of a command of this program, in a fork of this process."""

    def __init__(
        self,
        words: list[str],
        *,
        stdout: Any = None,
        stderr: Any = None,
        env: Mapping[str, str] | None = None,
        start_new_session: bool = False,
        preexec_fn: Callable[[], None] | None = None,
        **_: Any,
    ) -> None:
        self.returncode: int | None = None
        self.pid = os.fork()
        if self.pid:
            return
        code = 70
        try:
            if start_new_session:
                os.setsid()
            if preexec_fn:
                preexec_fn()
            for number, handle in ((1, stdout), (2, stderr)):
                if handle is not None:
                    os.dup2(handle.fileno(), number)
            os.environ.update(env or {})
            code = call(words[words.index("separation") + 1 :])
        finally:
            os._exit(code)

    def poll(self) -> int | None:
        """The exit code, or None while it is under way."""
        return self._wait(os.WNOHANG)

    def wait(self, timeout: float | None = None) -> int:
        """The exit code; a command here ends by itself or is killed, so no timeout is looked at."""
        code = self._wait(0)
        assert code is not None
        return code

    def _wait(self, flags: int) -> int | None:
        if self.returncode is None:
            ended, status = os.waitpid(self.pid, flags)
            self.returncode = os.waitstatus_to_exitcode(status) if ended else None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """To its process alone."""
        if self.poll() is None:
            os.kill(self.pid, number)


class ForkingSubprocess:
    """Stands for the module ``subprocess`` where the program calls itself."""

    Popen = ForkedCommand
    DEVNULL, TimeoutExpired = subprocess.DEVNULL, subprocess.TimeoutExpired


def fork_own_commands() -> None:
    """Have commands that the program starts in forks, too: their imports take seconds."""
    for module in (separation.ablate.processes, separation.stages.recipe_command):
        vars(module)["subprocess"] = ForkingSubprocess


def start(words: list[str], log: Path) -> int:
    """A command in a fork, in a group of processes of its own; returns its number."""
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        os.setsid()
        handle = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        os.chdir(ROOT)
        code = call(words)
    finally:
        os._exit(code)


def run(words: list[str], log: Path) -> int:
    """Run a command to its end; returns its exit code."""
    return os.waitstatus_to_exitcode(os.waitpid(start(words, log), 0)[1])


def kill(words: list[str], log: Path, after_s: float, *, everything: bool) -> bool:
    """Kill a command after some seconds; whether it was under way.

    Args:
        everything: with all processes that it started; else its own group of processes alone.
    """
    child = start(words, log)
    time.sleep(after_s)
    ended, _ = os.waitpid(child, os.WNOHANG)
    if not ended:
        below = list_below(child) if everything else []
        with suppress(ProcessLookupError):  # killed before it has a group of its own
            os.killpg(child, signal.SIGKILL)
        for process in (child, *below):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        os.waitpid(child, 0)
    return not ended


def list_below(process: int) -> list[int]:
    """Processes that a process started, and those that they did."""
    below = []
    for children in Path(f"/proc/{process}/task").glob("*/children"):
        with suppress(OSError):
            below += [int(text) for text in children.read_text().split()]
    return below + [deeper for child in below for deeper in list_below(child)]


def collect(folder: Path, target: Target) -> dict[str, str]:
    """Results as hashes by their paths; of records without times, of models the weights."""
    paths = sorted({path for pattern in target.results for path in folder.glob(pattern)})
    return {str(path.relative_to(folder)): _hash(path) for path in paths}


def _hash(path: Path) -> str:
    if path.suffix == ".pth":
        weights = torch.load(path, weights_only=True)["state_dict"]
        return hash_value({name: value.tolist() for name, value in weights.items()})
    if path.suffix == ".json":
        return hash_value(_leave_out(json.loads(path.read_text())))
    return hash_file(path)


def _leave_out(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _leave_out(own) for key, own in value.items() if key not in VOLATILE}
    return [_leave_out(own) for own in value] if isinstance(value, list) else value


def try_target(
    target: Target, folder: Path, n_kills: int, dice: random.Random, say: Callable[[str], None]
) -> Counts:
    """Kill a command in rounds until it was killed so often; leaves it done without faults."""
    before, log = folder.with_name("before"), folder.with_name("log.txt")
    copy_folder(folder, before)
    began = time.monotonic()
    if code := run(target.words, log):
        raise RuntimeError(f"{target.name} without faults ended with {code}: {log.read_text()}")
    took_s, whole, counts = time.monotonic() - began, collect(folder, target), Counts()
    after = folder.with_name("after")
    copy_folder(folder, after)
    for _ in range(MOST_TRIES * n_kills):
        if counts.killed >= n_kills:
            break
        copy_folder(before, folder)
        for _ in range(dice.choice((1, 1, 2, 3))):
            after_s, everything = dice.uniform(0, took_s), dice.random() < 0.5
            counts.killed += kill(target.words, log, after_s, everything=everything)
        counts.rounds += 1
        if code := run(target.words, log):
            counts.lost += 1
            say(f"{target.name}: ended with {code} after a kill: {log.read_text()[-2000:]}")
        elif (got := collect(folder, target)) != whole:
            counts.different += 1
            names = [name for name in got.keys() | whole if got.get(name) != whole.get(name)]
            say(f"{target.name}: differs: {', '.join(sorted(names))}")
    copy_folder(after, folder)
    return counts


def choose_targets(targets: list[Target], names: list[str]) -> list[Target]:
    """Those of these names, all where there are none, and the stages that one of them needs."""
    wanted = [number for number, own in enumerate(targets) if not names or own.name in names]
    last = max((number for number in wanted if targets[number].is_stage), default=-1)
    return [own for number, own in enumerate(targets) if number in wanted or number <= last]


def copy_folder(source: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, symlinks=True)


def main() -> int:
    """Print what came of every command's kills; 1 where anything was lost or differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=15, help="of each command (15)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", default=[], help="commands (all)")
    options = parser.parse_args()
    fork_own_commands()
    folder = options.folder.resolve() / "work"
    speech = write_inputs(folder.parent)
    folder.mkdir(parents=True, exist_ok=True)
    total = Counts()
    for target in choose_targets(list_targets(folder, speech), options.only):
        wanted = not options.only or target.name in options.only
        dice = random.Random(f"{target.name} {options.seed}")
        if not target.is_stage:
            shutil.rmtree(folder / "out", ignore_errors=True)
        counts = try_target(target, folder, options.kills * wanted, dice, print)
        for name in vars(total):
            setattr(total, name, getattr(total, name) + getattr(counts, name))
        print(f"{target.name}: {counts}", flush=True)
    print(f"all: {total}")
    return int(bool(total.lost or total.different or not total.killed))


if __name__ == "__main__":
    sys.exit(main())
