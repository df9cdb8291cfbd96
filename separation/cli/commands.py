"""Every command: a name, its module, and what it does."""

from dataclasses import dataclass, field

from separation.stages.table import STAGES


@dataclass(frozen=True)
class Command:
    """One command.

    Attributes:
        module: a :class:`separation.options.CommandModule`, imported when the command is called.
        help: what it does, in a few words.
        fixed: fields of the module's ``Options`` that follow from the command's name.
        called_as: how it is called where not by its name.
    """

    module: str
    help: str
    fixed: dict[str, str] = field(default_factory=dict)
    called_as: str = ""


STAGE_COMMANDS = {
    stage.name: Command(
        "separation.stages.command", f"stage {stage.number}: {stage.help}", {"stage": stage.name}
    )
    for stage in STAGES
}
TOOL_COMMANDS = {
    "run": Command(
        "separation.stages.recipe_command",
        "all stages of a recipe, or some: what bash run.sh calls",
        called_as="bash run.sh",
    ),
    "config": Command(
        "separation.config.command", "a recipe's resolved config, and where each value comes from"
    ),
    "separate": Command("separation.recordings.command", "recordings -> one WAV file per speaker"),
    "compare": Command(
        "separation.compare.command",
        "score models on test sets; exit 1: some mixtures have no score",
    ),
    "score": Command(
        "separation.compare.score_command",
        "score separated files of any systems; exit 1: some mixtures have no score",
    ),
    "validate": Command(
        "separation.mixture_checks.command", "check sets of mixtures; exit 1: they have faults"
    ),
    "render": Command(
        "separation.wav_trees.command", "mixture tables -> WAV trees in LibriMix's layout"
    ),
    "overfit": Command(
        "separation.overfit.command", "overfit to ten training mixtures; exit 1: it cannot"
    ),
    "diagnose": Command(
        "separation.diagnose.command",
        "what limits an experiment or a recipe, what to change, and what that is worth",
    ),
    "ablate": Command(
        "separation.ablate.command",
        "a ladder of trainings, one change each: what is it worth? exit 75: call again",
    ),
    "experiments": Command(
        "separation.experiments.command",
        "trained experiments: keys that differ, steps, losses, test scores; also as CSV",
    ),
    "models": Command(
        "separation.publish.list_command",
        "the shipped and the published models: scores, licence, where",
    ),
    "publish": Command(
        "separation.publish.command", "experiment -> model file and card for the Hub"
    ),
    "demo": Command("separation.demo.command", "a page on this machine to try separation with"),
    "export": Command(
        "separation.export.command", "a model as one ONNX or TorchScript file for other programs"
    ),
}
COMMANDS = STAGE_COMMANDS | TOOL_COMMANDS
