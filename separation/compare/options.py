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
    add_device,
    add_jobs,
    add_out,
    add_trust,
    one_of,
    whole_number,
)


@dataclass(frozen=True, kw_only=True)
class Options(MixtureOptions):
    """Which models are scored on which test sets, and how.

    Attributes:
        models: files, experiment folders, published names, Hub names or URLs.
        test_sets: tables, folders of audio or ``MIX:split``.
        out: folder of the scores and the report.
        metrics: out of ``METRICS``; SI-SDR is always among them.
        oracles: of ``ibm``, ``irm`` and ``wfm``.
        limit: mixtures of each set, evenly spaced; None: all.
        n_worst: of each set and model, to see and hear in the report.
        sixteen_bit: also scores of the estimates as 16-bit files hold them.
        trust: unpickle the models' files freely.
        device: ``auto``, ``cpu`` or ``cuda``.

    Raises:
        UserError: a model or set is named twice, or a model as a reference is.
    """

    models: Sequence[str]
    test_sets: Sequence[str]
    out: Path = EXP / "compare"
    metrics: Sequence[str] = ("si_sdr", "sdr")
    oracles: Sequence[str] = ORACLES
    limit: int | None = None
    n_worst: int = 3
    sixteen_bit: bool = False
    trust: bool = False
    device: str = "auto"

    def __post_init__(self) -> None:
        for option, names in (("--models", self.models), ("--test-sets", self.test_sets)):
            twice = [name for name in names if names.count(name) > 1]
            if twice:
                raise UserError(f"{option} {twice[0]}: is given twice; name each once.")
        for name in self.models:
            if name in (FLOOR, *ORACLES):
                raise UserError(f"--models {name}: is what a reference is called; write ./{name}.")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of :class:`Options`."""
    compared = parser.add_argument_group("what is compared")
    compared.add_argument(
        "--models", nargs="+", required=True, metavar="MODEL", help=f"each a {MODEL_HELP}"
    )
    compared.add_argument(
        "--test-sets",
        nargs="+",
        required=True,
        metavar="SET",
        help="each a mixture table, folder of audio with mix/ s1/ s2/, or MIX:split (a recipe's)",
    )
    compared.add_argument(
        "--limit",
        type=whole_number(1),
        metavar="N",
        help="score an evenly spaced sample of each set (all)",
    )
    compared.add_argument(
        "--oracles",
        nargs="*",
        type=one_of(*ORACLES),
        metavar="MASK",
        help=f"oracle masks beside the models, as ceilings; none: --oracles ({' '.join(ORACLES)})",
    )
    _add_scoring_options(parser)
    add_mixture_options(parser, "of tables and trees (each model's own)")
    machine = parser.add_argument_group("machine")
    add_jobs(machine)
    add_device(machine)
    add_trust(machine)


def _add_scoring_options(parser: argparse.ArgumentParser) -> None:
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
    add_out(group, "folder of scores and report (exp/compare)")
