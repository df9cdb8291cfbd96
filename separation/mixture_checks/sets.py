"""What is wrong only beside other mixtures: within a set, and between the sets given."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from separation.mixture_checks.checks import Record
from separation.text import N_LINES


@dataclass(frozen=True, kw_only=True)
class CheckedSet:
    """One set, looked at.

    Attributes:
        name: unique among those given.
        origin: the argument it comes from.
        records: one a mixture.
        audio: False for a list of someone else's findings (``is_valid``).
    """

    name: str
    origin: str
    records: list[Record]
    audio: bool = True


def compare_sets(sets: list[CheckedSet]) -> list[dict[str, Any]]:
    """Add ``repeated-id``, ``duplicate``, ``leakage`` and ``shared-utterance`` to the records.

    Returns:
        the speakers that two sets share: ``{"sets": [..], "count": n, "speakers": [..]}``.
    """
    for checked in sets:
        _find_repeated_ids(checked.records)
    _find_duplicates(sets)
    _find_shared(sets, "leakage", lambda record: record.speakers)
    _find_shared(sets, "shared-utterance", lambda record: record.utterances)
    return _list_shared_speakers(sets)


def _find_repeated_ids(records: list[Record]) -> None:
    seen: set[str] = set()
    for record in records:
        record.add("repeated-id", "an earlier mixture has this ID" if record.name in seen else "")
        seen.add(record.name)


def _find_duplicates(sets: list[CheckedSet]) -> None:
    """The first of several alike is left alone: removing the later ones makes the set good."""
    first: dict[Any, str] = {}
    for checked in sets:
        for record in checked.records:
            keys: list[Any] = [record.audio_hash] if record.audio_hash else []
            if record.sources:
                keys.append(tuple(sorted(record.sources)))
            name = f"{record.name} in {checked.name}"
            same = next((first[key] for key in keys if key in first), "")
            for key in keys:
                first.setdefault(key, name)
            record.add("duplicate", f"as {same}" if same else "" if keys else None)


def _find_shared(
    sets: list[CheckedSet], check: str, names_of: Callable[[Record], Iterable[str]]
) -> None:
    """Mixtures with a name that another set has too; None where there is nothing to compare."""
    known = [{name for record in one.records for name in names_of(record)} for one in sets]
    for number, checked in enumerate(sets):
        others = [
            (other.name, names)
            for place, (other, names) in enumerate(zip(sets, known, strict=True))
            if place != number and names
        ]
        for record in checked.records:
            names = set(names_of(record))
            if names and others:
                record.add(check, _format_shared(names, others))


def _format_shared(names: set[str], others: list[tuple[str, set[str]]]) -> str:
    common = [
        (name, ", ".join(sorted(names & theirs))) for name, theirs in others if names & theirs
    ]
    return "; ".join(f"{shared} also in {name}" for name, shared in common)


def _list_shared_speakers(sets: list[CheckedSet]) -> list[dict[str, Any]]:
    shared = []
    speakers = [{name for record in one.records for name in record.speakers} for one in sets]
    for (first, a), (second, b) in combinations(zip(sets, speakers, strict=True), 2):
        if a & b:
            names = sorted(a & b)
            entry = {"sets": [first.name, second.name], "count": len(names)}
            shared.append(entry | {"speakers": names[:N_LINES]})
    return shared
