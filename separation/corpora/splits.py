"""Who is heard in training, and what dev and test consist of.

By ``prompts``: train, dev, test_seen (speakers heard, prompts not), test_unseen (speakers never
heard). By ``speakers`` or by the corpus's own ``subset``: train, dev, test, no speaker in two.
"""

import dataclasses
from collections import defaultdict

from separation.config.schema import SplitsConf
from separation.corpora.recording_checks import SUBSET_NAMES
from separation.corpora.table import Utterance
from separation.errors import UserError
from separation.files import hash_text

N_SPLITS = 3
FEW_SPEAKERS = 8  # of a dev or test set, below which its score is one of these people
SHARED_DEV_SHARE = 0.2  # at least, of the training speakers' prompts, where dev has no others


def assign_splits(utterances: list[Utterance], conf: SplitsConf, n_src: int = 2) -> list[Utterance]:
    """Give every utterance its split, by keyed hashes of names and never by file order.

    By prompts, all encodings and repetitions of a prompt in one voice go to the same split. By
    speakers, each split gets at least ``n_src`` of them; where there are fewer than three times
    ``n_src``, dev gets prompts of the training speakers.

    Args:
        utterances: of the whole corpus.
        conf: how they are divided.
        n_src: speakers in a mixture.

    Raises:
        UserError: too few speakers, a named speaker or a subset that is not there.
    """
    if conf.by != "subset":
        check_speaker_count(len({row.speaker for row in utterances}), n_src)
    if conf.by == "speakers":
        assigned = _split_speakers(utterances, conf, n_src)
    elif conf.by == "subset":
        assigned = _split_subsets(utterances, conf)
    else:
        assigned = _split_prompts(utterances, conf, n_src)
    assigned.sort(key=lambda row: row.utterance)
    check_disjoint(assigned, conf.by, n_src)
    return assigned


def check_speaker_count(n_speakers: int, n_src: int) -> None:
    """Raise :class:`UserError` where no two groups of speakers can be mixed apart."""
    if n_speakers < 2 * n_src:
        raise UserError(
            f"the corpus has {n_speakers} speaker(s); {n_src} heard in training and {n_src} never "
            f"heard (mixtures.n_src={n_src}) need at least {2 * n_src}: add sub-folders of "
            "further speakers."
        )


def describe_few_speakers(utterances: list[Utterance]) -> list[str]:
    """Sentences about what few speakers mean for the scores; mostly none."""
    speakers: dict[str, set[str]] = defaultdict(set)
    for row in utterances:
        speakers[row.split].add(row.speaker)
    held = {split: len(names) for split, names in sorted(speakers.items()) if split != "train"}
    few = [f"{split} has {n} speakers" for split, n in held.items() if n < FEW_SPEAKERS]
    notes = []
    if few:
        notes.append(
            f"{' and '.join(few)}: a score is of these people, and may be far off for others"
        )
    if "test" in speakers and speakers["dev"] & speakers["train"]:
        notes.append(
            "too few speakers for a dev set of its own: dev has other recordings of the training "
            "speakers; those of test are never heard in training"
        )
    return notes


def copy_subsets(utterances: list[Utterance]) -> list[Utterance]:
    """The corpus's own splits: ``train-clean-100`` is train."""
    return [dataclasses.replace(row, split=_name_split(row.subset)) for row in utterances]


def _split_subsets(utterances: list[Utterance], conf: SplitsConf) -> list[Utterance]:
    """The corpus's own splits; a corpus without a dev set gets one of its training speakers."""
    rows = copy_subsets(utterances)
    if check_subsets({row.subset for row in utterances}):
        held = _choose_speakers([row for row in rows if row.split == "train"], conf, ("dev",))
        return [
            dataclasses.replace(row, split=held.get(row.speaker, row.split))
            if row.split == "train"
            else row
            for row in rows
        ]
    return rows


def check_subsets(subsets: set[str]) -> bool:
    """Whether only a dev set is missing among a corpus's own subsets, which training can give.

    Raises:
        UserError: others are missing.
    """
    missing = {"train", "dev", "test"} - {_name_split(name) for name in subsets}
    if missing - {"dev"}:
        raise UserError(
            f"the corpus has no subset for {', '.join(sorted(missing))}: fetch it, or divide the "
            "speakers that are there with --set splits.by=speakers."
        )
    return bool(missing)


def _name_split(subset: str) -> str:
    name = subset.split("-")[0]
    return SUBSET_NAMES.get(name.lower(), name)


