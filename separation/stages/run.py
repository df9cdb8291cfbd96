"""What each stage does. Heavy imports stay inside, where the work is really done."""

import time

from separation.errors import UnscoredError
from separation.experiment.experiment import STAGES, Experiment
from separation.files import read_json
from separation.stages.data import run_audio, run_corpus, run_metadata
from separation.stages.model import run_evaluate, run_report, run_train
from separation.stages.preflight import check_machine, run_preflight


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
        try:
            outputs = RUNNERS[stage](experiment)
        except UnscoredError as error:
            if error.final:  # to score again would find the same
                experiment.mark_done(stage, error.outputs)
            raise
        experiment.mark_done(stage, outputs)
        print(f"stage {number} {stage}: done in {time.monotonic() - began:.0f} s", flush=True)
    if stage == "report":
        print_scores(experiment)


def print_scores(experiment: Experiment) -> None:
    """The score table and where the report lies, on stdout."""
    from separation.evaluation.summary import format_scores

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
