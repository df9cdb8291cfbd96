"""Which recipes there are under egs/, and the files of each.

Needs nothing that is installed: run.sh refuses a recipe that is not there before it installs.
"""

from pathlib import Path

from separation.errors import MissingInputError

LADDER = "ladder.yml"  # beside variants, and none: see separation.ablate


def list_recipes(root: Path) -> list[str]:
    """All ``MIX/MODEL`` and ``MIX/MODEL/VARIANT``, sorted."""
    files = [path for path in (root / "egs").glob("*/*/*.yml") if path.name != LADDER]
    names = (path.relative_to(root / "egs").with_suffix("").as_posix() for path in files)
    return sorted(name.removesuffix("/conf") for name in names)


def find_confs(root: Path, recipe: str) -> list[Path]:
    """A recipe's files: the data set's conf.yml where there is one, the model's, the variant's.

    Args:
        root: the repository.
        recipe: ``MIX/MODEL`` or ``MIX/MODEL/VARIANT``.

    Raises:
        MissingInputError: no such recipe, or ``root`` is no repository.
    """
    if not (root / "conf").is_dir():  # the package without its checkout
        raise MissingInputError(
            f"{root}: no conf/ and egs/ here, so no recipes; clone the repository and "
            "pip install -e it."
        )
    known = ", ".join(list_recipes(root))
    parts = recipe.split("/")
    if len(parts) not in (2, 3) or ".." in parts:
        raise MissingInputError(
            f"--recipe {recipe}: write it as MIX/MODEL or MIX/MODEL/VARIANT; there are: {known}."
        )
    folder = root.joinpath("egs", *parts[:2])
    paths = [folder / f"{name}.yml" for name in ("conf", *parts[2:])]
    missing = [path for path in paths if not path.is_file() or path.name == LADDER]
    if missing:
        raise MissingInputError(f"--recipe {recipe}: no {missing[0]}; there are: {known}.")
    data_set = folder.parent / "conf.yml"
    return [data_set, *paths] if data_set.is_file() else paths
