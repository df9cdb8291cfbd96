"""The command ``config``: a recipe's resolved config, and where each value comes from."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

from separation.config.explain import explain_conf, format_explained
from separation.environment import ROOT
from separation.options import DEFAULT_RECIPE, add_recipe


@dataclass(frozen=True, kw_only=True)
class Options:
    """Which recipe.

    Attributes:
        recipe: ``MIX/MODEL`` or ``MIX/MODEL/VARIANT``.
        overrides: ``section.key=value``, each.
    """

    recipe: str = DEFAULT_RECIPE
    overrides: Sequence[str] = ()


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of :class:`Options`."""
    add_recipe(parser)


def run(options: Options) -> None:
    """Print the config as YAML; the comment of a line names the file or option.

    Raises:
        UserError: no such recipe, or an override that does not fit.
    """
    print(format_explained(explain_conf(ROOT, options.recipe, options.overrides)))
