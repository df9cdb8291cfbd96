"""Options of the command line: what a word may be, and the options that several commands share.

The module of a command has three parts: ``Options``, a dataclass whose defaults are those of the
options; ``add_options(parser)``, where each option has its help text and the check of its words;
and ``run(options)``. :mod:`separation.cli.main` joins them; Python code makes ``Options`` itself.
"""

import argparse
import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from separation.environment import ROOT
from separation.errors import UserError
from separation.safe_paths import shorten_name

DEFAULT_RECIPE = "mini/ConvTasNet"
DATA, EXP = ROOT / "data", ROOT / "exp"
DEVICES = ("auto", "cpu", "cuda")
ALL_CORES = os.cpu_count() or 1
MODEL_HELP = (
    "shipped, a file, experiment folder, Hub name[@revision], published name or URL (see `models`)"
)
TRUST_HELP = "unpickle freely, which runs whatever the file says"
TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
OVERRIDE = re.compile(r"([^.=]+)\.([^=]+)=(.*)", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Where jobs run.

    Attributes:
        scheduler: address of a running Dask scheduler; empty: none.
        slurm: jobs of SLURM that are asked for, each with Dask workers; 0: none.
    """

    scheduler: str = ""
    slurm: int = 0

    @property
    def is_local(self) -> bool:
        """Whether jobs run in processes of this machine."""
        return not (self.scheduler or self.slurm)

    def format_words(self) -> list[str]:
        """The words of a command line that this stands for."""
        words = [f"--scheduler={self.scheduler}"] if self.scheduler else []
        return words + ([f"--slurm={self.slurm}"] if self.slurm else [])


LOCAL = Cluster()


@dataclass(frozen=True, kw_only=True)
class ClusterOptions:
    """Options of a command whose jobs may go over a Dask cluster.

    Attributes:
        scheduler: its address.
        slurm: jobs of SLURM that are asked for.

    Raises:
        UserError: both are given.
    """

    scheduler: str = ""
    slurm: int = 0

    def __post_init__(self) -> None:
        if self.scheduler and self.slurm:
            raise UserError(
                "--scheduler and --slurm name two clusters: leave one of them out, since --slurm "
                "brings a scheduler of its own."
            )

    @property
    def cluster(self) -> Cluster:
        """Where jobs run."""
        return Cluster(scheduler=self.scheduler, slurm=self.slurm)


class CommandModule(Protocol):
    """What the module of a command holds."""

    Options: Callable[..., Any]

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options; a destination is the name of a field of ``Options``."""
        ...

    def run(self, options: Any) -> int | None:
        """Do it; returns the exit code where it is not 0."""
        ...


def one_of(*names: str) -> Callable[[str], str]:
    """The type of an option that takes one of these names."""

    def convert(text: str) -> str:
        if text not in names:
            listed = ", ".join(names)
            raise argparse.ArgumentTypeError(f"{text}: choose of {listed}.")
        return text

    return convert


def whole_number(minimum: int) -> Callable[[str], int]:
    """The type of an option that takes a whole number from ``minimum`` on."""

    def convert(text: str) -> int:
        if not re.fullmatch(r"[+-]?[0-9]+", text) or int(text) < minimum:
            raise argparse.ArgumentTypeError(
                f"{text}: should be a whole number, {minimum} or more."
            )
        return int(text)

    return convert


def number_from(minimum: float, *, above: bool = False) -> Callable[[str], float]:
    """The type of an option that takes a finite number from ``minimum`` on, or above it."""

    def convert(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and (value > minimum or (value == minimum and not above))):
            wanted = f"above {minimum:g}" if above else f"{minimum:g} or more"
            raise argparse.ArgumentTypeError(f"{text}: should be a number, {wanted}.")
        return value

    return convert


def sample_rate(text: str) -> int:
    """The type of an option that takes a sample rate in Hz."""
    if not text.isdecimal() or not 4000 <= int(text) <= 48000:
        raise argparse.ArgumentTypeError(f"{text}: give Hz within 4000..48000, such as 8000.")
    return int(text)


def check_tag(text: str) -> str:
    """The name of an experiment's folder, which must lie where experiments lie.

    Raises:
        UserError: it could name no folder, or one elsewhere.
    """
    if not TAG.fullmatch(text):
        raise UserError(
            f"--tag {shorten_name(text)[1:-1]}: use letters, digits, '.', '_', '-', a letter or "
            "digit first, 100 at most."
        )
    return text


def parse_corpus(text: str) -> tuple[str, Path]:
    """Name and folder of ``NAME=DIR``.

    Raises:
        UserError: it is something else.
    """
    name, equals, folder = text.partition("=")
    if not name or not equals or not folder:
        raise UserError(f"--corpus {text}: write it as NAME=DIR.")
    return name, Path(folder).expanduser().resolve()


def parse_override(text: str) -> tuple[str, str, str]:
    """Section, key and value of ``section.key=value``.

    Raises:
        UserError: it is something else.
    """
    parts = OVERRIDE.fullmatch(text)
    if parts is None:
        raise UserError(f"--set {text}: write it as section.key=value.")
    return parts[1], parts[2], parts[3]


def kept_if(check: Callable[[str], object]) -> Callable[[str], str]:
    """The type of an option whose text stays as it is where ``check`` raises no UserError."""

    def convert(text: str) -> str:
        try:
            check(text)
        except UserError as error:
            raise argparse.ArgumentTypeError(str(error)) from error
        return text

    return convert


def add_recipe(parser: argparse._ActionsContainer) -> None:
    """``--recipe`` and ``--set``: a config."""
    parser.add_argument(
        "--recipe",
        metavar="MIX/MODEL",
        help=f"folder under egs/, or MIX/MODEL/VARIANT for a VARIANT.yml in it ({DEFAULT_RECIPE})",
    )
    add_overrides(parser)


def add_overrides(parser: argparse._ActionsContainer) -> None:
    """``--set``, any number of times."""
    parser.add_argument(
        "--set",
        action="append",
        dest="overrides",
        type=kept_if(parse_override),
        metavar="KEY=VALUE",
        help="overrides the recipe's config, such as training.budget_min=60; repeatable",
    )


def add_corpora(parser: argparse._ActionsContainer, text: str) -> None:
    """``--corpus``, any number of times."""
    parser.add_argument(
        "--corpus",
        action="append",
        dest="corpora",
        type=kept_if(parse_corpus),
        metavar="NAME=DIR",
        help=f"{text}; repeatable",
    )


def add_data(parser: argparse._ActionsContainer, text: str) -> None:
    """``--data``."""
    parser.add_argument("--data", type=Path, metavar="DIR", help=f"{text} (data)")


def add_jobs(parser: argparse._ActionsContainer) -> None:
    """``--nj``."""
    parser.add_argument(
        "--nj",
        dest="n_jobs",
        type=whole_number(1),
        metavar="N",
        help=f"processes (all cores: {ALL_CORES})",
    )


def scheduler_address(text: str) -> str:
    """The type of an option that takes the address of a Dask scheduler.

    >>> scheduler_address("127.0.0.1:8786")
    'tcp://127.0.0.1:8786'
    """
    parts = re.fullmatch(
        r"(?:(tcp|tls|ucx|ws|wss)://)?(\[[0-9a-fA-F:]+\]|[\w.-]+):([0-9]{1,5})", text
    )
    if parts is None:
        raise argparse.ArgumentTypeError(
            f"{text}: write it as tcp://127.0.0.1:8786, or tls://HOST:PORT for another machine."
        )
    return f"{parts[1] or 'tcp'}://{parts[2]}:{parts[3]}"


def add_cluster(parser: argparse._ActionsContainer) -> None:
    """``--scheduler`` and ``--slurm``: the options of :class:`ClusterOptions`."""
    parser.add_argument(
        "--scheduler",
        type=scheduler_address,
        metavar="ADDRESS",
        help="a Dask cluster in place of --nj, as tls://HOST:8786 (docs/cluster.md)",
    )
    parser.add_argument(
        "--slurm",
        type=whole_number(1),
        metavar="N",
        help="the same over N jobs of SLURM that are asked for here",
    )


def add_device(parser: argparse._ActionsContainer) -> None:
    """``--device``."""
    names = "|".join(DEVICES)
    parser.add_argument(
        "--device", type=one_of(*DEVICES), metavar=names, help="where the model runs (auto)"
    )


def add_tag(parser: argparse._ActionsContainer) -> None:
    """``--tag``."""
    parser.add_argument(
        "--tag",
        type=kept_if(check_tag),
        metavar="NAME",
        help="the experiment: exp/MIX/MODEL/NAME (default, or the variant's name)",
    )


def add_out(parser: argparse._ActionsContainer, text: str, *, required: bool = False) -> None:
    """``--out``."""
    parser.add_argument("--out", type=Path, required=required, metavar="DIR", help=text)


def add_model(parser: argparse._ActionsContainer) -> None:
    """``--model``."""
    parser.add_argument("--model", metavar="MODEL", help=f"{MODEL_HELP} (shipped)")


def add_models(parser: argparse._ActionsContainer, text: str) -> None:
    """``--model``, any number of times."""
    parser.add_argument(
        "--model",
        action="append",
        dest="models",
        metavar="MODEL",
        help=f"{text}: {MODEL_HELP}; repeatable",
    )


def add_trust(parser: argparse._ActionsContainer) -> None:
    """``--trust-checkpoint``."""
    parser.add_argument("--trust-checkpoint", action="store_true", dest="trust", help=TRUST_HELP)
