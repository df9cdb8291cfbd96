"""What a set of mixtures on the command line stands for: table, folder of audio, recipe's split."""

import csv
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from separation.corpora.plugin import choose_roots
from separation.datasets.options import MixtureOptions
from separation.environment import ROOT
from separation.errors import MissingInputError, UserError
from separation.experiment.mixtures import open_corpora
from separation.experiment.open import open_experiment
from separation.files import read_rows
from separation.mixtures.folders import find_folders, list_files
from separation.mixtures.published_lists import find_list_reader
from separation.mixtures.reading import Setting
from separation.mixtures.source_files import Corpora
from separation.mixtures.table import list_noises, name_split, needed_gains
from separation.options import parse_corpus
from separation.stages.state import is_done

DEFAULT_RATE = 8000
NEEDED = re.compile(r"mixture_ID|mixture_path|noise_path|source_\d+_path")
RECIPE = re.compile(r"([\w.-]+(?:/[\w.-]+){0,2}):(\w+)")
NUMBERS = ("_level", "_snr_db", "_loudness_lufs", "_start", "_n_samples")


@dataclass(frozen=True)
class MixtureList:
    """One set of mixtures: its rows, and how they are read.

    Attributes:
        name: a short one, such as ``test``.
        origin: what the user wrote.
        kind: ``table``, ``audio`` or ``recipe``.
        source: the table, or the folder of audio.
    """

    name: str
    origin: str
    kind: str
    source: Path
    rows: list[dict[str, str]]
    setting: Setting


def check_text(text: str) -> None:
    """Complain at once about a set of mixtures that is not there.

    Raises:
        MissingInputError: no table, no folder, and not the form of a recipe's split.
    """
    if not Path(text).expanduser().exists() and not RECIPE.fullmatch(text):
        raise MissingInputError(
            f"{text}: no such table, folder or MIX:split (such as librimix:test); check the path."
        )


def open_mixtures(text: str, options: MixtureOptions) -> list[MixtureList]:
    """The sets that one argument stands for.

    Raises:
        MissingInputError, UserError: it is no table, no folder of mixtures and no recipe, or
            lacks a corpus.
    """
    path = Path(text).expanduser()
    if path.is_dir():
        return _open_folders(path, text, options)
    if path.is_file():
        return [_open_table(path, text, options)]
    check_text(text)
    recipe = RECIPE.fullmatch(text)
    assert recipe is not None
    return [_open_recipe(recipe[1], recipe[2], text, options)]


def _make_setting(
    options: MixtureOptions, corpora: Corpora | None, kind: str, base: Path = Path()
) -> Setting:
    limits = (options.min_s, options.level_tolerance_db)
    return Setting(
        corpora, options.rate or DEFAULT_RATE, options.mode or "min", kind, base, *limits
    )


def _open_table(path: Path, text: str, options: MixtureOptions) -> MixtureList:
    if lists := find_list_reader(path):
        speech, _ = _choose_roots(options.corpora)
        rows = lists.read_list(path.parent, *lists.parse_name(path), speech)
        setting = _make_setting(options, Corpora(speech), "mix")
        return MixtureList(lists.parse_name(path)[1], text, "table", path, rows, setting)
    rows = read_any_table(path)
    if any("mixture_path" in row for row in rows):
        setting = _make_setting(options, None, "mix", _find_base(rows, path, options.corpora))
        return MixtureList(path.stem, text, "table", path, rows, setting)
    speech, noise = _choose_roots(options.corpora)
    has_noise = bool(list_noises(rows))
    kind = options.kind or ("mix_both" if noise and has_noise else "mix_clean")
    if kind == "mix_both" and not (noise and has_noise):
        reason = "add --corpus wham=DIR" if has_noise else "the table names none"
        raise UserError(f"{path}: --type mix_both needs noise: {reason}.")
    speakers = _read_info(path)
    rows = [row | speakers.get(row["mixture_ID"], {}) for row in rows]
    setting = _make_setting(options, Corpora(speech, noise), kind)
    return MixtureList(name_split(path), text, "table", path, rows, setting)


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


