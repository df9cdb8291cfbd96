"""Typed recipe configs: conf/default.yml, the data set's and the model's conf.yml, then --set."""

import dataclasses
import difflib
import math
import re
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from separation.config.recipes import find_confs
from separation.config.schema import Conf
from separation.errors import UserError
from separation.models.registry import find_conf_class
from separation.options import parse_override
from separation.records import list_choices, list_later_fields
from separation.yaml_files import parse_yaml, read_yaml

CONF_DEFAULT = "conf/default.yml"
Values = dict[str, dict[str, Any]]  # section -> key -> value
Origins = dict[tuple[str, str], str]  # section, key -> file or option
SWITCHES = {
    **dict.fromkeys(("true", "yes", "on"), True),
    **dict.fromkeys(("false", "no", "off"), False),
}
WHOLE_NUMBER = re.compile(r"[+-]?[0-9][0-9_]{0,30}")


@dataclass(frozen=True)
class Layer:
    """Values of one file or option, and where they come from."""

    origin: str
    values: Values


def load_conf(root: Path, recipe: str, overrides: Sequence[str]) -> Conf:
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
    values, _ = merge_layers(list_layers(root, recipe, overrides))
    conf = build_conf(values)
    return dataclasses.replace(conf, model=conf.model.scaled(conf.audio.sample_rate))


def list_layers(root: Path, recipe: str, overrides: Sequence[str]) -> list[Layer]:
    """The defaults, then the files and options that override them, in their order.

    Raises:
        MissingInputError: as :func:`load_conf`.
        UserError: a file or option that is not YAML.
    """
    paths = [root / CONF_DEFAULT, *find_confs(root, recipe)]
    default, *others = paths
    layers = [Layer(CONF_DEFAULT, _read_sections(default, typed=True))]
    layers += [Layer(str(path.relative_to(root)), _read_sections(path)) for path in others]
    layers += [Layer(f"--set {override}", _read_override(override)) for override in overrides]
    return layers


def merge_layers(layers: list[Layer]) -> tuple[Values, Origins]:
    """Values of all keys, and the origin of each.

    Args:
        layers: as :func:`list_layers` gives them.

    Raises:
        UserError: an unknown key, or a value of the wrong type.
    """
    default, *changes = layers
    values = _choose_model(default.values, changes)
    origins = {(section, key): default.origin for section, keys in values.items() for key in keys}
    for layer in changes:
        for section, keys in layer.values.items():
            _refuse_unknown(section, values, layer.origin)
            for key, value in keys.items():
                values[section][key] = _convert_known(section, key, value, values, layer.origin)
                origins[section, key] = layer.origin
    return values, origins


def _choose_model(values: Values, changes: list[Layer]) -> Values:
    """The defaults with the ``model`` section of the model that is asked for last.

    Raises:
        UserError: no such model, or conf/default.yml has no defaults of it.
    """
    others = values.pop("models")
    name = default = values["model"]["name"]
    for layer in changes:
        name = layer.values.get("model", {}).get("name", name)
    find_conf_class(name if isinstance(name, str) else reprlib.repr(name))
    if name == default:
        return values
    if name not in others:
        raise UserError(f"model.name={name} has no defaults: add them to {CONF_DEFAULT}, models.")
    return values | {"model": {"name": name} | others[name]}


def _read_sections(path: Path, *, typed: bool = False) -> dict[str, Any]:
    """A config file; values are texts, which their keys' types read, but for the defaults."""
    values = read_yaml(path, typed=typed) or {}
    sections = values.values() if isinstance(values, dict) else [values]
    names = [*values, *(key for part in sections if isinstance(part, dict) for key in part)]
    if not all(isinstance(part, dict) for part in sections) or not _are_texts(names):
        raise UserError(f"{path}: every entry must be a section of key: value lines.")
    return values


def _are_texts(values: list[Any]) -> bool:
    return all(isinstance(value, str) for value in values)


def _read_override(override: str) -> Values:
    section, name, text = parse_override(override)
    return {section: {name: _unquote(text.strip())}}


def _unquote(text: str) -> str:
    """A text without the quotes around it, which YAML needs and others need not.

    >>> _unquote("'010'"), _unquote("it's"), _unquote("'a' and 'b'")
    ('010', "it's", "'a' and 'b'")
    """
    if len(text) < 2 or text[0] != text[-1] or text[0] not in "'\"":
        return text
    try:
        value = parse_yaml(text, "")
    except UserError:
        return text
    return value if isinstance(value, str) else text


def _refuse_unknown(section: str, values: Values, origin: str) -> None:
    if section not in values:
        raise UserError(f"{origin}: unknown key {section}; {_suggest(section, list(values), '')}")


