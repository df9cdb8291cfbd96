"""Train, dev, test_seen (speakers heard, prompts not) and test_unseen (speakers never heard)."""

import dataclasses
from collections import defaultdict

from separation.config import SplitsConf
from separation.corpus import Utterance
from separation.errors import UserError
from separation.files import hash_text

SPLITS = ("train", "dev", "test_seen", "test_unseen")
FIXED_SPLITS = SPLITS[1:]


def assign_splits(utterances: list[Utterance], conf: SplitsConf) -> list[Utterance]:
    """Give every utterance its split, by keyed hashes of names and never by file order.

    All encodings and repetitions of a prompt in one voice go to the same split.

    Raises:
        UserError: fewer than four speakers, or a named speaker who is not there.
    """
    unseen = _choose_unseen(utterances, conf)
    prompts: dict[str, dict[str, list[Utterance]]] = defaultdict(lambda: defaultdict(list))
    for row in utterances:
        prompts[row.speaker][row.prompt].append(row)
    assigned = []
    for speaker, groups in prompts.items():
        names = sorted(groups, key=lambda name: hash_text(f"{conf.seed}/{speaker}/{name}"))
        for rank, name in enumerate(names):
            split = "test_unseen" if speaker in unseen else _split_of(rank / len(names), conf)
            assigned += [dataclasses.replace(row, split=split) for row in groups[name]]
    assigned.sort(key=lambda row: row.utterance)
    check_disjoint(assigned)
    return assigned


def _split_of(rank: float, conf: SplitsConf) -> str:
    if rank < conf.test_share:
        return "test_seen"
    return "dev" if rank < conf.test_share + conf.dev_share else "train"


def _choose_unseen(utterances: list[Utterance], conf: SplitsConf) -> set[str]:
    sexes = {row.speaker: row.sex for row in utterances}
    if len(sexes) < 4:
        raise UserError(
            f"the corpus has {len(sexes)} speaker(s); two heard in training and two never heard "
            "need at least 4: add sub-folders of further speakers."
        )
    missing = sorted(set(conf.unseen_speakers) - set(sexes))
    if missing:
        raise UserError(
            f"splits.unseen_speakers names {', '.join(missing)}, who is not in the corpus; "
            f"its speakers are {', '.join(sorted(sexes))}."
        )
    if conf.unseen_speakers:
        return set(conf.unseen_speakers)
    ranked = sorted(sexes, key=lambda name: hash_text(f"{conf.seed}/{name}"))
    count = min(max(2, conf.n_unseen), len(sexes) - 2)
    # One of each sex first, where the corpus tells the sex.
    chosen = [next((s for s in ranked if sexes[s] == sex), None) for sex in ("F", "M")]
    order = [s for s in chosen if s] + [s for s in ranked if s not in chosen]
    return set(order[:count])


def check_disjoint(utterances: list[Utterance]) -> None:
    """Check what the scores rest on.

    Raises:
        UserError: an unseen speaker occurs in another split, or one voice's prompt in two.
    """
    splits_of: dict[tuple[str, str], set[str]] = defaultdict(set)
    unseen: set[str] = set()
    heard: set[str] = set()
    for row in utterances:
        splits_of[row.speaker, row.prompt].add(row.split)
        (unseen if row.split == "test_unseen" else heard).add(row.speaker)
    if unseen & heard:
        raise UserError(f"speakers both heard and unseen: {', '.join(sorted(unseen & heard))}.")
    shared = sorted(key for key, splits in splits_of.items() if len(splits) > 1)
    if shared:
        raise UserError(f"prompts in several splits: {shared[:5]}.")
