"""What a mixture is like, typed rows, groups, and the summaries made of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from separation.errors import UserError
from separation.evaluation.breakdown import (
    break_down,
    correlate,
    describe_mixture,
    list_groups,
    list_metrics,
    list_problems,
    measure_breakdown,
    rank_worst,
)
from separation.evaluation.score_rows import (
    ScoreRow,
    format_scores_csv,
    parse_score_row,
    read_scores,
)
from separation.evaluation.summary import (
    Summary,
    describe_problems,
    format_scores,
    read_summary,
    summarise,
    write_summary,
)
from separation.files import format_rows, write_text
from separation.reports.breakdown import show_breakdowns
from separation.reports.page import blocks_to_markdown

RATE = 8000


def make_row(name: str, gain: float | None, **columns) -> ScoreRow:
    """A row of a scores table; without a gain it is one that could not be scored."""
    return parse_score_row(make_cells(name, gain, **columns))


def make_cells(name: str, gain: float | None, **columns) -> dict:
    row = {"mixture_ID": name, "pair": "same-sex", "speaker_1_ID": "anna", "speaker_2_ID": "bea"}
    row |= {"n_samples": 8000, "duration_s": 1.0, "level_difference_db": 1.0, "overlap": 1.0}
    row |= {"audio": f"hash {name}", "permutation": "0 1", "problems": ""}
    scores = {"input_si_sdr": 0.5, "si_sdr": 0.5 + (gain or 0), "si_sdri": gain, "si_sdri_1": gain}
    return row | (scores if gain is not None else {"problems": "silent-reference"}) | columns


def test_description_of_known_signals():
    tone = np.sin(np.arange(RATE) * 0.3)
    both = np.stack([tone, 0.5 * tone])
    told = describe_mixture(both.sum(axis=0), both, RATE)
    assert told.duration_s == 1.0 and told.overlap == 1.0
    assert told.level_difference_db == pytest.approx(20 * np.log10(2), abs=1e-3)
    at_other_rate = describe_mixture(both.sum(axis=0), both, 16000)
    assert at_other_rate.duration_s == 0.5


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5])
def test_overlap_is_the_share_of_time_in_which_two_speak(share):
    """One speaks in the first part, the other in the last: ``share`` of the whole is both's."""
    n_frames = 80
    tone = np.sin(np.arange(n_frames * 205) * 0.3)  # 205 samples are a frame of 25.6 ms
    both = np.stack([tone, tone])
    half = round(n_frames * (1 - share) / 2) * 205
    both[0, len(tone) - half :] = 0
    both[1, :half] = 0
    assert describe_mixture(both.sum(axis=0), both, RATE).overlap == pytest.approx(share)


def test_a_source_40_db_down_is_silent_there():
    tone = np.sin(np.arange(80 * 205) * 0.3)
    fading = tone * np.where(np.arange(len(tone)) < 40 * 205, 1.0, 10 ** (-42 / 20))
    both = np.stack([tone, fading])
    assert describe_mixture(both.sum(axis=0), both, RATE).overlap == pytest.approx(0.5)


def test_description_of_silence_one_source_three_and_nan():
    tone = np.sin(np.arange(3000) * 0.3)
    silent = np.stack([tone, 0 * tone])
    told = describe_mixture(tone, silent, RATE)
    assert told.level_difference_db is None and told.overlap == 0.0
    assert describe_mixture(tone, silent * 0, RATE).overlap is None
    assert describe_mixture(tone, tone[None], RATE).level_difference_db is None
    three = np.stack([tone, 10 * tone, tone])
    assert describe_mixture(tone, three, RATE).level_difference_db == pytest.approx(20)
    broken = np.stack([tone, tone * np.nan])
    assert describe_mixture(tone, broken, RATE).level_difference_db is None