def _convert_known(section: str, key: str, value: Any, values: Values, origin: str) -> Any:
    """A key's value in its type.

    Raises:
        UserError: no such key, of this model where it is one of the model's, or another type.
    """
    if key not in values[section]:
        of_model = f" ({values['model']['name']})" if section == "model" else ""
        hint = _suggest(key, list(values[section]), f"{section}.")
        raise UserError(f"{origin}{of_model}: unknown key {section}.{key}; {hint}")
    choices = list_choices(_find_record(section, values), key)
    return _convert(f"{section}.{key}", value, values[section][key], origin, choices)


def _suggest(name: str, known: list[str], prefix: str) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    return f"did you mean {prefix}{near[0]}?" if near else f"known: {', '.join(known)}."


def _convert(key: str, value: Any, default: Any, origin: str, choices: tuple[Any, ...]) -> Any:
    """``value`` in the type of the default, which conf/default.yml fixes.

    Args:
        key: ``section.key``, for the sentence.
        value: text, as its author wrote it, or a list of texts.
        default: a value of the right type.
        origin: file or option.
        choices: of the key, where it has any.
    """
    kind = type(default)
    converted = value
    if isinstance(value, str):
        is_list = kind is list and value.startswith(("[", "- "))
        converted = parse_yaml(value, origin) if is_list else _convert_text(value, kind, choices)
    wrong = type(converted) is not kind
    wrong = wrong or (kind is float and not math.isfinite(converted))
    if wrong or (kind is list and not _are_texts(converted)):
        raise UserError(
            f"{origin}: {key}={reprlib.repr(value)} should be a {kind.__name__}, as {default!r}."
        )
    return converted


def _convert_text(text: str, kind: type, choices: tuple[Any, ...]) -> Any:
    """A text in a key's type; itself where it cannot be.

    >>> _convert_text("010", int, ()), _convert_text("1:30", float, ())
    (10, '1:30')
    >>> [_convert_text("no", kind, choices) for kind, choices in [(bool, ()), (str, ())]]
    [False, 'no']
    """
    low = text.lower()
    if kind is bool:
        return SWITCHES.get(low, text)
    if kind is int:
        return int(text.replace("_", "")) if WHOLE_NUMBER.fullmatch(text) else text
    if kind is float:
        try:
            return float(text)
        except ValueError:
            return text
    if kind is list and text in ("", "~", "null"):
        return []
    if kind is str and text in ("~", "null"):
        return ""
    if "on" in choices and low in SWITCHES:
        return "on" if SWITCHES[low] else "off"
    return text


def build_conf(values: Values) -> Conf:
    """A :class:`Conf` from plain values, as a saved conf.yml holds them.

    Raises:
        UserError: a section is absent or has other keys, or a value is out of bounds.
    """
    sections = {}
    for name in [field.name for field in dataclasses.fields(Conf)]:
        try:
            sections[name] = _find_record(name, values)(**_read_switches(values[name]))
        except (KeyError, TypeError, AttributeError) as error:
            raise UserError(f"the config's section {name} does not fit: {error}.") from error
    return Conf(**sections)


def _find_record(section: str, values: Values) -> Any:
    """The class of a section's record; of the model's the one of the model that is named."""
    if section == "model":
        return find_conf_class(values["model"]["name"])
    return {field.name: field.type for field in dataclasses.fields(Conf)}[section]


def _read_switches(section: Values) -> Values:
    """``training.cuda_graphs`` was true or false before it could be ``auto``."""
    switch = section.get("cuda_graphs")
    return section | {"cuda_graphs": "on" if switch else "off"} if type(switch) is bool else section


def list_changes(saved: Values, conf: Conf, sections: tuple[str, ...]) -> list[str]:
    """``section.key: old -> new`` for every value of a config that differs from a saved conf.yml.

    A key that the file does not have, since it came later, had the value that the record's class
    gives it.

    Args:
        saved: what an experiment's conf.yml holds.
        conf: the config of now.
        sections: those that are compared.
    """
    old, new = {}, {}
    for name in sections:
        record = getattr(conf, name)
        old[name] = list_later_fields(record) | _read_switches(saved.get(name, {}))
        new[name] = dataclasses.asdict(record)
    return list_differences(old, new)


def list_differences(old: Values, new: Values) -> list[str]:
    """``section.key: old -> new`` for every value that differs."""
    return [
        f"{section}.{key}: {old.get(section, {}).get(key)} -> {value}"
        for section, keys in new.items()
        for key, value in keys.items()
        if old.get(section, {}).get(key) != value
    ]
