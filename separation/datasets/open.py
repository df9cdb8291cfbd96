"""What a set of mixtures on the command line stands for: table, folder of audio, recipe's split."""

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path

from separation.corpora.plugin import choose_roots
from separation.datasets.options import MixtureOptions
from separation.environment import ROOT
from separation.errors import MissingInputError, UserError
from separation.experiment.mixtures import choose_read_options
from separation.experiment.open import open_experiment
from separation.files import read_rows
from separation.mixtures.dataset import MixtureDataset, ReadOptions
from separation.mixtures.gather.open import (
    LAYOUTS,
    describe_folder,
    gather,
    gather_splits,
    read_any_table,
)
from separation.mixtures.gather.record import make_rows
from separation.mixtures.layout import find_folders, list_files, shares_names
from separation.mixtures.published_lists import find_list_reader
from separation.mixtures.source_files import Corpora
from separation.mixtures.table import MixtureRow, Origin, list_noises, name_split, read_table
from separation.options import parse_corpus
from separation.stages.state import is_done

DEFAULT_RATE = 8000
RECIPE = re.compile(r"([\w.-]+(?:/[\w.-]+){0,2}):(\w+)")


def check_text(text: str) -> None:
    """Complain at once about a set of mixtures that is not there.

    Raises:
        MissingInputError: no table, no folder, and not the form of a recipe's split.
    """
    if not Path(text).expanduser().exists() and not RECIPE.fullmatch(text):
        raise MissingInputError(
            f"{text}: no such table, folder or MIX:split (such as librimix:test); check the path."
        )


def open_datasets(text: str, options: MixtureOptions) -> list[MixtureDataset]:
    """The sets of mixtures that one argument stands for: of a tree one for each split.

    Lines and files that cannot be used stay in the sets; reading them says why.

    Raises:
        MissingInputError, UserError: it is no table, no folder of mixtures and no recipe, or
            lacks a corpus.
    """
    path = Path(text).expanduser()
    if path.is_dir():
        return _open_folders(path, options)
    if path.is_file():
        return [_open_table(path, options)]
    check_text(text)
    recipe = RECIPE.fullmatch(text)
    assert recipe is not None
    return [_open_recipe(recipe[1], recipe[2], options)]


def _read_as(
    options: MixtureOptions, corpora: Corpora | None, kind: str, base: Path = Path()
) -> ReadOptions:
    rate, mode = options.rate or DEFAULT_RATE, options.mode or "min"
    return ReadOptions(corpora=corpora, sample_rate=rate, mode=mode, kind=kind, base=base)


def _open_table(path: Path, options: MixtureOptions) -> MixtureDataset:
    if lists := find_list_reader(path):
        speech, _ = _choose_roots(options.corpora)
        n_src, name = lists.parse_name(path)
        rows = lists.read_list(path.parent, n_src, name, speech)
        read_as = _read_as(options, Corpora(speech), "mix")
        return MixtureDataset(rows, read_as, name=name, source=path)
    rows = read_any_table(path, parse_roots(options.corpora).values())
    if any(row.origin == Origin.EXISTING for row in rows):
        read_as = _read_as(options, None, "mix", _find_base(rows, path, options.corpora))
        return MixtureDataset(rows, read_as, name=path.stem, source=path)
    speech, noise = _choose_roots(options.corpora)
    has_noise = bool(list_noises(rows))
    kind = options.kind or ("mix_both" if noise and has_noise else "mix_clean")
    if kind == "mix_single":  # how long it is depends on the sources that it lacks
        raise UserError(
            f"{path}: --type mix_single is of trees of audio; make one with the command render "
            "--types mix_single and give it."
        )
    if kind == "mix_both" and not (noise and has_noise):
        reason = "add --corpus wham=DIR" if has_noise else "the table names none"
        raise UserError(f"{path}: --type mix_both needs noise: {reason}.")
    read_as = _read_as(options, Corpora(speech, noise), kind)
    return MixtureDataset(_add_info(rows, path), read_as, name=name_split(path), source=path)


def parse_roots(options: Sequence[str]) -> dict[str, Path]:
    """``NAME=DIR`` texts of ``--corpus`` by name.

    Raises:
        MissingInputError: there is no such folder.
    """
    roots = dict(parse_corpus(text) for text in options)
    for name, root in roots.items():
        if not root.is_dir():
            raise MissingInputError(f"--corpus {name}={root}: no such folder; check the path.")
    return roots


