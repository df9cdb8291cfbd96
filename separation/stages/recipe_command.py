"""The command ``run``, which run.sh calls: stages of a recipe, one after the other.

Each stage has a process of its own, so that neither memory nor threads of one reach the next.
"""

import argparse
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any

from separation.config.recipes import find_confs
from separation.environment import ROOT
from separation.errors import UserError
from separation.experiment.options import RecipeOptions, add_recipe_options
from separation.options import add_cluster, whole_number
from separation.stages.table import STAGES, Stage, format_stage_list, select_stages

LAST = len(STAGES) - 1
STOPPED = 128  # and the signal's number: the exit code, as shells have it


@dataclass(frozen=True, kw_only=True)
class Options(RecipeOptions):
    """The recipe, and which of its stages.

    Attributes:
        first: number of the first stage.
        last: number of the last stage.
        dry_run: say which stages there are to run, and run none.
    """

    first: int = 0
    last: int = LAST
    dry_run: bool = False


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options: those of every stage, and from which to which."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = (
        f"stages:\n{format_stage_list()}\n"
        "Every stage finds what is done, goes on where it was cut, and can be run again."
    )
    stages = parser.add_argument_group("stages")
    number = whole_number(0)
    stages.add_argument(
        "--stage", dest="first", type=number, metavar="N", help="number of the first one (0)"
    )
    stages.add_argument(
        "--stop-stage",
        dest="last",
        type=number,
        metavar="N",
        help=f"number of the last one ({LAST})",
    )
    stages.add_argument(
        "--dry-run", action="store_true", help="check the options, list the stages, run none"
    )
    add_recipe_options(parser)
    add_cluster(parser)


def run(options: Options) -> int:
    """Run the stages, until one of them does not end with exit code 0.

    Returns:
        that exit code, or 0.

    Raises:
        UserError: there are no such stages or recipe, or something ended a stage's process.
        KeyboardInterrupt: Ctrl-C came while one stage ended, so that no other began.
    """
    stages = select_stages(options.first, options.last)
    find_confs(ROOT, options.recipe)
    if options.dry_run:
        print("\n".join(f"stage {stage.number} {stage.name}: {stage.help}" for stage in stages))
        return 0
    words = options.format_words()
    with StageProcesses() as processes:
        for stage in stages:
            code = processes.run(stage, [sys.executable, "-m", "separation", stage.name, *words])
            if code:
                return code
    return 0


class StageProcesses:
    """Runs stages in processes of their own, and minds the signals meanwhile.

    Ctrl-C reaches the stage under way by itself, since it is in the same group of processes;
    SIGTERM may be meant for this process alone and is passed on. Either way the stage ends as it
    sees fit (training writes a checkpoint), and no other begins.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen | None = None
        self._signal = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StageProcesses":
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as of a job in the background
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._signal = number
        if number == signal.SIGTERM and self._process is not None:
            self._process.send_signal(number)

    def run(self, stage: Stage, command: Sequence[str]) -> int:
        """The exit code of one stage's process.

        Raises:
            UserError: a signal ended it that nobody sent here, such as the kernel's for want of
                memory.
            KeyboardInterrupt: SIGINT came, and the stage was done all the same.
        """
        code = 0 if self._signal else self._call(command)
        if code > 0:
            return code
        if code < 0 and not self._signal:
            name = signal.Signals(-code).name
            memory = " (out of memory?)" if name == "SIGKILL" else ""
            raise UserError(
                f"stage {stage.number} ({stage.name}) was ended by {name}{memory}; run the same "
                "command to go on from here."
            )
        if self._signal == signal.SIGINT:
            raise KeyboardInterrupt
        if self._signal:
            print("stopped by SIGTERM: run the same command to go on from here", file=sys.stderr)
            return STOPPED + self._signal
        return 0

    def _call(self, command: Sequence[str]) -> int:
        self._process = subprocess.Popen(command)
        if self._signal == signal.SIGTERM:  # it came while the process was made
            self._process.send_signal(self._signal)
        code = self._process.wait()
        self._process = None
        return code
