"""The options of a command that works on a recipe's experiment: all stages, and ``overfit``."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from separation.options import (
    ALL_CORES,
    DATA,
    DEFAULT_RECIPE,
    EXP,
    ClusterOptions,
    add_corpora,
    add_data,
    add_device,
    add_jobs,
    add_recipe,
    add_tag,
)

if TYPE_CHECKING:
    from separation.experiment.experiment import Experiment

CORPUS_HELP = (
    "where a corpus lies. speech=DIR: your own recordings, one sub-folder a speaker, for any "
    "recipe; mixtures=DIR: audio that is mixed already (or train=DIR dev=DIR test=DIR); "
    "librispeech=DIR, wham=DIR, ...: as the recipe's README says"
)


@dataclass(frozen=True, kw_only=True)
class RecipeOptions(ClusterOptions):
    """A recipe, its experiment and the machine.

    Attributes:
        recipe: ``MIX/MODEL`` or ``MIX/MODEL/VARIANT``.
        tag: the experiment, a folder under ``exp/MIX/MODEL``; a variant's own where it is default.
        corpora: ``NAME=DIR``, each.
        data: tables and packed audio.
        exp: experiments.
        overrides: ``section.key=value``, each.
        n_jobs: processes.
        device: ``auto``, ``cpu`` or ``cuda``.
    """

    recipe: str = DEFAULT_RECIPE
    tag: str = "default"
    corpora: Sequence[str] = ()
    data: Path = DATA
    exp: Path = EXP
    overrides: Sequence[str] = ()
    n_jobs: int = ALL_CORES
    device: str = "auto"

    def open_experiment(self) -> "Experiment":
        """Resolve the config.

        Raises:
            UserError: an option that does not fit the recipe.
        """
        from separation.experiment.open import open_experiment

        return open_experiment(
            self.recipe,
            self.overrides,
            tag=self.tag,
            corpora=self.corpora,
            data=self.data.expanduser().resolve(),
            exp=self.exp.expanduser().resolve(),
            n_jobs=self.n_jobs,
            device=self.device,
            cluster=self.cluster,
        )

    def format_words(self) -> list[str]:
        """The words of a command line that these options stand for."""
        return [
            f"--recipe={self.recipe}",
            f"--tag={self.tag}",
            *(f"--corpus={text}" for text in self.corpora),
            f"--data={self.data}",
            f"--exp={self.exp}",
            *(f"--set={text}" for text in self.overrides),
            f"--nj={self.n_jobs}",
            *self.cluster.format_words(),
            f"--device={self.device}",
        ]


def add_recipe_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of :class:`RecipeOptions`."""
    recipe = parser.add_argument_group("recipe and experiment")
    add_recipe(recipe)
    add_tag(recipe)
    add_corpora(recipe, CORPUS_HELP)
    add_data(recipe, "folder of tables and packed audio")
    recipe.add_argument("--exp", type=Path, metavar="DIR", help="folder of experiments (exp)")
    machine = parser.add_argument_group("machine")
    add_jobs(machine)
    add_device(machine)
