"""Who speaks with whom: teams of utterances of different speakers, for one split's mixtures."""

from collections import deque

from separation.config.schema import MixturesConf
from separation.corpora.table import Utterance
from separation.errors import UserError
from separation.mixtures.draw.teams import make_generator

MAX_ROUNDS = 1000
MAX_REDRAWS = 1000


def draw_teams(
    utterances: list[Utterance], split: str, n_mixtures: int, conf: MixturesConf
) -> list[list[Utterance]]:
    """Teams of ``n_src`` utterances of different speakers, at random.

    Args:
        utterances: of one split, all long enough.
        n_mixtures: 0: each utterance at most once; else new rounds until there are enough
            different teams.

    Raises:
        UserError: fewer different teams than asked for.
    """
    ordered = sorted(utterances, key=lambda row: row.utterance)
    if n_mixtures == 0:
        return _draw_round(ordered, split, 0, conf)
    teams: dict[frozenset[str], list[Utterance]] = {}
    for number in range(MAX_ROUNDS):
        for team in _draw_round(ordered, split, number, conf):
            teams.setdefault(frozenset(row.utterance for row in team), team)
        if len(teams) >= n_mixtures:
            return list(teams.values())[:n_mixtures]
    raise _complain_few(split, len(teams), n_mixtures)


def _draw_round(
    ordered: list[Utterance], split: str, number: int, conf: MixturesConf
) -> list[list[Utterance]]:
    """Each utterance at most once: the next of a shuffled row joins the oldest team it fits."""
    shuffled = make_generator(conf.seed, f"{split}/teams", number).permutation(len(ordered))
    open_teams: deque[list[Utterance]] = deque()
    finished = []
    for index in shuffled:
        utterance = ordered[index]
        team = next(
            (t for t in open_teams if all(row.speaker != utterance.speaker for row in t)), None
        )
        if team is None:
            open_teams.append([utterance])
            continue
        team.append(utterance)
        if len(team) == conf.n_src:
            open_teams.remove(team)
            finished.append(team)
    return finished


def draw_balanced_teams(
    utterances: list[Utterance], split: str, n_mixtures: int, conf: MixturesConf
) -> list[list[Utterance]]:
    """Teams of which half are of one sex: for two speakers FF, FM, MM, MF in turn.

    For three FFF, FFM, MMM, MMF. The utterances of each sex are dealt from a shuffled deck, a new
    one when it is empty; one whose speaker is in the team already waits for the next. No team
    comes twice.

    Raises:
        UserError: too few women or men, or fewer different teams than asked for.
    """
    n_src = conf.n_src
    decks = {}
    for sex in ("F", "M"):
        own = sorted((row for row in utterances if row.sex == sex), key=lambda row: row.utterance)
        count = len({row.speaker for row in own})
        if count < n_src:
            raise UserError(
                f"mixtures.balance_sexes=true needs {n_src} women and {n_src} men in {split}; it "
                f"has {count} speaker(s) of sex {sex} with utterances of at least "
                f"{conf.min_utterance_s} s: set it to false, or hold out more speakers."
            )
        decks[sex] = _Deck(own, conf.seed, f"{split}/deck/{sex}")
    cycle = ["F" * n_src, "F" * (n_src - 1) + "M", "M" * n_src, "M" * (n_src - 1) + "F"]
    teams: dict[frozenset[str], list[Utterance]] = {}
    redraws = 0
    while len(teams) < n_mixtures:
        team: list[Utterance] = []
        for sex in cycle[len(teams) % len(cycle)]:
            team.append(decks[sex].deal({row.speaker for row in team}))
        key = frozenset(row.utterance for row in team)
        redraws = redraws + 1 if key in teams else 0
        if redraws > MAX_REDRAWS:
            raise _complain_few(split, len(teams), n_mixtures)
        teams.setdefault(key, team)
    return list(teams.values())


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


def _complain_few(split: str, n_found: int, n_wanted: int) -> UserError:
    return UserError(
        f"{split} gives only {n_found} different mixtures where {n_wanted} are asked for: lower "
        f"mixtures.n_{'train' if split == 'train' else split[:4].rstrip('_')}, or add recordings."
    )
