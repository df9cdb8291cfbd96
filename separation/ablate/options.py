"""The options of ``ablate``."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from separation.options import (
    ALL_CORES,
    EXP,
    ClusterOptions,
    add_cluster,
    add_corpora,
    add_device,
    add_jobs,
    add_overrides,
    number_from,
    whole_number,
)


@dataclass(frozen=True, kw_only=True)
class Options(ClusterOptions):
    """Which ladder, which of its rungs, for how long, and where.

    Attributes:
        ladder: its YAML file; see :mod:`separation.ablate.ladder`.
        rungs: names; empty: all.
        n_seeds: trainings of each rung, of the seeds from 0 on.
        steps: of each training, in place of the ladder's.
        minutes: of this call; None: until all is done.
        parallel: trainings at once.
        out: experiments, data, logs and results; None: ``exp/ablate/LADDER``.
        inputs: what the ladder's relative paths are relative to; None: the folder of its file.
        results: folder of results that ``--table`` reads; None: those of ``out``.
        table: run nothing.
        score: name of the one run that is scored.
        corpora: ``NAME=DIR``, of all rungs.
        overrides: ``section.key=value``, of all rungs.
        n_jobs: cores that the trainings share.
        device: ``auto``, ``cpu`` or ``cuda``.
    """

    ladder: Path
    rungs: Sequence[str] = ()
    n_seeds: int = 1
    steps: int | None = None
    minutes: float | None = None
    parallel: int = 1
    out: Path | None = None
    inputs: Path | None = None
    results: Path | None = None
    table: bool = False
    score: str = ""
    corpora: Sequence[str] = ()
    overrides: Sequence[str] = ()
    n_jobs: int = ALL_CORES
    device: str = "auto"

    @property
    def seeds(self) -> range:
        return range(self.n_seeds)

    @property
    def folder(self) -> Path:
        """Of the whole ladder."""
        folder = self.out or EXP / "ablate" / self.ladder.stem
        return folder.expanduser().resolve()

    def format_score_words(self, run_name: str) -> list[str]:
        """The words of a command line that scores one run of these options."""
        words = ["ablate", str(self.ladder.resolve()), f"--score={run_name}"]
        words += [f"--seeds={self.n_seeds}", f"--parallel={self.parallel}", f"--out={self.folder}"]
        words += [f"--nj={self.n_jobs}", f"--device={self.device}", *self.cluster.format_words()]
        words += [f"--steps={self.steps}"] if self.steps else []
        words += [f"--inputs={self.inputs.resolve()}"] if self.inputs else []
        words += [f"--corpus={text}" for text in self.corpora]
        return words + [f"--set={text}" for text in self.overrides]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of :class:`Options`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = (
        "exit codes: 0 every rung is done; 75 time is over, the same command goes on;\n"
        "1 a rung failed. OUT/results gets a JSON file a training, table.md and waterfall.png."
    )
    parser.add_argument("ladder", type=Path, metavar="LADDER", help="YAML file: recipe and rungs")
    what = parser.add_argument_group("what is run")
    what.add_argument(
        "--rungs", nargs="+", metavar="RUNG", help="only these, begun in this order (all)"
    )
    count = whole_number(1)
    seeds = f"trainings of each rung, with other seeds ({Options.n_seeds})"
    what.add_argument("--seeds", dest="n_seeds", type=count, metavar="N", help=seeds)
    what.add_argument("--steps", type=count, metavar="N", help="of each training (the ladder's)")
    minutes = "of this call, after which trainings write their checkpoint and end (no limit)"
    above_zero = number_from(0, above=True)
    what.add_argument("--minutes", type=above_zero, metavar="M", help=minutes)
    score = "only score this training, such as a-seed0; the command calls itself so"
    what.add_argument("--score", metavar="RUN", help=score)
    add_overrides(what)
    _add_places(parser)
    machine = parser.add_argument_group("machine")
    parallel = f"trainings at once ({Options.parallel})"
    machine.add_argument("--parallel", type=count, metavar="N", help=parallel)
    add_jobs(machine)
    add_cluster(machine)
    add_device(machine)


def _add_places(parser: argparse.ArgumentParser) -> None:
    places = parser.add_argument_group("where, and table and plot alone")
    add_corpora(places, "where a corpus lies, for all rungs")
    inputs = "what relative paths in the ladder are relative to (its own folder)"
    places.add_argument("--inputs", type=Path, metavar="DIR", help=inputs)
    out = "data, experiments, logs and results (exp/ablate/LADDER)"
    places.add_argument("--out", type=Path, metavar="DIR", help=out)
    places.add_argument(
        "--table", action="store_true", help="run nothing: make table and plot of finished results"
    )
    results = "folder of the results that --table takes (OUT/results)"
    places.add_argument("--results", type=Path, metavar="DIR", help=results)
