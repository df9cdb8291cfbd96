"""The command ``diagnose``: what limits this run, what to change, what is it worth?"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from separation.errors import MissingInputError, UserError
from separation.options import (
    DATA,
    EXP,
    add_corpora,
    add_data,
    add_out,
    add_overrides,
    add_tag,
    number_from,
    one_of,
)

if TYPE_CHECKING:
    from separation.experiment.experiment import Experiment

LANGUAGES = ("en", "zh")
COMPARISON, VALIDATION = "comparison.json", "validation.json"


@dataclass(frozen=True, kw_only=True)
class Options:
    """An experiment's folder, or a recipe with its options; and results of other tools.

    Attributes:
        experiment: the folder ``exp/MIX/MODEL/TAG``; None: ``recipe`` names it.
        recipe: ``MIX/MODEL`` or ``MIX/MODEL/VARIANT``; empty: ``experiment`` names the folder.
        tag: the experiment of the recipe.
        corpora: ``NAME=DIR``, each.
        data: tables and packed audio.
        exp: experiments.
        overrides: ``section.key=value``, each.
        compared: folders of ``compare``; ``EXP/compare`` where none is named.
        validated: folder of ``validate --out``.
        against: the figure in dB that one compares with.
        language: of the texts.
        out: folder of ``diagnosis.json``, ``.md`` and ``.html``; None: the experiment's, where it
            is trained.
    """

    experiment: Path | None = None
    recipe: str = ""
    tag: str = "default"
    corpora: Sequence[str] = ()
    data: Path = DATA
    exp: Path = EXP
    overrides: Sequence[str] = ()
    compared: Sequence[Path] = ()
    validated: Path | None = None
    against: float | None = None
    language: str = "en"
    out: Path | None = None


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of :class:`Options`."""
    parser.add_argument(
        "experiment",
        nargs="?",
        default=Options.experiment,
        type=Path,
        metavar="EXP",
        help="an experiment's folder, exp/MIX/MODEL/TAG; or a recipe, as below",
    )
    recipe = parser.add_argument_group("a recipe, trained or not")
    recipe.add_argument(
        "--recipe", metavar="MIX/MODEL", help="folder under egs/, or MIX/MODEL/VARIANT"
    )
    add_overrides(recipe)
    add_tag(recipe)
    add_corpora(recipe, "where a corpus lies")
    add_data(recipe, "folder of tables and packed audio")
    recipe.add_argument("--exp", type=Path, metavar="DIR", help="folder of experiments (exp)")
    group = parser.add_argument_group("what else is looked at, and where it is written")
    _add_results(group)


def _add_results(group: argparse._ActionsContainer) -> None:
    group.add_argument(
        "--compared",
        action="append",
        type=Path,
        metavar="DIR",
        help="folder of compare, with this model and published ones; repeatable (exp/compare)",
    )
    group.add_argument(
        "--validated", type=Path, metavar="DIR", help="folder that validate --out wrote (none)"
    )
    group.add_argument(
        "--against",
        type=number_from(0),
        metavar="DB",
        help="a figure that you compare with: whose it is, and what differs (none)",
    )
    names = "|".join(LANGUAGES)
    group.add_argument(
        "--language", type=one_of(*LANGUAGES), metavar=names, help="of the texts (en)"
    )
    add_out(group, "folder of diagnosis.json, .md and .html (that of a trained experiment)")


def run(options: Options) -> None:
    """Print the findings and write them.

    Raises:
        UserError: neither an experiment nor a recipe is named, or both.
        MissingInputError: a folder holds not what it should.
    """
    experiment = open_named(options)
    from separation.diagnose.report import format_text, write_diagnosis_files
    from separation.diagnosis.diagnose import diagnose_experiment

    diagnosis = diagnose_experiment(
        experiment,
        language=options.language,
        compared=_list_compared(options),
        validated=_find_file(options.validated, VALIDATION, "validate --out"),
        against_db=options.against,
    )
    print(format_text(diagnosis))
    out = options.out
    if out is None and experiment.folder.is_trained:
        out = experiment.folder.path
    if out is not None:
        paths = write_diagnosis_files(out.expanduser(), diagnosis)
        print("\n" + "\n".join(map(str, paths)), flush=True)


def open_named(options: Options) -> "Experiment":
    """The experiment of the folder or of the recipe.

    Raises:
        UserError: neither is named, or both; or the recipe's experiment has another config.
    """
    named_by_recipe = options.recipe or options.overrides or options.corpora
    if options.experiment is not None and named_by_recipe:
        raise UserError(
            f"{options.experiment} and --recipe, --set or --corpus name two things: an experiment "
            "has its own config; leave one of them out."
        )
    if options.experiment is not None:
        from separation.diagnosis.finished import open_finished

        return open_finished(options.experiment, options.data)
    if not options.recipe:
        raise UserError(
            "diagnose what? Name an experiment's folder, exp/MIX/MODEL/TAG, or a recipe with "
            "--recipe MIX/MODEL."
        )
    return _open_recipe(options)


def _open_recipe(options: Options) -> "Experiment":
    from separation.experiment.open import open_experiment
    from separation.stages.state import refuse_other_config

    experiment = open_experiment(
        options.recipe,
        options.overrides,
        tag=options.tag,
        corpora=options.corpora,
        data=options.data.expanduser().resolve(),
        exp=options.exp.expanduser().resolve(),
    )
    refuse_other_config(experiment)
    return experiment


def _list_compared(options: Options) -> list[Path]:
    """The files of the comparisons that are named; else the default one, where it is there."""
    if not options.compared:
        default = options.exp.expanduser() / "compare" / COMPARISON
        return [default] if default.is_file() else []
    paths = [_find_file(folder, COMPARISON, "compare --out") for folder in options.compared]
    return [path for path in paths if path is not None]


def _find_file(folder: Path | None, name: str, command: str) -> Path | None:
    """A tool's file in its folder; None where no folder is named."""
    if folder is None:
        return None
    path = folder.expanduser() / name
    if not path.is_file():
        raise MissingInputError(f"{folder}: holds no {name}; name the folder of {command}.")
    return path
