"""The commands ``preflight`` to ``report``: one stage of a recipe, as run.sh calls them."""

import argparse
from dataclasses import dataclass

from separation.experiment.options import RecipeOptions, add_recipe_options
from separation.options import add_cluster


@dataclass(frozen=True, kw_only=True)
class Options(RecipeOptions):
    """The recipe, and which of its stages.

    Attributes:
        stage: its name, such as ``train``.
    """

    stage: str


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of :class:`~separation.experiment.options.RecipeOptions`."""
    add_recipe_options(parser)
    add_cluster(parser)


def run(options: Options) -> None:
    """Run the stage unless it is done.

    Raises:
        UserError: an option that does not fit, an earlier stage that is not done, another config.
    """
    experiment = options.open_experiment()
    from separation.stages.run import run_stage

    run_stage(experiment, options.stage)
