"""Who is heard in training, and what dev and test consist of.

By ``prompts``: train, dev, test_seen (speakers heard, prompts not), test_unseen (speakers never
heard). By ``speakers`` or by the corpus's own ``subset``: train, dev, test, no speaker in two.
"""

import dataclasses
from collections import defaultdict

from separation.config import SplitsConf
from separation.corpus import Utterance
from separation.errors import UserError
from separation.files import hash_text


def assign_splits(utterances: list[Utterance], conf: SplitsConf) -> list[Utterance]:
    """Give every utterance its split, by keyed hashes of names and never by file order.

    By prompts, all encodings and repetitions of a prompt in one voice go to the same split.

    Raises:
        UserError: too few speakers, a named speaker or a subset that is not there.
    """
    if conf.by == "speakers":
        assigned = _split_speakers(utterances, conf)
    elif conf.by == "subset":
        assigned = _split_subsets(utterances)
    else:
        assigned = _split_prompts(utterances, conf)
    assigned.sort(key=lambda row: row.utterance)
    check_disjoint(assigned, conf.by)
    return assigned


def copy_subsets(utterances: list[Utterance]) -> list[Utterance]:
    """The corpus's own splits: ``train-clean-100`` is train."""
    return [dataclasses.replace(row, split=row.subset.split("-")[0]) for row in utterances]


def _split_subsets(utterances: list[Utterance]) -> list[Utterance]:
    rows = copy_subsets(utterances)
    missing = {"train", "dev", "test"} - {row.split for row in rows}
    if missing:
        raise UserError(
            f"the corpus has no subset for {', '.join(sorted(missing))}: fetch it, or divide the "
            "speakers that are there with --set splits.by=speakers."
        )
    return rows


def _split_speakers(utterances: list[Utterance], conf: SplitsConf) -> list[Utterance]:
    """Dev and test get their share of each sex's speakers, by a keyed hash of their names."""
    splits: dict[str, str] = {}
    sexes = {row.speaker: row.sex for row in utterances}
    for sex in sorted(set(sexes.values())):
        names = sorted(name for name in sexes if sexes[name] == sex)
        names.sort(key=lambda name: hash_text(f"{conf.seed}/{name}"))
        n_test = max(1, round(conf.test_share * len(names)))
        n_dev = max(1, round(conf.dev_share * len(names)))
        for rank, name in enumerate(names):
            late = "dev" if rank < n_test + n_dev else "train"
            splits[name] = "test" if rank < n_test else late
    if len(set(splits.values())) < 3:
        raise UserError(
            f"{len(sexes)} speaker(s) are too few for train, dev and test without a common one."
        )
    return [dataclasses.replace(row, split=splits[row.speaker]) for row in utterances]


def _split_prompts(utterances: list[Utterance], conf: SplitsConf) -> list[Utterance]:
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


def check_disjoint(utterances: list[Utterance], by: str = "prompts") -> None:
    """Check what the scores rest on.

    Raises:
        UserError: an unseen speaker occurs in another split, or one voice's prompt in two.
    """
    splits_of: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in utterances:
        split = "unseen" if row.split == "test_unseen" else "heard"
        splits_of[row.speaker, ""].add(split if by == "prompts" else row.split)
        if by == "prompts":
            splits_of[row.speaker, f"prompt {row.prompt}"].add(row.split)
    shared = sorted(key for key, splits in splits_of.items() if len(splits) > 1)
    if shared:
        raise UserError(f"in several splits at once: {shared[:5]}.")
