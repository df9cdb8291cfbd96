"""Who speaks with whom under LibriMix's rules: utterances of different speakers, a group each."""

import itertools
from collections import Counter, deque
from collections.abc import Iterator

from separation.config.schema import MixturesConf
from separation.corpora.table import Utterance
from separation.errors import UserError
from separation.mixtures.rng import make_generator

MAX_ROUNDS = 1000
MAX_REDRAWS = 1000


def draw_groups(
    utterances: list[Utterance], split: str, n_mixtures: int, conf: MixturesConf
) -> list[list[Utterance]]:
    """Groups of ``n_src`` utterances of different speakers, at random.

    Args:
        utterances: of one split, all long enough.
        n_mixtures: 0: each utterance at most once; else new rounds until there are enough
            different groups, or all that there are.
    """
    ordered = sorted(utterances, key=lambda row: row.utterance)
    if n_mixtures == 0:
        return _draw_round(ordered, split, 0, conf)
    groups: dict[frozenset[str], list[Utterance]] = {}
    wanted = min(n_mixtures, count_groups(ordered, conf.n_src))
    for number in range(MAX_ROUNDS):
        for group in _draw_round(ordered, split, number, conf):
            groups.setdefault(frozenset(row.utterance for row in group), group)
        if len(groups) >= wanted:
            return list(groups.values())[:wanted]
    for group in _list_groups(ordered, conf.n_src):  # the few that no round happened to bring
        groups.setdefault(frozenset(row.utterance for row in group), group)
        if len(groups) >= wanted:
            break
    return list(groups.values())


def count_groups(utterances: list[Utterance], n_src: int) -> int:
    """Number of different groups of ``n_src`` utterances of different speakers."""
    counts = [1] + [0] * n_src  # of groups of 0, 1, ... speakers
    for n_own in Counter(row.speaker for row in utterances).values():
        for size in range(n_src, 0, -1):
            counts[size] += counts[size - 1] * n_own
    return counts[n_src]


def _list_groups(ordered: list[Utterance], n_src: int) -> Iterator[list[Utterance]]:
    """All groups, one by one, in the order of names."""
    for group in itertools.combinations(ordered, n_src):
        if len({row.speaker for row in group}) == n_src:
            yield list(group)


def _draw_round(
    ordered: list[Utterance], split: str, number: int, conf: MixturesConf
) -> list[list[Utterance]]:
    """Each utterance at most once: the next of a shuffled row joins the oldest group it fits."""
    shuffled = make_generator(conf.seed, f"{split}/teams", number).permutation(len(ordered))
    open_groups: deque[list[Utterance]] = deque()
    finished = []
    for index in shuffled:
        utterance = ordered[index]
        group = next(
            (t for t in open_groups if all(row.speaker != utterance.speaker for row in t)), None
        )
        if group is None:
            group = []
            open_groups.append(group)
        group.append(utterance)
        if len(group) == conf.n_src:
            open_groups.remove(group)
            finished.append(group)
    return finished


def draw_balanced_groups(
    utterances: list[Utterance], split: str, n_mixtures: int, conf: MixturesConf
) -> list[list[Utterance]]:
    """Groups of which half are of one sex: for two speakers FF, FM, MM, MF in turn.

    For three FFF, FFM, MMM, MMF. The utterances of each sex are dealt from a shuffled deck, a new
    one when it is empty; one whose speaker is in the group already waits for the next. No group
    comes twice; there are fewer than asked for where one kind has no further ones.

    Raises:
        UserError: too few women or men.
    """
    n_src = conf.n_src
    decks = {}
    for sex in ("F", "M"):
        of_sex = sorted(
            (row for row in utterances if row.sex == sex), key=lambda row: row.utterance
        )
        count = len({row.speaker for row in of_sex})
        if count < n_src:
            raise UserError(
                f"mixtures.balance_sexes=true needs {n_src} women and {n_src} men in {split}; it "
                f"has {count} speaker(s) of sex {sex} with utterances of at least "
                f"{conf.min_utterance_s} s: set it to false, or hold out more speakers."
            )
        decks[sex] = _Deck(of_sex, conf.seed, f"{split}/deck/{sex}")
    cycle = ["F" * n_src, "F" * (n_src - 1) + "M", "M" * n_src, "M" * (n_src - 1) + "F"]
    groups: dict[frozenset[str], list[Utterance]] = {}
    redraws = 0
    while len(groups) < n_mixtures:
        group: list[Utterance] = []
        for sex in cycle[len(groups) % len(cycle)]:
            group.append(decks[sex].deal({row.speaker for row in group}))
        key = frozenset(row.utterance for row in group)
        redraws = redraws + 1 if key in groups else 0
        if redraws > MAX_REDRAWS:
            break
        groups.setdefault(key, group)
    return list(groups.values())


class _Deck:
    """Utterances dealt at random, each once before any comes again."""

    def __init__(self, utterances: list[Utterance], seed: int, name: str) -> None:
        self._utterances, self._seed, self._name = utterances, seed, name
        self._round = 0
        self._waiting: list[Utterance] = []

    def deal(self, speakers: set[str]) -> Utterance:
        """The next utterance of none of ``speakers``."""
        while True:
            for place, row in enumerate(self._waiting):
                if row.speaker not in speakers:
                    return self._waiting.pop(place)
            generator = make_generator(self._seed, self._name, self._round)
            order = generator.permutation(len(self._utterances))
            self._waiting += [self._utterances[index] for index in order]
            self._round += 1
