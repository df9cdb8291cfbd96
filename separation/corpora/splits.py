"""Who is heard in training, and what dev and test consist of.

By ``prompts``: train, dev, test_seen (speakers heard, prompts not), test_unseen (speakers never
heard). By ``speakers`` or by the corpus's own ``subset``: train, dev, test, no speaker in two.
"""

import dataclasses
from collections import defaultdict

from separation.config.schema import SplitsConf
from separation.corpora.table import Utterance
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
        assigned = _split_subsets(utterances, conf)
    else:
        assigned = _split_prompts(utterances, conf)
    assigned.sort(key=lambda row: row.utterance)
    check_disjoint(assigned, conf.by)
    return assigned


def copy_subsets(utterances: list[Utterance]) -> list[Utterance]:
    """The corpus's own splits: ``train-clean-100`` is train."""
    return [dataclasses.replace(row, split=row.subset.split("-")[0]) for row in utterances]


def _split_subsets(utterances: list[Utterance], conf: SplitsConf) -> list[Utterance]:
    """The corpus's own splits; a corpus without a dev set gets one of its training speakers."""
    rows = copy_subsets(utterances)
    missing = {"train", "dev", "test"} - {row.split for row in rows}
    if missing == {"dev"}:
        held = _choose_speakers([row for row in rows if row.split == "train"], conf, ("dev",))
        return [
            dataclasses.replace(row, split=held.get(row.speaker, row.split))
            if row.split == "train"
            else row
            for row in rows
        ]
    if missing:
        raise UserError(
            f"the corpus has no subset for {', '.join(sorted(missing))}: fetch it, or divide the "
            "speakers that are there with --set splits.by=speakers."
        )
    return rows


def _split_speakers(utterances: list[Utterance], conf: SplitsConf) -> list[Utterance]:
    """Dev and test get speakers of each sex, by a keyed hash of their names; train the others."""
    held = _choose_speakers(utterances, conf, ("test", "dev"))
    speakers = {row.speaker for row in utterances}
    if len({held.get(name, "train") for name in speakers}) < 3:
        raise UserError(
            f"{len(speakers)} speaker(s) are too few for train, dev and test without a common one."
        )
    return [dataclasses.replace(row, split=held.get(row.speaker, "train")) for row in utterances]


def rank_speakers(utterances: list[Utterance], seed: int) -> dict[str, list[str]]:
    """Speakers of each sex in the order of a hash of ``seed/speaker``: any copy gives the same."""
    sexes = {row.speaker: row.sex for row in utterances}
    ranked: dict[str, list[str]] = {sex: [] for sex in sorted(set(sexes.values()))}
    for name in sorted(sexes, key=lambda name: (hash_text(f"{seed}/{name}"), name)):
        ranked[sexes[name]].append(name)
    return ranked


def _choose_speakers(
    utterances: list[Utterance], conf: SplitsConf, splits: tuple[str, ...]
) -> dict[str, str]:
    """Speaker -> split of those held out: the first of each sex for the first split, and so on."""
    held: dict[str, str] = {}
    ranked = rank_speakers(utterances, conf.seed)
    for sex, names in ranked.items():
        start = 0
        for split in splits:
            share, number = getattr(conf, f"{split}_share"), getattr(conf, f"n_{split}_speakers")
            wanted = number // 2 if number else max(1, round(share * len(names)))
            if number and sex not in ("F", "M"):
                wanted = 0  # of unknown sex: they only train
            if number and len(names) - start <= wanted:
                raise UserError(
                    f"splits.n_{split}_speakers={number} asks for {wanted} speakers of sex {sex} "
                    f"where {len(names) - start} are left: lower it, or set it to 0 for a share "
                    "of each sex."
                )
            held |= dict.fromkeys(names[start : start + wanted], split)
            start += wanted
    if any(getattr(conf, f"n_{s}_speakers") for s in splits) and not {"F", "M"} <= set(ranked):
        raise UserError(
            "splits.n_dev_speakers and n_test_speakers are half women, half men, but the corpus "
            "does not state the sex of both: set them to 0."
        )
    return held


def limit_training(utterances: list[Utterance], conf: SplitsConf) -> list[Utterance]:
    """Keep ``n_train_speakers``, women and men in turn, and ``n_train_utterances`` of each.

    Dev and test stay as they are, so that scores compare whatever was trained on.

    Raises:
        UserError: fewer training speakers than asked for.
    """
    train = [row for row in utterances if row.split == "train"]
    speakers = _take_in_turn(list(rank_speakers(train, conf.seed).values()))
    if conf.n_train_speakers > len(speakers):
        raise UserError(
            f"splits.n_train_speakers={conf.n_train_speakers}: only {len(speakers)} speakers are "
            "left for training; lower it."
        )
    chosen = set(speakers[: conf.n_train_speakers or None])
    rows_of: dict[str, list[Utterance]] = defaultdict(list)
    for row in sorted(train, key=lambda row: hash_text(f"{conf.seed}/{row.utterance}")):
        rows_of[row.speaker].append(row)
    kept = {
        row.utterance for name in chosen for row in rows_of[name][: conf.n_train_utterances or None]
    }
    return [row for row in utterances if row.split != "train" or row.utterance in kept]


def _take_in_turn(groups: list[list[str]]) -> list[str]:
    """The first of each group, then the second of each, as far as they go.

    >>> _take_in_turn([["a", "b", "c"], ["x"]])
    ['a', 'x', 'b', 'c']
    """
    longest = max(map(len, groups), default=0)
    return [group[rank] for rank in range(longest) for group in groups if rank < len(group)]


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
    # One of each sex first, where the corpus states the sex.
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
