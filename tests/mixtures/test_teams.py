"""Who speaks in a training mixture: the shares of speakers, and of pairs within their groups."""

import collections
import random
from types import SimpleNamespace

import pytest

from separation.config.load import load_conf
from separation.errors import UserError
from separation.mixtures.dynamic.teams import Teams
from tests.conftest import ROOT

N_DRAWN = 20000
NAMES = ["ls1_F", "ls2_M", "so1_F", "so2_F", "so3_M"]
LENGTHS = [4, 1, 1, 4, 9]


def make_teams(groups: str, weight: float = 0.0, n_src: int = 2, names=NAMES) -> Teams:
    utterances = [[SimpleNamespace(n_samples=length)] for length in LENGTHS]
    return Teams(SimpleNamespace(speakers=names, utterances=utterances), n_src, weight, groups)


def measure_shares(teams: Teams) -> dict[tuple[str, ...], float]:
    """How often each set of speakers comes, in their order."""
    numbers = iter(random.Random(1).random, None)
    counts = collections.Counter(tuple(teams.draw(numbers)) for _ in range(N_DRAWN))
    return {tuple(NAMES[n] for n in team): count / N_DRAWN for team, count in counts.items()}


def test_without_groups_every_pair_comes_alike_often():
    shares = measure_shares(make_teams(""))
    assert len(shares) == 20 and all(abs(share - 1 / 20) < 0.01 for share in shares.values())


def test_groups_are_never_mixed_and_every_speaker_is_first_alike_often():
    shares = measure_shares(make_teams("^(ls|so)"))
    assert len(shares) == 2 + 6 and all(one[:2] == other[:2] for one, other in shares)
    expected = {"ls": 1 / 5, "so": 1 / 5 / 2}
    assert all(abs(share - expected[pair[0][:2]]) < 0.01 for pair, share in shares.items())


def test_weights_hold_within_groups():
    shares = measure_shares(make_teams("^(ls|so)", weight=0.5))
    # roots 2, 1 of ls, and 1, 2, 3 of so: of nine
    assert shares["ls1_F", "ls2_M"] == pytest.approx(2 / 9, abs=0.01)
    assert shares["so3_M", "so2_F"] == pytest.approx(3 / 9 * 2 / 3, abs=0.01)
    assert shares["so1_F", "so3_M"] == pytest.approx(1 / 9 * 3 / 5, abs=0.01)


def test_what_the_whole_expression_finds_counts_where_it_has_no_group():
    shares = measure_shares(make_teams("[FM]$"))
    assert all(one[-1] == other[-1] for one, other in shares)
    assert {name for team in shares for name in team} == set(NAMES)


def test_three_of_a_group_are_three_different_ones():
    names = ["so0_F", "so4_M", *NAMES[2:]]
    teams = make_teams("^so", n_src=3, names=names)
    numbers = iter(random.Random(1).random, None)
    assert all(len(set(teams.draw(numbers))) == 3 for _ in range(200))


@pytest.mark.parametrize(
    ("groups", "n_src", "expected"),
    [("^so", 2, "=^so: finds nothing in 2 of 5 speakers' names, such as ls1_F."),
     ("^(ls|so)", 3, r"group 'ls' has 2 of the 3 speakers of a mixture (ls1_F); the groups are "
      "'ls', 'so'.")],
)  # fmt: skip
def test_expressions_that_do_not_fit_the_names_are_refused(groups, n_src, expected):
    with pytest.raises(UserError) as caught:
        make_teams(groups, n_src=n_src)
    assert expected in str(caught.value)


def test_what_is_no_expression_is_refused_with_the_config():
    with pytest.raises(UserError, match=r"speaker_groups=\(so: is no regular expression \(missing"):
        load_conf(ROOT, "mini/ConvTasNet", ["training.speaker_groups=(so"])
