"""A ladder's YAML file: one recipe, and rungs that each change something of the one before.

::

    recipe: folder/ConvTasNet
    steps: 6000               # of every training
    validate_every: 1500      # steps from one validation to the next
    corpora: {speech: few}    # as --corpus; relative folders lie below --inputs
    tests:                    # the first one decides; without: the recipe's own test sets
      adults: tests/adults.csv
    set: {training.batch_size: 24}
    rungs:
      a: {label: 20 speakers, set: {training.dynamic_mixing: false}}
      b: {label: mixed on the fly, set: {training.dynamic_mixing: true}}
      c: {label: without, from: a, set: {model.mask_act: sigmoid}}
"""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from separation.errors import MissingInputError, UserError
from separation.text import suggest_nearest
from separation.yaml_files import read_yaml

Value = str | int | float | bool | list
PLAIN = re.compile(r"true|false|-?[0-9]{1,18}(\.[0-9]{1,18})?")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._]{0,99}")
LADDER_KEYS = ("recipe", "steps", "validate_every", "corpora", "tests", "set", "rungs")
RUNG_KEYS = ("label", "from", "set", "corpora", "steps")
DERIVED = ("training.epochs", "training.epoch_mixtures", "training.seed")


@dataclass(frozen=True, kw_only=True)
class Rung:
    """One training of a ladder, with everything that it takes from the rungs before it.

    Attributes:
        name: short; names results and folders.
        label: what changes, in words.
        before: the rung that it changes; empty for the first.
        changes: config keys, its own and those of all rungs below it.
        corpora: likewise.
        steps: of its training.
    """

    name: str
    label: str
    before: str
    changes: dict[str, Value] = field(default_factory=dict)
    corpora: dict[str, str] = field(default_factory=dict)
    steps: int


@dataclass(frozen=True, kw_only=True)
class Ladder:
    """A ladder as its file describes it.

    Attributes:
        path: of the file.
        recipe: that all rungs override.
        validate_every: steps.
        tests: mixture tables by the name of the test set, as written in the file.
        rungs: in the file's order.
    """

    path: Path
    recipe: str
    validate_every: int
    tests: dict[str, str]
    rungs: tuple[Rung, ...]

    @property
    def name(self) -> str:
        return self.path.stem

    def choose(self, names: list[str]) -> tuple[Rung, ...]:
        """The rungs of these names, in this order; all, in the ladder's, where there are none.

        Raises:
            UserError: there is no such rung.
        """
        known = {rung.name: rung for rung in self.rungs}
        for name in names:
            if name not in known:
                raise UserError(
                    f"--rungs {name}: {self.path} has no such rung; choose of {', '.join(known)}."
                )
        return tuple(known[name] for name in dict.fromkeys(names)) or self.rungs


def read_ladder(path: Path, steps: int | None = None) -> Ladder:
    """Read a ladder.

    Args:
        path: of the YAML file.
        steps: of every training, in place of the file's.

    Raises:
        MissingInputError: there is no such file.
        UserError: it is no ladder; names the key.
    """
    values = _read_yaml(path)
    _refuse_unknown(values, LADDER_KEYS, f"{path}")
    for key in ("recipe", "rungs"):
        if not values.get(key):
            raise UserError(f"{path}: has no {key}; a ladder needs a recipe and rungs.")
    tests = _read_texts(values.get("tests"), f"{path}: tests")
    for name in tests:
        _check_name(name, f"{path}: tests")
    return Ladder(
        path=path,
        recipe=str(values["recipe"]),
        validate_every=_read_count(values.get("validate_every", 1000), f"{path}: validate_every"),
        tests=tests,
        rungs=_read_rungs(values, path, steps),
    )


def _read_yaml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise MissingInputError(f"{path}: no such ladder; give the path of its YAML file.")
    return _read_mapping(_type_plainly(read_yaml(path)), str(path))


