"""Few speakers or few utterances: as many mixtures as there are, and it is said."""

import dataclasses
import itertools
import math
from collections import defaultdict
from pathlib import Path

import pytest
import soundfile

from separation.config.load import load_conf
from separation.corpora.splits import (
    assign_splits,
    check_disjoint,
    check_speaker_count,
    describe_few_speakers,
)
from separation.corpora.table import Utterance
from separation.errors import UserError
from separation.files import read_rows
from separation.mixtures.draw.combinations import draw_combinations
from separation.mixtures.draw.speaker_groups import count_groups, draw_groups
from tests.conftest import ROOT, make_voice
from tests.corpora.test_splits_and_draw import make_table
from tests.support.inputs_page import is_documented

CONF = load_conf(ROOT, "folder/ConvTasNet", [])


def map_speakers(rows: list[Utterance]) -> dict[str, set[str]]:
    speakers: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        speakers[row.split].add(row.speaker)
    return speakers


def test_any_number_of_speakers_from_four_up_gives_three_splits():
    """Of 4 to 7 speakers dev had one, with whom nobody can be mixed."""
    for n_speakers, sexes in itertools.product(range(4, 20), ("FM", "F", " ")):
        table = [
            dataclasses.replace(row, sex=sexes[int(row.speaker[1:]) % len(sexes)].strip())
            for row in make_table(n_speakers, 6)
        ]
        speakers = map_speakers(assign_splits(table, CONF.splits, 2))
        assert min(map(len, speakers.values())) >= 2 and set(speakers) == {"train", "dev", "test"}
        assert not speakers["test"] & (speakers["train"] | speakers["dev"])
        assert bool(speakers["dev"] & speakers["train"]) == (n_speakers < 6)


def test_three_sources_need_three_speakers_in_each_split():
    table = make_table(6, 6)
    speakers = map_speakers(assign_splits(table, CONF.splits, 3))
    assert len(speakers["test"]) == 3 and speakers["dev"] == speakers["train"]
    speakers = map_speakers(assign_splits(make_table(9, 6), CONF.splits, 3))
    assert [len(speakers[name]) for name in ("train", "dev", "test")] == [3, 3, 3]


def test_a_dev_set_of_training_speakers_has_other_prompts():
    rows = assign_splits(make_table(4, 10), CONF.splits, 2)
    dev = next(row for row in rows if row.split == "dev")
    with pytest.raises(UserError, match="in several splits at once"):
        check_disjoint([*rows, dataclasses.replace(dev, split="train")], "speakers", 2)


def test_too_few_speakers_are_refused_with_the_number_that_is_needed():
    with pytest.raises(UserError) as caught:
        check_speaker_count(3, 2)
    assert is_documented(str(caught.value))


def test_few_speakers_are_noted():
    notes = describe_few_speakers(assign_splits(make_table(4, 10), CONF.splits, 2))
    assert len(notes) == 2 and all(map(is_documented, notes))
    assert describe_few_speakers(assign_splits(make_table(100, 2), CONF.splits, 2)) == []


@pytest.mark.parametrize(("n_speakers", "n_src"), [(2, 2), (3, 2), (4, 3)])
def test_as_many_different_groups_as_there_are(n_speakers, n_src):
    """500 were asked for, and 400 different ones ended stage 2."""
    rows = make_table(n_speakers, 2)
    conf = dataclasses.replace(CONF.mixtures, n_src=n_src)
    groups = draw_groups(rows, "dev", 500, conf)
    expected = math.comb(n_speakers, n_src) * 4**n_src
    assert len(groups) == count_groups(rows, n_src) == min(500, expected)
    assert len({frozenset(row.path for row in group) for group in groups}) == len(groups)


def test_combinations_of_few_utterances_come_once_each():
    """500 mixtures were drawn of four different pairs."""
    rows = [dataclasses.replace(row, split="dev") for row in make_table(2, 1)]
    drawn = draw_combinations(rows, "dev", 500, CONF.mixtures)
    assert len({tuple(sorted(s.path for s in row.sources)) for row in drawn}) == len(drawn) == 4


def test_recipe_with_four_people(call, tmp_path: Path):
    """The folder recipe's defaults, to the tables; both messages are those of docs/inputs.md."""
    for number in range(4):
        for item in range(5):
            path = tmp_path / "people" / f"p{number}" / f"{item}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, make_voice(9 * number + item, 100 + 30 * number, 2.2, 8000), 8000)
    done = call(
        *("bash", "egs/folder/ConvTasNet/run.sh", "--corpus", f"speech={tmp_path / 'people'}"),
        *("--data", tmp_path / "data", "--exp", tmp_path / "exp", "--stop-stage", "2", "--nj", "1"),
    )
    assert done.returncode == 0, done.stdout
    assert len(read_rows(tmp_path / "data/folder/metadata/test.csv")) == 25
    said = [line for line in done.stdout.splitlines() if "note: " in line or "WARNING" in line]
    assert len(said) == 4 and all(map(is_documented, said)), said