def _choose_roots(options: Sequence[str]) -> tuple[Path, Path | None]:
    """Roots of speech and noise."""
    return choose_roots(parse_roots(options), "a mixture table")


def _add_info(rows: list[MixtureRow], path: Path) -> list[MixtureRow]:
    """Rows with speakers and sexes of LibriMix's ``_info.csv`` beside a list."""
    info = path.with_name(f"{path.stem}_info.csv")
    if not info.is_file():
        return rows
    stated = {
        line.get("mixture_ID"): {k: text for k, text in line.items() if k and k[:8] == "speaker_"}
        for line in read_rows(info)
    }
    return [row if row.fault else row.with_columns(stated.get(row.mixture_id, {})) for row in rows]


def _find_base(rows: list[MixtureRow], path: Path, options: Sequence[str]) -> Path:
    """What the paths of a table of audio are relative to: a --corpus, or a folder above it.

    The working directory comes last: what a table means should not depend on where one stands.
    """
    named = next(row.mixture_path for row in rows if row.origin == Origin.EXISTING)
    places = [*parse_roots(options).values(), *path.resolve().parents, Path.cwd()]
    return next((place for place in places if (place / named).is_file()), path.parent)


def _open_folders(path: Path, options: MixtureOptions) -> list[MixtureDataset]:
    read_as = _read_as(options, None, options.kind or "")
    try:
        folders = find_folders(path, read_as.sample_rate, read_as.mode)
    except MissingInputError as error:
        return _open_gathered(path, options, str(error))
    return [
        MixtureDataset(
            _list_folder(folder, read_as.kind),
            read_as,
            name=folder.name,
            form="audio",
            source=folder,
        )
        for folder in folders
    ]


def _list_folder(folder: Path, kind: str) -> list[MixtureRow]:
    """Rows of one folder; where no file has one name in all parts, names may have suffixes."""
    suffixed = [] if shares_names(folder) else gather(folder)
    rows = [row for gathered in suffixed for row in make_rows(gathered)]
    return rows if any(not row.fault for row in rows) else list_files(folder, kind)


def _open_gathered(path: Path, options: MixtureOptions, complaint: str) -> list[MixtureDataset]:
    """Folders in another layout than ours: one set, or one for each split that is there."""
    read_as = _read_as(options, None, options.kind or "")
    splits = gather_splits(path, [*parse_roots(options.corpora).values()])
    if not splits:
        raise MissingInputError(
            f"{complaint.rstrip('.')}. Other layouts that are taken: {LAYOUTS}; it holds "
            f"{describe_folder(path)}."
        )
    return [
        MixtureDataset(make_rows(gathered), read_as, name=name, form="audio", source=path)
        for name, gathered in splits.items()
    ]


def _open_recipe(recipe: str, split: str, options: MixtureOptions) -> MixtureDataset:
    text = f"{recipe}:{split}"
    if "/" not in recipe:
        recipe = _choose_model(recipe)
    data = options.data.resolve()
    experiment = open_experiment(
        recipe, options.overrides, corpora=options.corpora, data=data, n_jobs=options.n_jobs
    )
    splits = experiment.listed_splits
    if split not in splits:
        raise UserError(f"{text}: {recipe} has the splits {', '.join(splits)}.")
    table = experiment.data.mixture_table(split)
    if not table.is_file() or not is_done(experiment, "metadata"):
        words = [f"--corpus {text}" for text in options.corpora]
        words += [f"--set {text}" for text in options.overrides]
        words += [f"--data {data}"] if data != ROOT / "data" else []
        command = " ".join(["bash run.sh --recipe", recipe, "--stop-stage 2", *words])
        raise MissingInputError(f"{table}: stage 2 has not made it for this config: run {command}.")
    default = choose_read_options(experiment)
    read_as = dataclasses.replace(
        default,
        sample_rate=options.rate or default.sample_rate,
        mode=options.mode or default.mode,
        kind=default.kind or "mix_clean",
    )
    rows, _ = read_table(table)
    return MixtureDataset(rows, read_as, name=split, form="recipe", source=table)


def _choose_model(mix: str) -> str:
    """``librimix`` alone stands for its first recipe; all of a data set share their tables."""
    recipes = sorted((ROOT / "egs" / mix).glob("*/conf.yml"))
    if not recipes:
        known = sorted(p.name for p in (ROOT / "egs").iterdir() if p.is_dir())
        raise MissingInputError(
            f"{mix}: no such table, folder or recipe; the recipes' data sets are "
            f"{', '.join(known)}."
        )
    return f"{mix}/{recipes[0].parent.name}"
