"""What each stage does. Heavy imports stay inside, where the work is really done."""

import shutil
import time
from pathlib import Path

from separation.data_stages import run_audio, run_corpus, run_metadata, run_preflight
from separation.errors import UserError
from separation.files import read_json
from separation.model_stages import (
    PACKAGES,
    find_version,
    run_evaluate,
    run_report,
    run_train,
)
from separation.stages import STAGES, Experiment

NEEDED_DISK_GB = 1.0


def run_stage(experiment: Experiment, stage: str) -> None:
    """Run one stage unless it is done; say which; mark it done last."""
    number = STAGES.index(stage)
    if stage == "preflight":
        check_machine(experiment)
    experiment.refuse_other_config()
    experiment.require(*NEEDS[stage])
    if experiment.is_done(stage):
        print(
            f"stage {number} {stage}: done already ({experiment.marker(stage).parent})", flush=True
        )
    else:
        print(f"stage {number} {stage}: running", flush=True)
        began = time.monotonic()
        outputs = RUNNERS[stage](experiment)
        experiment.mark_done(stage, outputs)
        print(f"stage {number} {stage}: done in {time.monotonic() - began:.0f} s", flush=True)
    if stage == "report":
        print_scores(experiment)


def check_machine(experiment: Experiment) -> None:
    """Check versions, disk, folders and corpus before anything long starts.

    Raises:
        UserError: what is missing, and how to get it.
    """
    missing = [name for name in PACKAGES if not find_version(name)]
    if missing:
        raise UserError(
            f"the active Python environment lacks {', '.join(missing)}: deactivate it and bash "
            "run.sh makes one, or run pip install -r requirements.txt && pip install --no-deps "
            "-r requirements-nodeps.txt in it."
        )
    for folder in (experiment.data, experiment.folder):
        _check_writable(folder)
    free_gb = shutil.disk_usage(experiment.data).free / 1e9
    if free_gb < NEEDED_DISK_GB:
        raise UserError(
            f"{experiment.data}: {free_gb:.1f} GB free where {NEEDED_DISK_GB} GB are needed; "
            "free some or choose another disk with --data DIR."
        )


def _check_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".probe").touch()
        (folder / ".probe").unlink()
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be written ({error.strerror}); choose another with --data or --exp."
        ) from error


def print_scores(experiment: Experiment) -> None:
    """The score table and where the report lies, on stdout."""
    from separation.summary import format_scores

    summary = read_json(experiment.folder / "evaluation" / "summary.json")
    print(f"\n{format_scores(summary)}\n\nreport: {experiment.folder / 'report.html'}", flush=True)


NEEDS: dict[str, tuple[str, ...]] = {
    "preflight": (),
    "corpus": ("preflight",),
    "metadata": ("corpus",),
    "audio": ("corpus",),
    "train": ("metadata", "audio"),
    "evaluate": ("metadata", "train"),
    "report": ("evaluate",),
}
RUNNERS = {
    "preflight": run_preflight,
    "corpus": run_corpus,
    "metadata": run_metadata,
    "audio": run_audio,
    "train": run_train,
    "evaluate": run_evaluate,
    "report": run_report,
}
