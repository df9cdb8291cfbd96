"""One stage run: what it needs is done, it is not done itself, and its marker is written last."""

import time
from pathlib import Path

from separation.cluster import use_cluster
from separation.errors import UnscoredError
from separation.experiment.experiment import Experiment
from separation.files import check_writable, hold_folder
from separation.options import LOCAL, Cluster
from separation.stages.state import is_done, mark_done, refuse_other_config, require_done
from separation.stages.table import Stage, find_stage


def run_stage(experiment: Experiment, name: str) -> None:
    """Run one stage unless it is done; say which; mark it done last.

    Raises:
        UserError: an earlier stage is not done, the experiment has another config, or what the
            stage itself finds wrong.
    """
    stage = find_stage(name)
    if name == "preflight":
        from separation.stages.preflight import check_machine

        check_machine(experiment)
    refuse_other_config(experiment)
    require_done(experiment, *stage.needs)
    if is_done(experiment, name):
        home = stage.find_home(experiment)
        print(f"stage {stage.number} {name}: done already ({home})", flush=True)
    elif name == "train":  # holds its folder itself: its other processes may be anywhere
        _run(experiment, stage)
    else:
        _run_alone(experiment, stage)
    if name == "report":
        print_scores(experiment)


def _run_alone(experiment: Experiment, stage: Stage) -> None:
    """Run a stage when no other process works in its folder, unless that one did it."""
    home = stage.find_home(experiment)
    check_writable(home, "make it so, or choose another with --data or --exp")
    with hold_folder(home, "stages") as waited:
        if waited and is_done(experiment, stage.name):
            print(f"stage {stage.number} {stage.name}: done meanwhile ({home})", flush=True)
        else:
            _run(experiment, stage)


def _run(experiment: Experiment, stage: Stage) -> None:
    print(f"stage {stage.number} {stage.name}: running", flush=True)
    began = time.monotonic()
    try:
        with use_cluster(*_choose_cluster(experiment, stage)):
            outputs = stage.load_runner()(experiment)
    except UnscoredError as error:
        if error.final:  # to score again would find the same
            mark_done(experiment, stage.name, error.outputs)
        raise
    mark_done(experiment, stage.name, outputs)
    seconds = time.monotonic() - began
    print(f"stage {stage.number} {stage.name}: done in {seconds:.0f} s", flush=True)


def _choose_cluster(experiment: Experiment, stage: Stage) -> tuple[Cluster, list[Path], list[Path]]:
    """Where a stage's jobs run, the folders that they write into, and those that they read."""
    cluster = experiment.cluster if stage.spreads else LOCAL
    data = experiment.data
    return (
        cluster,
        [data.path, data.shared, experiment.folder.path],
        [*experiment.roots.given.values()],
    )


def print_scores(experiment: Experiment) -> None:
    """The score table and where the report lies, on stdout."""
    from separation.evaluation.summary import format_scores
    from separation.reports.headlines import read_headlines

    folder = experiment.folder
    summary = folder.read_summary()
    assert summary is not None, f"{folder.path} is not evaluated"
    scores = format_scores(summary, read_headlines(folder, summary))
    print(f"\n{scores}\n\nreport: {folder.report}", flush=True)
