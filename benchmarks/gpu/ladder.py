"""The ladder of rungs, trained in parts that resume each other; see train_real_speech.sh."""

import argparse
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.gpu import ladder_state
from benchmarks.gpu.ablation import collect_ablation, write_outputs
from benchmarks.gpu.ladder_corpus import Sizes, prepare_corpus
from benchmarks.gpu.ladder_rung import (
    PartOver,
    RungFailed,
    choose_best,
    list_keys,
    open_rung,
    run_rung,
)
from benchmarks.gpu.rungs import LAST, NAMES, RECIPE, format_sets
from benchmarks.gpu.voices import write_voices
from separation.config.load import load_conf
from separation.errors import UserError
from separation.files import format_rows, read_json, write_json, write_text

ROOT = Path(__file__).resolve().parents[2]
CALL_AGAIN, FAILED, MISTAKE = 75, 1, 2
SMOKE_RUNGS = ("a", "c", LAST)


@dataclass
class Ladder:
    """One call.

    Attributes:
        deadline: of time.monotonic; a training under way is told to stop then.
        interrupt: ends the part early; for the smoke run.
    """

    args: argparse.Namespace
    rungs: tuple[str, ...]
    deadline: float
    interrupt: Callable[[], bool] = lambda: False

    @property
    def work(self) -> Path:
        return self.args.work

    def run(self) -> int:
        """Run what fits into this part; returns the exit code."""
        code = 0
        try:
            self._prepare()
            for name in self.rungs:
                code = max(code, self._run_one(name))
        except PartOver as over:
            print(f"part over ({over}): run the same command to go on", flush=True)
            code = CALL_AGAIN
        self._collect()
        return code

    def _prepare(self) -> None:
        sizes = Sizes(4, 4, 2) if self.args.smoke else Sizes()
        conf = load_conf(ROOT, RECIPE, format_sets(list_keys("a", self.work, self.args)))
        prepare_corpus(self.args.speech.resolve(), self.work, conf, sizes, self.args.nj)

    def _run_one(self, name: str) -> int:
        result = self.work / "results" / f"{name}.json"
        if read_json(result) is not None:
            print(f"rung {name}: done already", flush=True)
            return 0
        if name == LAST and choose_best(self.work) is None:
            print(f"rung {name}: there is no finished rung to go on with", flush=True)
            return FAILED
        print(f"rung {name}", flush=True)
        failure = result.with_suffix(".failed.json")
        try:
            rung = open_rung(name, self.work, self.args)
            write_json(result, run_rung(rung, self.deadline, self.interrupt))
            failure.unlink(missing_ok=True)
        except (RungFailed, UserError) as error:
            print(f"rung {name} failed: {error}", flush=True)
            write_json(failure, {"why": str(error)})
            return FAILED
        return 0

    def _collect(self) -> None:
        """Small files for whoever keeps them: also after a part that is not the last."""
        ablation = collect_ablation(self.work)
        if not ablation["rungs"]:
            return
        print("\n" + write_outputs(ablation, self.args.out), flush=True)
        for line in ladder_state.pack_state(self.work, self.args.out):
            print(line, flush=True)


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line; its defaults are told by train_real_speech.sh --help."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    add = parser.add_argument
    add("speech", nargs="?", type=Path, default=ROOT.parent / "shared" / "speech")
    add("--minutes", type=float, default=1.5)
    add("--last-minutes", type=float, default=5.0)
    add("--part-minutes", type=float, default=8.0)
    add("--rungs", default="")
    add("--work", type=Path, default=ROOT / "exp" / "ladder")
    add("--out", type=Path)
    add("--state", type=Path)
    add("--device", choices=("auto", "cpu", "cuda"), default="auto")
    add("--nj", type=int, default=len(os.sched_getaffinity(0)))
    add("--smoke", action="store_true")
    args = parser.parse_args(arguments)
    args.work = args.work.resolve()
    args.out = (args.out or args.work / "out").resolve()
    return args


def choose_rungs(text: str) -> tuple[str, ...]:
    """The rungs of ``--rungs``, in the ladder's order; all where it is empty."""
    wanted = [name for name in text.split(",") if name]
    unknown = sorted(set(wanted) - set(NAMES))
    if unknown:
        raise UserError(f"--rungs {text}: there is no {unknown[0]}; choose of {', '.join(NAMES)}.")
    return tuple(name for name in NAMES if not wanted or name in wanted)


def write_toy_speech(folder: Path) -> None:
    """A folder in the layout that the ladder reads: 8 training and 4 test voices, with ages."""
    write_voices(folder / "toy", 12, 6, 2.2, 16000)
    rows: list[dict[str, Any]] = []
    for number, speaker in enumerate(sorted((folder / "toy").iterdir())):
        for path in sorted(speaker.iterdir()):
            age = 9 if number in (10, 11) else 30
            split = "train" if number < 8 else "test"
            about = {"speaker": speaker.name[:-2], "sex": speaker.name[-1], "age": age}
            about["path"] = path.relative_to(folder / "toy").as_posix()
            rows.append(about | {"split": split})
    write_text(folder / "toy" / "utterances.csv", format_rows(rows))


def run_smoke(args: argparse.Namespace) -> int:
    """Two parts: the first is cut within its first training, the second goes on and ends."""
    args.speech, args.nj = args.work / "toy_speech", 1
    write_toy_speech(args.speech)
    args.minutes = args.last_minutes = args.part_minutes  # here epochs decide
    checkpoint = args.work / "exp" / RECIPE / "a" / "checkpoints" / "last.ckpt"
    deadline = time.monotonic() + 60 * args.part_minutes
    first = Ladder(args, SMOKE_RUNGS, deadline, checkpoint.is_file).run()
    if first != CALL_AGAIN:
        print(f"the first part should have been cut, but ended with {first}", file=sys.stderr)
        return FAILED
    return Ladder(args, SMOKE_RUNGS, deadline).run()


def main(arguments: list[str] | None = None) -> int:
    """Parse and run; a user's mistake is one sentence."""
    args = parse_arguments(arguments)
    deadline = time.monotonic() + 60 * args.part_minutes
    try:
        rungs = choose_rungs(args.rungs)
        if args.state is not None:
            ladder_state.unpack_state(args.state, args.work)
        return run_smoke(args) if args.smoke else Ladder(args, rungs, deadline).run()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return MISTAKE


if __name__ == "__main__":
    sys.exit(main())
