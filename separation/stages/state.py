"""Which stages of an experiment are done, and whether it may go on with its config.

A stage's marker, written last, holds its key and the sizes of its outputs. A marker whose key
differs, or whose outputs are gone, counts for nothing.
"""

from pathlib import Path

import yaml

from separation.config.load import list_changes
from separation.environment import format_run
from separation.errors import MissingInputError, UserError
from separation.experiment.experiment import Experiment
from separation.files import read_json, write_json, write_text
from separation.stages.table import find_stage

TRAINING_SECTIONS = ("corpus", "splits", "metadata", "mixtures", "audio", "model", "training")


def is_done(experiment: Experiment, name: str) -> bool:
    """Whether the stage finished with this very config and its outputs are still whole."""
    stage = find_stage(name)
    marker = read_json(stage.find_marker(experiment))
    if marker is None or not _has_inputs(experiment):
        return False
    whole = all(_size_of(Path(path)) == size for path, size in marker["outputs"].items())
    if not whole or marker["key"] != stage.key(experiment):
        return False
    written = [Path(path) for path in marker["outputs"]]
    return all(
        any(path.is_relative_to(folder) for path in written) for folder in stage.fills(experiment)
    )


def _has_inputs(experiment: Experiment) -> bool:
    try:
        return bool(experiment.inputs.fingerprint)
    except (UserError, FileNotFoundError):
        return False


def mark_done(experiment: Experiment, name: str, outputs: list[Path]) -> None:
    """Write the stage's marker, last of all."""
    stage = find_stage(name)
    sizes = {str(path): _size_of(path) for path in outputs}
    assert -1 not in sizes.values(), f"{name} left out {sizes}"
    write_json(stage.find_marker(experiment), {"key": stage.key(experiment), "outputs": sizes})


def _size_of(path: Path) -> int:
    return path.stat().st_size if path.is_file() else -1


def require_done(experiment: Experiment, *names: str) -> None:
    """Raise :class:`MissingInputError` where one of these stages is not done."""
    for name in names:
        if not is_done(experiment, name):
            number = find_stage(name).number
            command = format_run(*experiment.list_options(), "--stage", str(number))
            raise MissingInputError(
                f"stage {number} ({name}) is not done for this config: run {command}."
            )


def list_config_changes(experiment: Experiment) -> list[str]:
    """How the config differs from that with which the experiment's folder was begun.

    Only in what a training depends on, and may not change when it goes on; empty where nothing
    was begun.
    """
    folder, conf = experiment.folder, experiment.conf
    if not folder.conf.is_file():
        return []
    free = {f"training.{name}" for name in conf.training.may_change}
    changes = list_changes(folder.read_conf(), conf, TRAINING_SECTIONS)
    return [change for change in changes if change.partition(":")[0] not in free]


def refuse_other_config(experiment: Experiment) -> None:
    """Raise :class:`UserError` where the experiment was trained with another config.

    One that ended before it had a checkpoint or an epoch may begin anew with any config.
    """
    changes = list_config_changes(experiment)
    if changes and experiment.folder.is_trained:
        raise UserError(
            f"{experiment.folder.path} was trained with another config; choose a new --tag, or "
            f"undo: {'; '.join(changes)}."
        )


def save_conf(experiment: Experiment) -> None:
    """Write the resolved config into the experiment's folder."""
    text = yaml.safe_dump(experiment.conf.as_dict(), sort_keys=False)
    write_text(experiment.folder.conf, text)
