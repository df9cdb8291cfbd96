"""Who speaks in a training mixture: different speakers, drawn alike often or not, of one group."""

import bisect
import itertools
import re
from collections.abc import Iterator, Sequence

from separation.corpora.pack import PackedAudio
from separation.errors import UserError

KEY = "training.speaker_groups"


class Teams:
    """Draws speakers by their numbers in a pack.

    Args:
        audio: packed utterances of the training speakers.
        n_src: speakers of a mixture.
        weight: speakers are drawn by the length of their speech to this power.
        groups: a regular expression; speakers in whose names it finds the same are mixed with each
            other only. Empty: all with all.

    Raises:
        UserError: the expression does not fit the speakers' names, or a group has too few.
    """

    def __init__(self, audio: PackedAudio, n_src: int, weight: float = 0.0, groups: str = ""):
        lengths = [sum(row.n_samples for row in rows) for rows in audio.utterances]
        weights = [float(length) ** weight for length in lengths]
        self.n_src, self.n_speakers = n_src, len(weights)
        self._ends = list(itertools.accumulate(weights)) if weight or groups else []
        self._members: list[list[int]] = []  # of each speaker's group
        self._member_ends: list[list[float]] = []
        if groups:
            named = _name_groups(audio.speakers, groups, n_src)
            members = {name: [n for n, own in enumerate(named) if own == name] for name in named}
            ends = {
                name: list(itertools.accumulate(weights[n] for n in own))
                for name, own in members.items()
            }
            self._members = [members[name] for name in named]
            self._member_ends = [ends[name] for name in named]

    def draw(self, numbers: Iterator[float]) -> list[int]:
        """``n_src`` different speakers."""
        if not self._ends:
            return draw_different(numbers, self.n_speakers, self.n_src)
        if not self._members:
            return draw_weighted(numbers, self._ends, self.n_src)
        (first,) = draw_weighted(numbers, self._ends, 1)
        own = self._members[first]
        ends, place = self._member_ends[first], own.index(first)
        return [own[n] for n in draw_weighted(numbers, ends, self.n_src, chosen=[place])]


def _name_groups(speakers: Sequence[str], text: str, n_src: int) -> list[str]:
    """Of each speaker what the expression, or its own first group, finds in the name."""
    pattern = re.compile(text)
    found = [pattern.search(speaker) for speaker in speakers]
    names = [match[min(1, pattern.groups)] or "" if match else "" for match in found]
    unfit = [speaker for speaker, match in zip(speakers, found, strict=True) if not match]
    if unfit:
        raise UserError(
            f"{KEY}={text}: finds nothing in {len(unfit)} of {len(speakers)} speakers' names, such "
            f"as {unfit[0]}."
        )
    for name in names:
        if names.count(name) < n_src:
            raise UserError(
                f"{KEY}={text}: group {name!r} has {names.count(name)} of the {n_src} speakers of "
                f"a mixture ({speakers[names.index(name)]}); the groups are "
                f"{', '.join(map(repr, sorted(set(names))[:5]))}."
            )
    return names


def draw_different(numbers: Iterator[float], n: int, count: int) -> list[int]:
    """``count`` different whole numbers below ``n``, all sets equally likely.

    >>> draw_different(iter([0.0, 0.0, 0.99]), 3, 3)
    [0, 1, 2]
    """
    chosen: list[int] = []
    for taken in range(count):
        number = int(next(numbers) * (n - taken))
        for other in sorted(chosen):
            number += number >= other
        chosen.append(number)
    return chosen


def draw_weighted(
    numbers: Iterator[float], ends: list[float], count: int, chosen: Sequence[int] = ()
) -> list[int]:
    """``count`` different places, each as likely as its share is long.

    Args:
        numbers: in [0, 1).
        ends: where each share ends, rising.
        count: at most ``len(ends)``.
        chosen: the first of them.

    >>> draw_weighted(iter([0.5, 0.6, 0.99]), [1.0, 9.0, 10.0], 2)
    [1, 2]
    """
    places = list(chosen)
    while len(places) < count:
        place = min(bisect.bisect_right(ends, next(numbers) * ends[-1]), len(ends) - 1)
        if place not in places:
            places.append(place)
    return places