def _split_speakers(utterances: list[Utterance], conf: SplitsConf, n_src: int) -> list[Utterance]:
    """Dev and test get speakers of each sex, by a keyed hash of their names; train the others."""
    speakers = {row.speaker for row in utterances}
    shares_dev = len(speakers) < N_SPLITS * n_src
    held = _choose_speakers(utterances, conf, ("test",) if shares_dev else ("test", "dev"))
    split_of = {name: held.get(name, "train") for name in speakers}
    if not conf.n_dev_speakers and not conf.n_test_speakers:
        _fill_splits(split_of, ("train", "test") if shares_dev else ("train", "test", "dev"), n_src)
    if not shares_dev:
        return [dataclasses.replace(row, split=split_of[row.speaker]) for row in utterances]
    share = max(conf.dev_share, SHARED_DEV_SHARE)
    dev_only = dataclasses.replace(conf, test_share=0.0, dev_share=share)
    trained = [row for row in utterances if split_of[row.speaker] == "train"]
    tested = [row for row in utterances if split_of[row.speaker] == "test"]
    assigned = [dataclasses.replace(row, split="test") for row in tested]
    return assigned + _divide_prompts(trained, dev_only)


def _fill_splits(split_of: dict[str, str], splits: tuple[str, ...], n_src: int) -> None:
    """Give every split ``n_src`` speakers at least, out of the largest one, by a hash of names."""
    while poor := [name for name in splits if list(split_of.values()).count(name) < n_src]:
        largest = max(splits, key=lambda name: list(split_of.values()).count(name))
        names = [name for name, split in split_of.items() if split == largest]
        split_of[min(names, key=lambda name: (hash_text(f"fill/{name}"), name))] = poor[0]


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


def _split_prompts(utterances: list[Utterance], conf: SplitsConf, n_src: int) -> list[Utterance]:
    unseen = _choose_unseen(utterances, conf, n_src)
    heard = [row for row in utterances if row.speaker not in unseen]
    others = [row for row in utterances if row.speaker in unseen]
    assigned = [dataclasses.replace(row, split="test_unseen") for row in others]
    return assigned + _divide_prompts(heard, conf)


def _divide_prompts(utterances: list[Utterance], conf: SplitsConf) -> list[Utterance]:
    """Of each speaker's prompts shares for test_seen and dev, by a keyed hash."""
    prompts: dict[str, dict[str, list[Utterance]]] = defaultdict(lambda: defaultdict(list))
    for row in utterances:
        prompts[row.speaker][row.prompt].append(row)
    assigned = []
    for speaker, groups in prompts.items():
        names = sorted(groups, key=lambda name: hash_text(f"{conf.seed}/{speaker}/{name}"))
        for rank, name in enumerate(names):
            split = _split_of(rank / len(names), conf)
            assigned += [dataclasses.replace(row, split=split) for row in groups[name]]
    return assigned


def _split_of(rank: float, conf: SplitsConf) -> str:
    if rank < conf.test_share:
        return "test_seen"
    return "dev" if rank < conf.test_share + conf.dev_share else "train"


def _choose_unseen(utterances: list[Utterance], conf: SplitsConf, n_src: int) -> set[str]:
    sexes = {row.speaker: row.sex for row in utterances}
    check_unseen(conf, set(sexes))
    if conf.unseen_speakers:
        return set(conf.unseen_speakers)
    ranked = sorted(sexes, key=lambda name: hash_text(f"{conf.seed}/{name}"))
    count = min(max(n_src, conf.n_unseen), len(sexes) - n_src)
    # One of each sex first, where the corpus states the sex.
    chosen = [next((s for s in ranked if sexes[s] == sex), None) for sex in ("F", "M")]
    order = [s for s in chosen if s] + [s for s in ranked if s not in chosen]
    return set(order[:count])


def check_unseen(conf: SplitsConf, speakers: set[str]) -> None:
    """Raise :class:`UserError` where ``unseen_speakers`` names somebody who is not there."""
    missing = sorted(set(conf.unseen_speakers) - speakers)
    if missing:
        raise UserError(
            f"splits.unseen_speakers names {', '.join(missing)}, who is not in the corpus; "
            f"its speakers are {', '.join(sorted(speakers))}."
        )


def check_disjoint(utterances: list[Utterance], by: str = "prompts", n_src: int = 2) -> None:
    """Check what the scores rest on.

    Raises:
        UserError: a speaker of a test set occurs in another split, or one voice's prompt in two
            where splits have voices in common.
    """
    n_speakers = len({row.speaker for row in utterances})
    shares_dev = by == "speakers" and n_speakers < N_SPLITS * n_src
    splits_of: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in utterances:
        heard = row.split != "test_unseen" if by == "prompts" else shares_dev and row.split == "dev"
        split = "train" if heard else row.split
        splits_of[row.speaker, ""].add(split)
        if by == "prompts" or shares_dev:
            splits_of[row.speaker, f"prompt {row.prompt}"].add(row.split)
    shared = sorted(key for key, splits in splits_of.items() if len(splits) > 1)
    if shared:
        raise UserError(f"in several splits at once: {shared[:5]}.")