def read_any_table(path: Path) -> list[dict[str, str]]:
    """A mixture table whose faulty lines are kept, as rows with a ``row_fault``.

    :func:`separation.mixtures.table.read_mixture_table` stops at the first one.

    Raises:
        UserError: it is no mixture table at all.
    """
    try:
        rows = read_rows(path)
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: is not a CSV table of mixtures ({error}).") from error
    if not rows:
        raise UserError(f"{path}: holds no mixtures; fetch it again.")
    header = {key: "" for key in rows[0] if key is not None}
    needed = {"mixture_ID", "source_1_path", "source_2_path"} | needed_gains(header)
    if not needed <= set(header):
        raise UserError(
            f"{path}: is no mixture table: it lacks {', '.join(sorted(needed - set(header)))}; its "
            "columns should be those of LibriMix's metadata."
        )
    return [_screen(row, line) for line, row in enumerate(rows, 2)]


def _screen(row: dict[str, str], line: int) -> dict[str, str]:
    fault = _find_row_fault(row)
    if not fault:
        return row
    return {
        "mixture_ID": row.get("mixture_ID") or f"line {line}",
        "row_fault": f"line {line}: {fault}",
    }


def _find_row_fault(row: dict[str, str]) -> str:
    if None in row or None in row.values():
        return "another number of columns than the first line"
    for key, value in row.items():
        if key.endswith("_gain") and not _is_number(value, above=0.0):
            return f"{key}={value!r} is not a gain"
        optional = key.endswith(NUMBERS) or key.startswith("level_difference_")
        if optional and value and not _is_number(value):
            return f"{key}={value!r} is not a number"
        if NEEDED.fullmatch(key) and not value:
            return f"{key} is empty"
        if key.endswith("_path") and "mixture_path" not in row and _is_outside(value):
            return f"{key}={value!r} should be relative"
    return ""


def _is_outside(path: str) -> bool:
    return path.startswith("/") or ".." in PurePosixPath(path).parts


def _is_number(text: str, above: float = -math.inf) -> bool:
    try:
        return math.isfinite(float(text)) and float(text) > above
    except ValueError:
        return False


def _read_info(path: Path) -> dict[str, dict[str, str]]:
    """Speakers and sexes of LibriMix's ``_info.csv`` beside a list, by mixture."""
    info = path.with_name(f"{path.stem}_info.csv")
    rows = read_rows(info) if info.is_file() else []
    return {
        row["mixture_ID"]: {key: value for key, value in row.items() if key.startswith("speaker_")}
        for row in rows
    }


def _find_base(rows: list[dict[str, str]], path: Path, options: Sequence[str]) -> Path:
    """What the paths of a table of audio are relative to: a --corpus, or a folder above it.

    The working directory comes last: what a table means should not depend on where one stands.
    """
    named = next(row["mixture_path"] for row in rows if "mixture_path" in row)
    places = [*parse_roots(options).values(), *path.resolve().parents, Path.cwd()]
    return next((place for place in places if (place / named).is_file()), path.parent)


def _open_folders(path: Path, text: str, options: MixtureOptions) -> list[MixtureList]:
    setting = _make_setting(options, None, options.kind or "")
    folders = find_folders(path, setting.sample_rate, setting.mode)
    return [
        MixtureList(folder.name, text, "audio", folder, list_files(folder, setting.kind), setting)
        for folder in folders
    ]


def _open_recipe(recipe: str, split: str, text: str, options: MixtureOptions) -> MixtureList:
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
    conf = experiment.conf
    kind = "mix_both" if experiment.noisy else "mix_clean"
    rate, mode = options.rate or conf.audio.sample_rate, options.mode or conf.mixtures.mode
    limits = (options.min_s, options.level_tolerance_db)
    corpora = None if experiment.origin == "existing" else open_corpora(experiment)
    setting = Setting(corpora, rate, mode, kind, Path(), *limits)
    return MixtureList(split, text, "recipe", table, read_any_table(table), setting)


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
