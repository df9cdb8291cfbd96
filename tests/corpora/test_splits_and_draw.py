import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from separation.config.load import load_conf
from separation.corpora.splits import assign_splits, check_disjoint
from separation.corpora.table import Utterance
from separation.errors import UserError
from separation.mixtures.draw.combinations import draw_combinations
from separation.mixtures.table import make_existing_row
from tests.conftest import ROOT

CONF = load_conf(ROOT, "mini/ConvTasNet", ["splits.unseen_speakers=[]"])


def make_table(n_speakers: int, n_prompts: int) -> list[Utterance]:
    return [
        Utterance(
            utterance=f"s{speaker}-{prompt}-{copy}",
            speaker=f"s{speaker}",
            sex="FM"[speaker % 2],
            split="",
            path=f"s{speaker}/{prompt}-{copy}.wav",
            n_samples=16000 + 80 * prompt,
            sample_rate=8000,
            loudness_lufs=-20.0 - prompt % 7,
            peak=0.5,
            channel="mono",
            prompt=f"p{prompt}",
            transcript="",
            subset="",
        )
        for speaker in range(n_speakers)
        for prompt in range(n_prompts)
        for copy in range(2)
    ]


@settings(max_examples=25, deadline=None)
@given(st.integers(5, 9), st.integers(20, 40), st.randoms(use_true_random=False))
def test_splits_and_lists_do_not_depend_on_file_order(
    n_speakers, n_prompts, shuffler: random.Random
):
    table = make_table(n_speakers, n_prompts)
    shuffled = table.copy()
    shuffler.shuffle(shuffled)
    first, second = (assign_splits(rows, CONF.splits) for rows in (table, shuffled))
    assert first == second
    check_disjoint(first)
    draws = [draw_combinations(rows, "test_seen", 30, CONF.mixtures) for rows in (first, second)]
    assert draws[0] == draws[1]
    pairs = Counter(frozenset(source.speaker for source in row.sources) for row in draws[0])
    assert len(set(pairs.values())) == 1 and all(len(pair) == 2 for pair in pairs)


def test_unseen_speakers_hold_a_woman_and_a_man():
    table = assign_splits(make_table(8, 20), CONF.splits)
    assert {row.sex for row in table if row.split == "test_unseen"} == {"F", "M"}


def test_leaks_are_found():
    table = assign_splits(make_table(6, 20), CONF.splits)
    import dataclasses

    test = next(row for row in table if row.split == "test_seen")
    with pytest.raises(UserError, match="in several splits at once"):
        check_disjoint([*table, dataclasses.replace(test, split="train")])
    unseen = next(row for row in table if row.split == "test_unseen")
    with pytest.raises(UserError, match="in several splits at once"):
        check_disjoint([*table, dataclasses.replace(unseen, split="train", prompt="new")])


def test_too_few_speakers_are_refused():
    with pytest.raises(UserError, match="at least 4"):
        assign_splits(make_table(3, 20), CONF.splits)


def test_pairs_are_told_by_sex():
    rows = draw_combinations(assign_splits(make_table(6, 20), CONF.splits), "dev", 6, CONF.mixtures)
    for row in rows:
        first, second = row.sources
        expected = "same-sex" if first.sex == second.sex else "different-sex"
        assert row.sex_pair == expected


def test_a_row_without_speakers_is_of_no_pair():
    """It was called a pair of different sexes."""
    assert make_existing_row("a", "mix/a.wav", ["s1/a.wav", "s2/a.wav"]).sex_pair == "unknown"
