"""Typed recipe configs: conf/default.yml, the data set's and the model's conf.yml, then --set."""

import contextlib
import dataclasses
import difflib
import math
from pathlib import Path
from typing import Any

import yaml

from separation.config.model import find_conf_class
from separation.config.schema import Conf
from separation.errors import MissingInputError, UserError
from separation.text import explain_error


def load_conf(root: Path, recipe: str, overrides: list[str]) -> Conf:
    """Resolve a recipe's config.

    Args:
        root: the repository.
        recipe: ``MIX/MODEL``: ``egs/MIX/conf.yml`` (the data set), then the ``conf.yml`` of
            ``egs/MIX/MODEL``; ``MIX/MODEL/VARIANT``: then ``VARIANT.yml`` in that folder.
        overrides: ``section.key=value`` strings, later ones win.

    Raises:
        UserError: an unknown key, a value of the wrong type or a contradiction.
        MissingInputError: no such recipe, or ``root`` is no repository.
    """
    if not (root / "conf").is_dir():  # the package without its checkout
        raise MissingInputError(
            f"{root}: no conf/ and egs/ here, so no recipes; clone the repository and "
            "pip install -e it."
        )
    changes = [(str(path), _read_yaml(path)) for path in _find_confs(root / "egs", recipe)]
    changes += [(f"--set {override}", _parse_override(override)) for override in overrides]
    values = _choose_model(_read_yaml(root / "conf" / "default.yml"), changes)
    for origin, sections in changes:
        _merge(values, sections, origin)
    conf = build_conf(values)
    return dataclasses.replace(conf, model=conf.model.scaled(conf.audio.sample_rate))


def _choose_model(
    values: dict[str, Any], changes: list[tuple[str, dict[str, Any]]]
) -> dict[str, Any]:
    """The defaults with the ``model`` section of the model that is asked for last."""
    others = values.pop("models")
    name = default = values["model"]["name"]
    for _, sections in changes:
        name = sections.get("model", {}).get("name", name)
    find_conf_class(name)
    return values if name == default else values | {"model": {"name": name} | others[name]}


def list_recipes(root: Path) -> list[str]:
    """All ``MIX/MODEL`` and ``MIX/MODEL/VARIANT``, sorted."""
    files = (root / "egs").glob("*/*/*.yml")
    names = (path.relative_to(root / "egs").with_suffix("").as_posix() for path in files)
    return sorted(name.removesuffix("/conf") for name in names)


def _find_confs(egs: Path, recipe: str) -> list[Path]:
    """The data set's conf.yml where there is one, the model's, then the variant's."""
    known = ", ".join(list_recipes(egs.parent))
    parts = recipe.split("/")
    if len(parts) not in (2, 3) or ".." in parts:
        raise MissingInputError(
            f"--recipe {recipe}: write it as MIX/MODEL or MIX/MODEL/VARIANT; there are: {known}."
        )
    folder = egs.joinpath(*parts[:2])
    paths = [folder / f"{name}.yml" for name in ("conf", *parts[2:])]
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise MissingInputError(f"--recipe {recipe}: no {missing[0]}; there are: {known}.")
    data_set = folder.parent / "conf.yml"
    return [data_set, *paths] if data_set.is_file() else paths


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not valid YAML: {explain_error(error)}.") from error
    if not all(isinstance(section, dict) for section in values.values()):
        raise UserError(f"{path}: every entry must be a section of key: value lines.")
    return values


def _parse_override(override: str) -> dict[str, Any]:
    key, equals, text = override.partition("=")
    section, dot, name = key.partition(".")
    if not equals or not dot:
        raise UserError(f"--set {override}: write it as section.key=value.")
    return {section: {name: yaml.safe_load(text)}}


def _merge(values: dict[str, Any], changes: dict[str, Any], origin: str) -> None:
    for section, keys in changes.items():
        _known(section, list(values), origin, "")
        for key, value in keys.items():
            _known(key, list(values[section]), _of_model(origin, section, values), f"{section}.")
            values[section][key] = _convert(f"{section}.{key}", value, values[section][key], origin)


def _of_model(origin: str, section: str, values: dict[str, Any]) -> str:
    """The origin, and for the model's keys the model, which decides what is known."""
    return f"{origin} ({values['model']['name']})" if section == "model" else origin


def _known(name: str, known: list[str], origin: str, prefix: str) -> None:
    if name in known:
        return
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    hint = f"did you mean {prefix}{near[0]}?" if near else f"known: {', '.join(known)}."
    raise UserError(f"{origin}: unknown key {prefix}{name}; {hint}")


def _convert(key: str, value: Any, default: Any, origin: str) -> Any:
    """``value`` in the type of the default, which conf/default.yml fixes."""
    kind = type(default)
    if kind is float and isinstance(value, str):  # YAML 1.1 reads 1e-3 as text
        with contextlib.suppress(ValueError):
            value = float(value)
    if kind is float and type(value) is int:
        value = float(value)
    if kind is str and isinstance(value, bool):  # YAML 1.1 reads on and off as booleans
        value = "on" if value else "off"
    if type(value) is not kind or (kind is float and not math.isfinite(value)):
        raise UserError(f"{origin}: {key}={value!r} should be a {kind.__name__}, as {default!r}.")
    return value


def build_conf(values: dict[str, Any]) -> Conf:
    """A :class:`Conf` from plain values, as a saved conf.yml holds them."""
    sections = {}
    for field in dataclasses.fields(Conf):
        try:
            section, kind = values[field.name], field.type
            if field.name == "model":
                kind = find_conf_class(section["name"])
            sections[field.name] = kind(**section)  # type: ignore[operator]
        except (KeyError, TypeError) as error:
            raise UserError(f"the config's section {field.name} does not fit: {error}.") from error
    return Conf(**sections)


def list_differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """``section.key: old -> new`` for every value that differs."""
    return [
        f"{section}.{key}: {old.get(section, {}).get(key)} -> {value}"
        for section, keys in new.items()
        for key, value in keys.items()
        if old.get(section, {}).get(key) != value
    ]
