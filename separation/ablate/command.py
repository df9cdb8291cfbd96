"""The command ``ablate``: what each change of a recipe is worth, one training a rung."""

import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from separation.ablate.options import Options, add_options

if TYPE_CHECKING:
    from separation.ablate.ladder import Ladder
    from separation.ablate.plan import Run
    from separation.ablate.processes import Outcome

__all__ = ["Options", "add_options", "run"]
CALL_AGAIN = 75  # sysexits.h: a temporary failure
SIGNALLED = 128


def run(options: Options) -> int:
    """Run what is not done of a ladder; write its table and plot.

    Returns:
        0 where all is done, 75 where the time was over, 1 where a rung failed.

    Raises:
        UserError: anything wrong with ladder or options, before the first training.
        KeyboardInterrupt: Ctrl-C; what was under way has written its checkpoint.
    """
    from separation.ablate.ladder import read_ladder

    began = time.monotonic()
    ladder = read_ladder(options.ladder, options.steps)
    if options.table:
        _report(ladder, (options.results or options.folder / "results").expanduser())
        return 0
    from separation.ablate.plan import plan_runs

    runs = plan_runs(ladder, options)
    if options.score:
        _score(runs, options.score)
        return 0
    outcome = _run_all(runs, options, began)
    if any(run.result.is_file() for run in runs):
        _report(ladder, options.folder / "results")
    return _conclude(outcome)


def _score(runs: "list[Run]", name: str) -> None:
    from separation.ablate.score import score_run
    from separation.cluster import use_cluster
    from separation.errors import UserError

    chosen = [run for run in runs if run.name == name]
    if not chosen:
        known = ", ".join(run.name for run in runs)
        raise UserError(f"--score {name}: there is no such training; choose of {known}.")
    run = chosen[0]
    with use_cluster(run.options.cluster, [run.out]):
        score_run(run)


def _run_all(runs: "list[Run]", options: Options, began: float) -> "Outcome":
    from separation.ablate.processes import Runner
    from separation.cluster import check_cluster
    from separation.files import check_writable

    check_writable(options.folder, "choose another with --out")
    check_cluster(options.cluster, [options.folder])
    limit_s = float("inf") if options.minutes is None else 60 * options.minutes
    return Runner(
        runs,
        options.parallel,
        began + limit_s,
        lambda run: options.format_score_words(run.name),
    ).run()


def _report(ladder: "Ladder", folder: Path) -> None:
    from separation.ablate.report import write_report

    print(write_report(ladder, folder), flush=True)


def _conclude(outcome: "Outcome") -> int:
    for name, why in outcome.failed.items():
        print(f"error: {name}: {why}", file=sys.stderr)
    if outcome.number == signal.SIGINT:
        raise KeyboardInterrupt
    if outcome.number:
        return SIGNALLED + outcome.number
    if outcome.is_stopped:
        print("time is over: run the same command to go on", file=sys.stderr)
        return CALL_AGAIN
    return 1 if outcome.failed else 0