def test_rows_come_back_typed_and_empty_cells_absent(tmp_path):
    rows = [make_row("a", 1.25), make_row("b", None, speaker_1_ID="0012")]
    path = tmp_path / "model.csv"
    write_text(path, format_scores_csv(rows))
    back = read_scores(path)
    assert back[0] == rows[0]
    assert back[1] == rows[1] and not back[1].values and not back[1].is_scored
    assert isinstance(back[0].n_samples, int) and back[1].speakers == ("0012", "bea")


@pytest.mark.parametrize("cell", ["nan", "inf", "many"])
def test_a_cell_that_is_no_number_is_named(tmp_path, cell):
    path = tmp_path / "model.csv"
    write_text(path, format_rows([make_cells("a", 1.0), make_cells("b9", 2.0, si_sdri=cell)]))
    with pytest.raises(UserError, match=f"mixture b9: si_sdri is '{cell}'"):
        read_scores(path)


def test_groups_of_every_kind():
    rows = [
        make_row("a", 1.0, level_difference_db=2.4, duration_s=2.9, overlap=0.2),
        make_row("b", 2.0, level_difference_db=2.5, duration_s=3.0, overlap=0.25),
        make_row(
            "c",
            6.0,
            pair="different-sex",
            speaker_2_ID="carl",
            level_difference_db=99.0,
            duration_s=12.0,
            overlap=None,
        ),
        make_row("d", None),
    ]
    found = break_down(rows, "si_sdri")
    means = {kind: {k: (v.n, v.mean) for k, v in own.items()} for kind, own in found.items()}
    assert means["sex pair"] == {"same-sex": (2, 1.5), "different-sex": (1, 6.0)}
    assert means["level difference"] == {
        "below 2.5 dB": (1, 1.0), "2.5 to 5 dB": (1, 2.0), "10 dB or more": (1, 6.0)
    }  # fmt: skip
    assert means["length"] == {"below 3 s": (1, 1.0), "3 to 5 s": (1, 2.0), "10 s or more": (1, 6)}
    assert means["overlap"] == {"below 25 %": (1, 1.0), "25 to 50 %": (1, 2.0)}
    assert means["speaker"] == {"bea": (2, 1.5), "anna": (3, 3.0), "carl": (1, 6.0)}
    assert list(means["speaker"]) == ["bea", "anna", "carl"], "the worst first"
    for kind, names in list_groups().items():
        assert [name for name in names if name in means[kind]] == list(means[kind])


@settings(deadline=None, max_examples=25)
@given(st.lists(st.tuples(st.floats(-30, 30), st.floats(0, 30)), min_size=1, max_size=20))
def test_every_mixture_is_in_exactly_one_bin(pairs):
    rows = [
        make_row(f"m{k}", gain, level_difference_db=level, duration_s=level, overlap=level / 30)
        for k, (gain, level) in enumerate(pairs)
    ]
    found = break_down(rows, "si_sdri")
    for kind in list_groups():
        assert sum(own.n for own in found[kind].values()) == len(rows)
        total = sum(own.n * own.mean for own in found[kind].values())
        assert total == pytest.approx(sum(gain for gain, _ in pairs), abs=1e-6)


def test_three_speakers_and_unknown_ones():
    rows = [make_row("a", 1.0, speaker_3_ID="carl"), make_row("b", 3.0, speaker_3_ID="")]
    assert set(break_down(rows, "si_sdri")["speaker"]) == {"anna", "bea", "carl"}
    assert break_down(rows, "si_sdri")["speaker"]["anna"].n == 1, "unknown is no speaker"


def test_correlation_of_improvement_with_input():
    rows = [make_row(f"m{k}", 9.0 - k, input_si_sdr=k**3) for k in range(5)]
    assert correlate(rows, "si_sdri", "input_si_sdr") == pytest.approx(-1)
    assert correlate(rows[:2], "si_sdri", "input_si_sdr") is None
    assert correlate([make_row("a", 1.0)] * 5, "si_sdri", "input_si_sdr") is None