def _type_plainly(value: Any) -> Any:
    """Numbers and booleans that are written as they are printed; ``010`` and ``1:30`` stay texts.

    >>> _type_plainly({"a": ["1", "0.5", "true", "010", "1:30", "no"]})
    {'a': [1, 0.5, True, '010', '1:30', 'no']}
    """
    if isinstance(value, dict):
        return {key: _type_plainly(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_type_plainly(part) for part in value]
    if not isinstance(value, str) or not PLAIN.fullmatch(value):
        return value
    try:
        typed = json.loads(value)
    except ValueError:  # 010
        return value
    return typed if json.dumps(typed) == value else value


def _read_rungs(values: dict[str, Any], path: Path, steps: int | None) -> tuple[Rung, ...]:
    common = _read_changes(values.get("set"), f"{path}: set")
    corpora = _read_texts(values.get("corpora"), f"{path}: corpora")
    default = values.get("steps", 0) if steps is None else steps
    rungs: dict[str, Rung] = {}
    before = ""
    for name, own in _read_mapping(values["rungs"], f"{path}: rungs").items():
        where = f"{path}: rung {name}"
        _check_name(str(name), f"{path}: rungs")
        own = _read_mapping(own, where)
        _refuse_unknown(own, RUNG_KEYS, where)
        after = str(own.get("from") or "") if "from" in own else before
        if after and after not in rungs:
            raise UserError(f"{where}: from: {after} is no rung above it.")
        start = rungs[after] if after else None
        own_steps = default if steps is not None else own.get("steps", default)
        rungs[str(name)] = Rung(
            name=str(name),
            label=str(own.get("label", name)),
            before=after,
            changes=(start.changes if start else common) | _read_changes(own.get("set"), where),
            corpora=(start.corpora if start else corpora) | _read_texts(own.get("corpora"), where),
            steps=_read_count(own_steps, f"{where}: steps"),
        )
        before = str(name)
    return tuple(rungs.values())


def _read_mapping(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UserError(f"{where}: should be lines of key: value.")
    return {str(key): own for key, own in value.items()}


def _read_texts(value: Any, where: str) -> dict[str, str]:
    return {key: str(text) for key, text in _read_mapping(value or {}, where).items()}


def _read_changes(value: Any, where: str) -> dict[str, Value]:
    """Config keys ``section.key`` with their values.

    Raises:
        UserError: a key without a section, or one that steps and seed decide.
    """
    changes = _read_mapping(value or {}, where)
    for key in changes:
        if key in DERIVED:
            raise UserError(f"{where}: {key} follows from steps, validate_every and --seeds.")
        if not re.fullmatch(r"[^.=]+\.[^=]+", key):
            raise UserError(f"{where}: {key}: write it as section.key: value.")
    return changes


def _read_count(value: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UserError(f"{where}: {value} should be a whole number, 1 or more.")
    return value


def _check_name(name: str, where: str) -> None:
    if not NAME.fullmatch(name):
        raise UserError(f"{where}: {name}: use letters, digits, '.', '_' for a name.")


def _refuse_unknown(values: dict[str, Any], known: tuple[str, ...], where: str) -> None:
    for key in values:
        if key not in known:
            near = suggest_nearest(key, known)
            raise UserError(f"{where}: unknown key {key}; {near}known are {', '.join(known)}.")


def format_overrides(changes: dict[str, Value]) -> list[str]:
    """``section.key=value`` of every change, the value in YAML's spelling."""
    return [f"{key}={_format_value(value)}" for key, value in changes.items()]


def _format_value(value: Value) -> str:
    """A value as ``--set`` takes it.

    >>> _format_value(True), _format_value("on"), _format_value([1, 2])
    ('true', '"on"', '[1, 2]')
    """
    return json.dumps(value, ensure_ascii=False)


def count_epochs(steps: int, validate_every: int) -> tuple[int, int]:
    """Epochs, and steps of each: a validation about every so many steps.

    >>> count_epochs(6000, 1500), count_epochs(100, 1500), count_epochs(1000, 300)
    ((4, 1500), (1, 100), (3, 333))
    """
    n_epochs = max(1, round(steps / validate_every))
    return n_epochs, steps // n_epochs
