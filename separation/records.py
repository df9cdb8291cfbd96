"""Records of checked values: a field's annotation says once what it may hold.

``Literal["a", "b"]`` names choices, ``Annotated[int, Bounds(above=0)]`` bounds, ``list[...]`` a
list of either; :func:`check_fields` compares a record with them. What two fields exclude of each
other stays with the record.

A field with a default in the class is a key that came later: the default is what experiments did
before there was such a key, whatever conf/default.yml says for new ones. Where values are hashed,
such a key is left out as long as it has that value (:func:`drop_later_fields`), so a new key makes
no old result undone.

:func:`build_record` makes nested records from what JSON kept of them.
"""

import dataclasses
import functools
import reprlib
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from separation.errors import UserError, check_choice

LARGEST = 1e9  # of any number with bounds


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Bounds of a number; None: none.

    Attributes:
        above: lower bound, excluded.
        at_least: lower bound, included.
        below: upper bound, excluded.
        at_most: upper bound, included.
        multiple_of: of which the number is a multiple.
        unit: of the bounds, for the sentence.
        limit: largest magnitude that means anything; beyond it a process would only hang or fail.
    """

    above: float | None = None
    at_least: float | None = None
    below: float | None = None
    at_most: float | None = None
    multiple_of: int | None = None
    unit: str = ""
    limit: float = LARGEST

    def hold(self, value: float) -> bool:
        """Whether a number is within the bounds."""
        return (
            (self.above is None or value > self.above)
            and (self.at_least is None or value >= self.at_least)
            and (self.below is None or value < self.below)
            and (self.at_most is None or value <= self.at_most)
            and (self.multiple_of is None or value % self.multiple_of == 0)
        )

    def check(self, key: str, value: float) -> None:
        """Raise :class:`UserError` where the value of a key is outside."""
        if not self.hold(value):
            raise UserError(f"{key}={value} must be {self.describe()}.")
        if abs(value) > self.limit:
            raise UserError(
                f"{key}={value} must be at most {self.limit:g} {self.unit}".rstrip() + "."
            )

    def describe(self) -> str:
        """The bounds in words.

        >>> Bounds(at_least=0, below=1).describe()
        'at least 0 and below 1'
        """
        words = {
            "above": self.above,
            "at least": self.at_least,
            "below": self.below,
            "at most": self.at_most,
            "a multiple of": self.multiple_of,
        }
        text = " and ".join(f"{word} {bound}" for word, bound in words.items() if bound is not None)
        return f"{text} {self.unit}".rstrip()


@dataclass(frozen=True)
class OneOf:
    """Choices that another module lists, where ``Literal`` would list them again."""

    choices: tuple[str, ...]

    def check(self, key: str, value: str) -> None:
        """Raise :class:`UserError` where the value of a key is none of them."""
        check_choice(key, value, self.choices)


Positive = Annotated[float, Bounds(above=0)]
PositiveInt = Annotated[int, Bounds(above=0)]
Count = Annotated[int, Bounds(at_least=0)]
NotNegative = Annotated[float, Bounds(at_least=0)]
Share = Annotated[float, Bounds(at_least=0, at_most=1)]


def check_fields(record: Any, section: str) -> None:
    """Compare every field of a record with its annotation.

    Args:
        record: a dataclass.
        section: of the config; a key is named ``section.field``.

    Raises:
        UserError: the first value of another type, outside its bounds, or none of its choices.
    """
    kind: Any = type(record)
    for name, hint in _read_hints(kind).items():
        _check_value(f"{section}.{name}", getattr(record, name), hint)


@functools.cache
def _read_hints(kind: type) -> dict[str, Any]:
    """Annotations of a dataclass's fields, in their order."""
    hints = get_type_hints(kind, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def _check_value(key: str, value: Any, hint: Any) -> None:
    if get_origin(hint) is Literal:
        check_choice(key, value, get_args(hint))
        return
    kind = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    if not _is_of(value, get_origin(kind) or kind):
        name = (get_origin(kind) or kind).__name__
        raise UserError(f"{key}={reprlib.repr(value)} should be a {name}.")
    for limit in getattr(hint, "__metadata__", ()):
        limit.check(key, value)
    for part in value if get_origin(kind) is list else ():
        _check_value(key, part, get_args(kind)[0])


def _is_of(value: Any, kind: type) -> bool:
    """Whether a value is of a type; a whole number serves as a float, a boolean as nothing else."""
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)


def list_choices(kind: type, name: str) -> tuple[Any, ...]:
    """The values that a field's ``Literal`` names; none where it is no choice."""
    hint = _read_hints(kind).get(name)
    return get_args(hint) if get_origin(hint) is Literal else ()


def drop_later_fields(record: Any) -> dict[str, Any]:
    """A record's values without the keys that came later and change nothing."""
    return {
        field.name: value
        for field in dataclasses.fields(record)
        if (value := getattr(record, field.name)) != _find_default(field)
    }


def _find_default(field: dataclasses.Field) -> Any:
    """The value of a key that came later, a list by its factory; ``MISSING`` of any other key."""
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def list_later_fields(record: Any) -> dict[str, Any]:
    """The keys of a record that came later, with the value that experiments before them had."""
    defaults = {field.name: _find_default(field) for field in dataclasses.fields(record)}
    return {name: own for name, own in defaults.items() if own is not dataclasses.MISSING}


def build_record(kind: Any, values: Any, name: str) -> Any:
    """A record from what ``dataclasses.asdict`` gave and JSON kept: lists become tuples again.

    Args:
        kind: a dataclass whose fields are plain values, ``Literal``, tuples, dictionaries, other
            such records, or one of these or None.
        values: the plain values by field.
        name: of the record, for the sentence.

    Raises:
        UserError: a field is missing, unknown, or of another type.

    >>> build_record(Bounds, {"above": 1, "unit": "dB"}, "bounds").describe()
    'above 1 dB'
    """
    hints = _read_hints(kind)
    needed = {
        field.name
        for field in dataclasses.fields(kind)
        if field.default is field.default_factory is dataclasses.MISSING
    }
    if not isinstance(values, dict) or not needed <= set(values) <= set(hints):
        raise UserError(f"{name}: is no {kind.__name__}; make it again.")
    return kind(**{key: _build_value(hints[key], own, name) for key, own in values.items()})


def _build_value(hint: Any, value: Any, name: str) -> Any:
    """One value of a record, of the type that its annotation asks for."""
    if isinstance(hint, UnionType):
        choices = [own for own in get_args(hint) if own is not NoneType]
        return None if value is None else _build_value(choices[0], value, name)
    if dataclasses.is_dataclass(hint):
        return build_record(hint, value, name)  # type: ignore[arg-type]
    if get_origin(hint) is tuple:
        return tuple(_build_items(get_args(hint), value, name))
    if get_origin(hint) is dict:
        part = get_args(hint)[1]
        return {key: _build_value(part, own, name) for key, own in value.items()}
    _check_value(name, value, hint)
    return value


def _build_items(hints: tuple[Any, ...], value: Any, name: str) -> list[Any]:
    """The items of a tuple: ``(X, ...)``, or one annotation each."""
    if not isinstance(value, list) or (hints[-1] is not Ellipsis and len(value) != len(hints)):
        raise UserError(f"{name}: {value!r} should be a list.")
    each = [hints[0]] * len(value) if hints[-1] is Ellipsis else list(hints)
    return [_build_value(own, item, name) for own, item in zip(each, value, strict=True)]
