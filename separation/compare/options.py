"""The options of ``compare``."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from separation.config.schema import FLOOR, ORACLES
from separation.datasets.options import MixtureOptions, add_mixture_options
from separation.errors import UserError
from separation.metrics.names import METRICS
from separation.options import (
    EXP,
    MODEL_HELP,
    ClusterOptions,
    add_cluster,
    add_device,
    add_jobs,
    add_out,
    add_trust,
    kept_if,
    one_of,
    whole_number,
)

SET_HELP = "a mixture table, folder of audio with mix/ s1/ s2/, or MIX:split (a recipe's)"


@dataclass(frozen=True, kw_only=True)
class ScoringOptions(MixtureOptions, ClusterOptions):
    """What ``compare`` and ``score`` share: what is scored, and what the report shows.

    Attributes:
        estimates: ``NAME=DIR``, separated files of any system.
        out: folder of the scores and the report.
        metrics: out of ``METRICS``; SI-SDR is always among them.
        oracles: of ``ibm``, ``irm`` and ``wfm``.
        limit: mixtures of each set, evenly spaced; None: all.
        n_worst: of each set and model, to see and hear in the report.
        sixteen_bit: also scores of the estimates as 16-bit files hold them.
    """

    estimates: Sequence[str] = ()
    out: Path = EXP / "compare"
    metrics: Sequence[str] = ("si_sdr", "sdr")
    oracles: Sequence[str] = ORACLES
    limit: int | None = None
    n_worst: int = 3
    sixteen_bit: bool = False


@dataclass(frozen=True, kw_only=True)
class Options(ScoringOptions):
    """Which models are scored on which test sets, and how.

    Attributes:
        test_sets: tables, folders of audio or ``MIX:split``.
        models: files, experiment folders, published names, Hub names or URLs, or
            ``module:function``.
        save_estimates: folder for what the models put out; None: it is not kept.
        trust: unpickle the models' files freely.
        device: ``auto``, ``cpu`` or ``cuda``.

    Raises:
        UserError: a model or set is named twice, or a model as a reference is; nothing to score.
    """

    test_sets: Sequence[str]
    models: Sequence[str] = ()
    save_estimates: Path | None = None
    trust: bool = False
    device: str = "auto"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.models or self.estimates):
            raise UserError("--models: is needed, or separated files with --estimates NAME=DIR.")
        systems = ("--models", [*self.models, *self.named_estimates])
        for option, names in (systems, ("--test-sets", self.test_sets)):
            twice = [name for name in names if names.count(name) > 1]
            if twice:
                raise UserError(f"{option} {twice[0]}: is given twice; name each once.")
        for name in self.models:
            if name in (FLOOR, *ORACLES):
                raise UserError(f"--models {name}: is what a reference is called; write ./{name}.")
        for name in self.named_estimates:
            if name in (FLOOR, *ORACLES):
                raise UserError(
                    f"--estimates {name}=...: is what a reference is called; rename it."
                )

    @property
    def named_estimates(self) -> list[str]:
        """The names of the systems whose separated files are scored."""
        return [text.partition("=")[0] for text in self.estimates]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of :class:`Options`."""
    compared = parser.add_argument_group("what is compared")
    compared.add_argument(
        "--models",
        nargs="+",
        metavar="MODEL",
        help=f"each {MODEL_HELP}, or module:function (samples, rate -> voices)",
    )
    add_estimates(compared)
    compared.add_argument(
        "--test-sets",
        nargs="+",
        required=True,
        metavar="SET",
        help=f"each {SET_HELP}",
    )
    add_sample(compared)
    group = add_scoring_options(parser, "exp/compare")
    group.add_argument(
        "--save-estimates",
        type=Path,
        metavar="DIR",
        help="also write what the models put out, as DIR/MODEL/SET/s1/MIXTURE.wav (32-bit float)",
    )
    add_mixture_options(parser, "of tables and trees (each model's own)")
    machine = parser.add_argument_group("machine")
    add_jobs(machine)
    add_cluster(machine)
    add_device(machine)
    add_trust(machine)


def add_estimates(parser: argparse._ActionsContainer, *, required: bool = False) -> None:
    """``--estimates``, of ``compare`` and ``score``."""
    parser.add_argument(
        "--estimates",
        nargs="+",
        required=required,
        type=kept_if(parse_estimates),
        metavar="NAME=DIR",
        help="separated files of any system: folder, CSV, JSON or scp lists (docs/inputs.md)",
    )


def add_sample(parser: argparse._ActionsContainer) -> None:
    """``--limit`` and ``--oracles``."""
    parser.add_argument(
        "--limit",
        type=whole_number(1),
        metavar="N",
        help="score an evenly spaced sample of each set (all)",
    )
    parser.add_argument(
        "--oracles",
        nargs="*",
        type=one_of(*ORACLES),
        metavar="MASK",
        help=f"oracle masks beside the models, as ceilings; none: --oracles ({' '.join(ORACLES)})",
    )


def parse_estimates(text: str) -> tuple[str, Path]:
    """Name and folder or table of ``NAME=DIR``.

    Raises:
        UserError: it is something else.
    """
    name, _, folder = text.partition("=")
    if not name or not folder:
        raise UserError(f"--estimates {text}: write it as NAME=DIR.")
    return name, Path(folder).expanduser()


def add_scoring_options(parser: argparse.ArgumentParser, out: str) -> argparse._ArgumentGroup:
    """What is scored and reported, of ``compare`` and ``score``."""
    group = parser.add_argument_group("scores and report")
    group.add_argument(
        "--metrics",
        nargs="+",
        type=one_of(*METRICS),
        metavar="METRIC",
        help=f"of {' '.join(METRICS)}; pesq needs the package pesq (si_sdr sdr)",
    )
    group.add_argument(
        "--sixteen-bit",
        action="store_true",
        help="also score the estimates as 16-bit files hold them: what clipping costs",
    )
    group.add_argument(
        "--worst",
        dest="n_worst",
        type=whole_number(0),
        metavar="N",
        help=f"mixtures of each set and model to see and hear in the report ({Options.n_worst})",
    )
    add_out(group, f"folder of scores and report ({out})")
    return group
