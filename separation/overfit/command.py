"""The command ``overfit``: can a recipe's model overfit to ten of its mixtures?"""

import argparse
from dataclasses import dataclass

from separation.experiment.options import RecipeOptions, add_recipe_options
from separation.options import number_from, whole_number


@dataclass(frozen=True, kw_only=True)
class Options(RecipeOptions):
    """The recipe, how many of its training mixtures, and for how long.

    Attributes:
        minutes: at most.
        n_mixtures: 2 or more.
    """

    minutes: float = 10.0
    n_mixtures: int = 10


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of :class:`Options`."""
    parser.add_argument(
        "--minutes",
        type=number_from(0, above=True),
        metavar="M",
        help=f"time at most ({Options.minutes:g})",
    )
    parser.add_argument(
        "--n",
        dest="n_mixtures",
        type=whole_number(2),
        metavar="N",
        help=f"training mixtures to overfit to ({Options.n_mixtures})",
    )
    add_recipe_options(parser)


def run(options: Options) -> int:
    """Overfit, write ``overfit.json`` into the experiment, print the verdict.

    Returns:
        0 passed, 1 failed.

    Raises:
        UserError: stages 1 to 3 are not done, or the experiment has another config.
    """
    experiment = options.open_experiment()
    from separation.stages.state import require_done

    require_done(experiment, "corpus", "metadata", "audio")  # before imports that take seconds
    from separation.overfit.loop import overfit_recipe

    verdict = overfit_recipe(experiment, options.minutes, options.n_mixtures)
    print(f"overfit {'passed' if verdict['passed'] else 'FAILED'}: {verdict['sentence']}")
    return 0 if verdict["passed"] else 1
