"""The stages of a recipe, each described once.

The command line, run.sh, the markers of finished stages and the tables of the documentation all
follow from :data:`STAGES`. Light imports only: it answers before torch is there, or installed.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from separation.errors import UserError
from separation.stages import keys
from separation.text import format_table

if TYPE_CHECKING:
    from separation.experiment.experiment import Experiment


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One step of a recipe, done once and found done as long as nothing it depends on changes.

    Attributes:
        name: its command, as ``train``.
        help: what it does, in a few words.
        needs: stages that must be done before it.
        key: hash of what it depends on; see :mod:`separation.stages.keys`.
        runner: ``module:function``, imported when the stage runs; it takes an
            :class:`~separation.experiment.experiment.Experiment` and returns the files that it
            wrote.
        home: which folder it fills, and keeps its marker in.
        fills: folders that this experiment needs of it, where the key does not say so.
        reads: for the documentation.
        writes: for the documentation.
        spreads: whether its jobs may go over a Dask cluster.
    """

    name: str
    help: str
    needs: tuple[str, ...] = ()
    key: Callable[["Experiment"], str]
    runner: str
    home: Literal["data", "experiment"]
    fills: Callable[["Experiment"], list[Path]] = lambda _: []
    reads: str
    writes: str
    spreads: bool = False

    @property
    def number(self) -> int:
        """Its place among :data:`STAGES`, from 0."""
        return STAGES.index(self)

    def find_home(self, experiment: "Experiment") -> Path:
        """The folder that it fills."""
        return experiment.data.path if self.home == "data" else experiment.folder.path

    def find_marker(self, experiment: "Experiment") -> Path:
        """The file that says that it is done."""
        return self.find_home(experiment) / f".done_{self.number}_{self.name}.json"

    def load_runner(self) -> "Callable[[Experiment], list[Path]]":
        """Import the function that does its work."""
        module, _, function = self.runner.partition(":")
        return getattr(importlib.import_module(module), function)


STAGES = (
    Stage(
        name="preflight",
        help="check machine, disk and config; fetch the corpus where it is missing",
        key=keys.preflight_key,
        runner="separation.stages.preflight:run_preflight",
        home="data",
        reads="config, machine, published lists",
        writes="corpora that were not given, under `data/corpora` (mini: `data/mini/corpus`)",
    ),
    Stage(
        name="corpus",
        help="corpus tree -> table of utterances with splits, and an audit",
        needs=("preflight",),
        key=keys.corpus_key,
        runner="separation.stages.data:run_corpus",
        home="data",
        reads="recordings",
        writes="`data/<mix>/<kind>/corpus.csv`, `audit.{md,json,png}`, `noise.csv`; measurements "
        "of every file in `data/<mix>/.scan-<key>.jsonl`",
        spreads=True,
    ),
    Stage(
        name="metadata",
        help="corpus table, or published lists -> fixed mixtures with fingerprints",
        needs=("corpus",),
        key=keys.metadata_key,
        runner="separation.stages.data:run_metadata",
        home="data",
        reads="`corpus.csv`; or published lists and every file that they name; or folders of audio",
        writes="`data/<mix>/<kind>/metadata/<split>.csv`",
    ),
    Stage(
        name="audio",
        help="training utterances, decoded and packed",
        needs=("corpus",),
        key=keys.audio_key,
        runner="separation.stages.data:run_audio",
        home="data",
        fills=keys.list_packs,
        reads="`corpus.csv`, tables",
        writes="`data/<mix>/<kind>/packed_<rate>/<speaker>.{i16,csv}`, `exact/`",
        spreads=True,
    ),
    Stage(
        name="train",
        help="train, or go on: best_model.pth, curves.csv, checkpoints, TensorBoard logs",
        needs=("metadata", "audio"),
        key=keys.train_key,
        runner="separation.stages.model:run_train",
        home="experiment",
        reads="packed audio, dev table",
        writes="`exp/<mix>/<Model>/<tag>/`: `conf.yml`, `run.json`, `best_model.pth`, "
        "`curves.csv`, `checkpoints/`, `tensorboard/`",
    ),
    Stage(
        name="evaluate",
        help="SI-SDR, SDR of mixture, model and oracle: a CSV row per mixture, summary.json",
        needs=("metadata", "train"),
        key=keys.evaluate_key,
        runner="separation.stages.model:run_evaluate",
        home="experiment",
        reads="`best_model.pth`, test tables",
        writes="`evaluation/<set>/<estimator>.csv`, `evaluation/summary.json`",
        spreads=True,
    ),
    Stage(
        name="report",
        help="scores and curves -> RESULTS.md and report.html",
        needs=("evaluate",),
        key=keys.report_key,
        runner="separation.stages.model:run_report",
        home="experiment",
        reads="evaluation, curves",
        writes="`RESULTS.md`, `report.html`",
    ),
)


def find_stage(name: str) -> Stage:
    """The stage of this name."""
    return next(stage for stage in STAGES if stage.name == name)


def select_stages(first: int, last: int) -> tuple[Stage, ...]:
    """The stages from number ``first`` to number ``last``, both included.

    Raises:
        UserError: there are no such stages, or the first comes after the last.
    """
    if not 0 <= first <= last < len(STAGES):
        raise UserError(
            f"--stage {first} --stop-stage {last}: stages run from 0 to {len(STAGES) - 1}, the "
            "first not above the last."
        )
    return STAGES[first : last + 1]


def format_stage_list() -> str:
    """The stages as ``run.sh --help`` shows them, a line each."""
    width = max(len(stage.name) for stage in STAGES)
    return "\n".join(f"  {stage.number} {stage.name:<{width}}  {stage.help}" for stage in STAGES)


def format_readme_table() -> str:
    """The stages as README.md has them, in Markdown."""
    rows = [[f"{stage.number} {stage.name}", stage.help] for stage in STAGES]
    return format_table(["stage", "does"], rows)


def format_contracts() -> str:
    """What each stage reads and writes, as docs/architecture.md has it, in Markdown."""
    rows = [[f"{stage.number} {stage.name}", stage.reads, stage.writes] for stage in STAGES]
    return format_table(["stage", "reads", "writes"], rows)