def test_worst_rows_and_problems():
    rows = [make_row("b", None), make_row("c", -1.0), make_row("d", 2.0)]
    rows.append(make_row("a", 2.0, problems="same-voice-twice channel-swap"))
    assert [row.mixture_id for row in rank_worst(rows, "si_sdri", 3)] == ["c", "a", "d"]
    assert list_problems(rows) == {
        "same-voice-twice": ["a"], "channel-swap": ["a"], "silent-reference": ["b"]
    }  # fmt: skip


def test_metrics_are_what_the_rows_hold():
    row = make_row("a", 1.0, stoi=0.9, stoi_2=0.8, si_sdr_16bit=1.0, n_clipped=0)
    assert list_metrics([make_row("b", None), row]) == [
        "input_si_sdr", "si_sdr", "si_sdri", "stoi", "si_sdr_16bit"
    ]  # fmt: skip


def test_summary_counts_what_could_not_be_scored():
    rows = [make_row("a", 2.0), make_row("b", None), make_row("c", 4.0, pair="different-sex")]
    summary = summarise(rows)
    whole = summary["all"]
    assert (whole.n_mixtures, whole.n_scored) == (3, 2)
    assert whole.problems == {"silent-reference": ["b"]}
    assert whole.means["si_sdri"].mean == 3.0 and whole.means["si_sdri"].n == 2
    assert summary["different-sex"].as_dict()["si_sdri"] == {
        "mean": 4.0, "low": None, "high": None, "n": 1
    }  # fmt: skip
    assert "unknown" not in summary and "si_sdri_1" not in whole.means and "sdri" not in whole.means
    told = Summary({}, {"test": {"model": summary}})
    line = format_scores(told).splitlines()[-1]
    assert line.startswith("| test | model | 3.00 [2.00, 4.00] | – | 2.00 | 4.00 |")
    assert line.endswith("| 2 of 3 |")
    assert describe_problems(told) == ["test, model: silent-reference in 1 mixture(s): b."]


def test_summary_without_any_score_is_still_a_table():
    summary = Summary({}, {"test": {"model": summarise([make_row("b", None)])}})
    assert format_scores(summary).splitlines()[-1] == "| test | model | – | – | – | – | 0 of 1 |"


def test_summary_comes_back_from_its_file(tmp_path):
    rows = [make_row("a", 2.0), make_row("b", None), make_row("c", 4.0, pair="different-sex")]
    summary = Summary({"test": "aa"}, {"test": {"model": summarise(rows)}})
    write_summary(tmp_path / "summary.json", summary)
    assert read_summary(tmp_path / "summary.json") == summary
    assert summary.find_mean("test", "model", "si_sdri").mean == 3.0
    assert summary.find_mean("test", "irm", "si_sdri") is None
    assert read_summary(tmp_path / "none.json") is None


def test_summary_of_rows_without_problems_is_as_before():
    """Keys and figures of the recorded results: mean, and the seeded percentile interval."""
    values = np.random.default_rng(4).normal(5, 3, 200)
    rows = [ScoreRow(mixture_id=str(k), values={"si_sdri": v}) for k, v in enumerate(values)]
    draws = np.random.default_rng(0).integers(200, size=(1000, 200))
    low, high = np.percentile(values[draws].mean(axis=1), [2.5, 97.5])
    whole = summarise(rows)["all"]
    found = whole.means["si_sdri"]
    assert (found.low, found.high) == (round(low, 4), round(high, 4))
    assert whole.n_mixtures == 200


def test_table_of_groups_side_by_side():
    many = [make_row(f"m{k}", float(k)) for k in range(12)]
    few = [make_row("a", 1.0, pair="different-sex")]
    measured = {"A": measure_breakdown(many, "si_sdri"), "B": measure_breakdown(few, "si_sdri")}
    text = blocks_to_markdown(show_breakdowns(measured))
    assert "| by | group | A | B |" in text
    assert "| sex pair | same-sex | 5.50 [" in text
    assert "| sex pair | different-sex | – | 1.00 of 1 |" in text
    assert "A: lowest of 2 speakers, mean over the mixtures that each is in: anna 5.50" in text
