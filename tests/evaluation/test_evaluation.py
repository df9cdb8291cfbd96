"""The scoring run: rows, what is wrong with mixtures, going on, and memory."""

import dataclasses
import json
import os
import weakref
from collections.abc import Sequence

import numpy as np
import pytest

from separation.errors import UserError
from separation.evaluation import runner as evaluation
from separation.evaluation import selfcheck as scoring_check
from separation.evaluation.references import MixtureItself, OracleMask
from separation.evaluation.runner import Scoring, evaluate_set, score_row
from separation.evaluation.score_rows import (
    ScoreRow,
    describe_unscored,
    parse_score_row,
    read_scores,
)
from separation.evaluation.selfcheck import ScorerCheck
from separation.files import hash_value, read_rows
from separation.jobs import WINDOW_PER_PROCESS, Journal, spread_evenly
from separation.metrics.score import si_sdr_db
from separation.mixtures.signals import Mixture
from separation.mixtures.table import parse_row
from tests.support.mixture_folders import make_sources

RATE = 8000
PLAIN = Scoring(n_checked=0)


class Voices(Sequence):
    """Mixtures made when asked for; counts how many are alive, and fails where told."""

    sample_rate = RATE

    def __init__(self, n_mixtures: int, n_src: int = 2, broken: Sequence[int] = ()) -> None:
        self.rows = [parse_row({"mixture_ID": f"v{number}"}) for number in range(n_mixtures)]
        self.n_src, self.broken = n_src, set(broken)
        self.alive: weakref.WeakValueDictionary = weakref.WeakValueDictionary()
        self.most_alive, self.asked = 0, []

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index):
        self.asked.append(index)
        if index in self.broken:
            raise UserError(f"v{index}.wav: is truncated")
        sources = make_sources(index, self.n_src, RATE, 0.25)
        mixture = Mixture(
            row=self.rows[index],
            sample_rate=RATE,
            mixture=sources.sum(axis=0),
            sources=sources,
        )
        self.alive[index] = mixture
        self.most_alive = max(self.most_alive, len(self.alive))
        return mixture

    def stamp(self, index: int) -> str:
        return hash_value(self.rows[index].columns)


def leak(mixture: Mixture) -> np.ndarray:
    """Estimates at about 14 dB, in the other order."""
    return (mixture.sources + 0.2 * np.roll(mixture.sources, 1, axis=0))[::-1]


def test_a_row_holds_what_the_readers_of_scores_expect(tmp_path):
    found = evaluate_set(Voices(2, n_src=3), leak, tmp_path / "a.csv", PLAIN, "a", "key")
    assert found.unscored() == []
    assert list(read_rows(tmp_path / "a.csv")[0])[:10] == [
        *("mixture_ID", "pair", "n_samples", "duration_s", "level_difference_db", "overlap"),
        *("audio", "permutation", "problems", "input_si_sdr"),
    ]
    rows = read_scores(tmp_path / "a.csv")
    assert rows[0].permutation == (2, 1, 0)
    assert (rows[0].n_samples, rows[0].duration_s) == (2000, 0.25)
    for row, mixture in zip(rows, Voices(2, n_src=3), strict=True):
        ordered = leak(mixture)[::-1]
        before = si_sdr_db(mixture.sources, mixture.mixture[None]).mean()
        scores = row.values
        expected = si_sdr_db(mixture.sources, ordered).mean()
        assert scores["si_sdr"] == pytest.approx(expected, abs=1e-6)
        assert scores["si_sdri"] == pytest.approx(scores["si_sdr"] - before, abs=2e-6)
        values = [scores[f"si_sdr_{k}"] for k in (1, 2, 3)]
        assert np.mean(values) == pytest.approx(scores["si_sdr"], abs=2e-6)


def test_rows_do_not_depend_on_the_number_of_processes(tmp_path):
    texts = []
    for n_jobs in (1, 2):
        path = tmp_path / f"{n_jobs}.csv"
        evaluate_set(Voices(5), leak, path, Scoring(n_jobs=n_jobs, n_checked=0), "v", "key")
        texts.append(path.read_text())
    assert texts[0] == texts[1]


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_only_a_few_mixtures_are_alive_at_once(n_jobs, tmp_path):
    mixtures = Voices(60)
    scoring = Scoring(("si_sdr",), n_jobs, n_checked=3)
    evaluate_set(mixtures, leak, tmp_path / "v.csv", scoring, "v", "key")
    assert len(mixtures.asked) == 60
    assert mixtures.most_alive <= (2 if n_jobs == 1 else WINDOW_PER_PROCESS * n_jobs + 3)


def test_a_mixture_that_cannot_be_read_is_named_and_the_rest_scored(tmp_path):
    path = tmp_path / "v.csv"
    mixtures = Voices(4, broken=[0, 2])
    found = evaluate_set(mixtures, leak, path, PLAIN, "v", "key")
    assert [row.mixture_id for row in found.unscored()] == ["v0", "v2"]
    rows = read_scores(path)
    assert [row.problems for row in rows] == [("unreadable",), (), ("unreadable",), ()]
    assert rows[2].error == "v2.wav: is truncated"
    assert not rows[2].values
    assert rows[3].values["si_sdr"] > 10
    both = {"irm": found.unscored(), "model": found.unscored()}
    (text,) = describe_unscored(both)
    assert text.startswith("every estimator: 2 of the mixtures could not be scored")
    assert "v2 (v2.wav: is truncated)" in text
    (text,) = describe_unscored(both | {"mixture": []})
    assert text.startswith("irm, model: 2 of")
    mixtures.broken, mixtures.asked = {0}, []
    found = evaluate_set(mixtures, leak, path, PLAIN, "v", "key")
    assert mixtures.asked == [0, 2]  # what could not be read is tried again, nothing else
    assert [row.mixture_id for row in found.unscored()] == ["v0"]


@pytest.mark.parametrize(
    ("problem", "spoil"),
    [
        ("zero-estimate", lambda estimates: estimates * 0),
        ("non-finite", lambda estimates: estimates * np.nan),
    ],
)
def test_a_mixture_without_scores_says_why(problem, spoil, tmp_path):
    def estimate(mixture: Mixture) -> np.ndarray:
        return spoil(leak(mixture)) if mixture.mixture_id == "v1" else leak(mixture)

    found = evaluate_set(Voices(3), estimate, tmp_path / "v.csv", Scoring(), "v", "key")
    assert [(row.mixture_id, row.problems) for row in found.unscored()] == [("v1", (problem,))]
    assert found.check is not None
    assert found.check.n == 2  # the third cannot be checked either


def test_a_cut_run_goes_on_and_gives_the_rows_of_an_uncut_one(tmp_path):
    whole = evaluate_set(Voices(6), leak, tmp_path / "whole.csv", PLAIN, "v", "key").rows
    path = tmp_path / "v.csv"
    evaluate_set(Voices(6), leak, path, PLAIN, "v", "key")
    (journal,) = tmp_path.glob(".v-*.rows")
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(lines[:4]) + lines[4][:30])  # killed while it wrote
    path.unlink()
    mixtures = Voices(6)
    assert evaluate_set(mixtures, leak, path, PLAIN, "v", "key").rows == whole
    assert mixtures.asked == [3, 4, 5]
    assert path.read_text() == (tmp_path / "whole.csv").read_text()


def test_rows_are_scored_anew_when_what_they_depend_on_changes(tmp_path):
    path = tmp_path / "v.csv"
    mixtures = Voices(3)
    for key, scoring, expected in (
        ("a", PLAIN, [0, 1, 2]),
        ("a", PLAIN, []),
        ("b", PLAIN, [0, 1, 2]),  # another checkpoint
        ("a", Scoring(("si_sdr",), n_checked=0), [0, 1, 2]),
        ("a", PLAIN, []),  # the first rows are still there
    ):
        mixtures.asked = []
        evaluate_set(mixtures, leak, path, scoring, "v", key)
        assert mixtures.asked == expected
    mixtures.rows[1] = parse_row({"mixture_ID": "v1", "source_1_gain": "2"})
    mixtures.asked = []
    evaluate_set(mixtures, leak, path, PLAIN, "v", "a")
    assert mixtures.asked == [1]


def test_sixteen_bits_show_what_clipping_costs(tmp_path):
    scoring = Scoring(sixteen_bit=True, n_checked=0)

    def estimate(mixture: Mixture) -> np.ndarray:
        scale = {"v0": 0.5, "v1": 20.0, "v2": 1e-11}[mixture.mixture_id]
        loudest = np.abs(mixture.sources).max()
        return scale / loudest * (mixture.sources + 0.1 * mixture.sources[::-1])

    rows = evaluate_set(Voices(3), estimate, tmp_path / "v.csv", scoring, "v", "key").rows
    quiet, loud, silent = (row.values for row in rows)
    assert rows[0].n_clipped == 0
    assert quiet["si_sdr_16bit"] == pytest.approx(quiet["si_sdr"], abs=0.01)
    assert rows[1].n_clipped > 100
    assert loud["si_sdr_16bit"] < loud["si_sdr"] - 3
    assert rows[2].problems == ("silent-in-16-bits",)
    assert "si_sdr_16bit" not in silent
    assert silent["si_sdr"] > 10


def test_a_scorer_far_from_mir_eval_is_named_loudly_and_the_run_is_finished(
    monkeypatch, tmp_path, caplog
):
    """One mixture beyond the tolerance stopped the whole call."""
    far = {"sdr": 2e-4, "sir": 0.4}
    check = ScorerCheck(n=1, largest_db=0.4, seconds=0.1, by_metric=far)
    monkeypatch.setattr(scoring_check, "check_scorer", lambda *_: check)
    for _ in range(2):  # the second call finds all of it in the journal
        found = evaluate_set(Voices(2), leak, tmp_path / "v.csv", Scoring(), "v", "key")
        assert len(found.warnings) == 2 and found.unscored() == []
        assert "v0: the scorer and mir_eval differ by 0.0002 dB in sdr, more" in found.warnings[0]
    assert "do not trust these scores" in caplog.text


def test_what_is_scored_is_what_is_checked(monkeypatch, tmp_path):
    """SIR and SAR were never compared with mir_eval's in a run."""
    scoring = Scoring(("si_sdr", "sdr", "sir", "sar"), n_checked=1)
    found = evaluate_set(Voices(1), leak, tmp_path / "a.csv", scoring, "a", "key")
    assert found.check is not None and not found.warnings
    assert set(found.check.by_metric) == {"si_sdr", "sdr", "sir", "sar"}

    real = evaluation.score_mixture
    wrong = "separation.evaluation.selfcheck.score_mixture"

    def shift_sir(*signals):
        score = real(*signals)
        return dataclasses.replace(
            score, values={k: v + ("sir" in k) for k, v in score.values.items()}
        )

    monkeypatch.setattr(wrong, shift_sir)
    found = evaluate_set(Voices(1), leak, tmp_path / "b.csv", scoring, "b", "key")
    assert ["in sir, more than 0.5" in text for text in found.warnings] == [True]


def test_the_check_covers_the_set_and_is_kept(tmp_path):
    found = evaluate_set(Voices(7), leak, tmp_path / "v.csv", Scoring(), "v", "key")
    assert found.check is not None
    assert found.check.n == 3
    assert found.check.largest_db < 1e-6
    again = evaluate_set(Voices(7), leak, tmp_path / "v.csv", Scoring(), "v", "key")
    assert again.check == found.check


def test_a_nan_is_no_agreement_with_mir_eval(monkeypatch, tmp_path):
    """max() dropped a NaN that did not come first."""
    wrong = "separation.evaluation.selfcheck.define_si_sdr_db"
    monkeypatch.setattr(wrong, lambda references, _: np.full(len(references), np.nan))
    found = evaluate_set(Voices(2), leak, tmp_path / "a.csv", Scoring(n_checked=1), "a", "key")
    assert ["mir_eval differ by nan dB in si_sdr" in text for text in found.warnings] == [True]


@pytest.mark.parametrize("case", ["no memory", "an index", "other length", "other number"])
@pytest.mark.parametrize("n_checked", [0, 2])  # the check would be of just the second
def test_a_model_that_fails_on_one_mixture_leaves_the_others(case, n_checked, tmp_path):
    """Estimates of another length went into the check, which ended the run."""

    def separate(mixture: Mixture) -> np.ndarray:
        if mixture.mixture_id != "v1":
            return leak(mixture)
        if case == "no memory":
            raise RuntimeError("CUDA out of memory.")
        if case == "an index":
            raise IndexError("index 3 is out of range")
        return leak(mixture)[:, :-8] if case == "other length" else leak(mixture)[:1]

    scoring = Scoring(n_checked=n_checked)
    found = evaluate_set(Voices(3), separate, tmp_path / "a.csv", scoring, "a", "key")
    assert [row.problems for row in found.rows] == [(), ("model-failed",), ()]
    said = {"no memory": "memory", "an index": "out of range"}.get(case, "length")
    assert said in found.unscored()[0].error
    assert found.check is None or found.check.n == n_checked
    fixed = evaluate_set(Voices(3), leak, tmp_path / "a.csv", PLAIN, "a", "key")
    assert fixed.unscored() == []


class Together:
    """Separates three at once, unless one of them is broken; notes which."""

    n_at_once = 3

    def __init__(self, broken: str = "") -> None:
        self.broken, self.groups = broken, []

    def __call__(self, mixture: Mixture) -> np.ndarray:
        return self.estimate_all([mixture])[0]

    def estimate_all(self, mixtures) -> list[np.ndarray]:
        names = [mixture.mixture_id for mixture in mixtures]
        self.groups.append(" ".join(names))
        if self.broken in names:
            raise RuntimeError("a model's own fault")
        return [leak(mixture) for mixture in mixtures]


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_mixtures_separated_together_have_the_rows_that_they_have_alone(n_jobs, tmp_path):
    scoring = Scoring(n_jobs=n_jobs, n_checked=2)
    one = evaluate_set(Voices(7, broken=[1]), leak, tmp_path / "1.csv", scoring, "a", "key")
    together = Together()
    found = evaluate_set(Voices(7, broken=[1]), together, tmp_path / "3.csv", scoring, "a", "key")
    assert found.rows == one.rows and found.check.n == one.check.n
    assert together.groups == ["v0 v2", "v3 v4 v5", "v6"]


def test_one_that_fails_among_others_costs_its_row_only(tmp_path):
    together = Together("v1")
    found = evaluate_set(Voices(4), together, tmp_path / "a.csv", PLAIN, "a", "key")
    assert [row.problems for row in found.rows] == [(), ("model-failed",), (), ()]
    assert together.groups == ["v0 v1 v2", "v0", "v1", "v2", "v3"]


def test_a_gpu_that_broke_ends_the_run_which_then_goes_on(tmp_path):
    """Bug: after it every later mixture failed too, and each became a row without scores."""

    def separate(mixture: Mixture) -> np.ndarray:
        if mixture.mixture_id == "v2":
            raise RuntimeError("CUDA error: an illegal memory access was encountered\nCUDA kernel")
        return leak(mixture)

    with pytest.raises(UserError, match=r"failed at mixture v2 .*encountered\): run the same"):
        evaluate_set(Voices(4), separate, tmp_path / "a.csv", PLAIN, "a", "key")
    again = Voices(4)
    assert evaluate_set(again, leak, tmp_path / "a.csv", PLAIN, "a", "key").unscored() == []
    assert again.asked == [2, 3]


def die_on_v2(job) -> ScoreRow:
    """A scoring process that the system kills for lack of memory."""
    if job.row.mixture_id == "v2":
        os._exit(9)
    return score_row(job)


def test_a_process_that_dies_costs_its_mixture_and_not_the_run(monkeypatch, tmp_path):
    monkeypatch.setattr(evaluation, "score_row", die_on_v2)
    scoring = Scoring(n_jobs=2, n_checked=0)
    found = evaluate_set(Voices(12), leak, tmp_path / "a.csv", scoring, "a", "key")
    assert [row.mixture_id for row in found.unscored()] == ["v2"]
    assert found.unscored()[0].problems == ("score-failed",)
    assert [row.mixture_id for row in found.rows] == [f"v{number}" for number in range(12)]
    monkeypatch.undo()
    again = evaluate_set(Voices(12), leak, tmp_path / "a.csv", scoring, "a", "key")
    assert again.unscored() == []  # it is tried anew


def test_a_scorer_that_fails_on_one_mixture_leaves_the_others(monkeypatch, tmp_path):
    real = evaluation.score_mixture

    def fail(mixture, *rest):
        if len(mixture) == len(Voices(2)[1].mixture) and mixture[9] == Voices(2)[1].mixture[9]:
            raise np.linalg.LinAlgError("SVD did not converge")
        return real(mixture, *rest)

    monkeypatch.setattr(evaluation, "score_mixture", fail)
    rows = evaluate_set(Voices(3), leak, tmp_path / "a.csv", PLAIN, "a", "key").rows
    assert [row.problems for row in rows] == [(), ("score-failed",), ()]
    assert rows[1].error == "SVD did not converge" and rows[1].n_samples == 2000


def test_what_is_a_constant_in_16_bits_has_no_score(tmp_path):
    """It had -150 dB, which entered the mean."""
    faint = {"v0": 1e-9}

    def separate(mixture: Mixture) -> np.ndarray:
        return leak(mixture) * faint.get(mixture.mixture_id, 1.0) + np.float32(0.25)

    scoring = Scoring(n_checked=0, sixteen_bit=True)
    rows = evaluate_set(Voices(2), separate, tmp_path / "a.csv", scoring, "a", "key").rows
    assert "silent-in-16-bits" in rows[0].problems or not rows[0].values
    assert "si_sdr_16bit" not in rows[0].values and "si_sdr_16bit" in rows[1].values


def test_a_journal_with_spoilt_lines_goes_on_with_the_others(tmp_path):
    journal = Journal(tmp_path / "rows", "key")
    journal.add("a", 1)
    journal.close()
    with open(tmp_path / "rows", "ab") as handle:
        handle.write(b'\x00\x00\xff]\n["b", 2]\n["c", ')
    again = Journal(tmp_path / "rows", "key")
    assert again.done == {"a": 1, "b": 2}
    again.close()


def test_the_mixture_improves_nothing(tmp_path):
    path = tmp_path / "v.csv"
    for row in evaluate_set(Voices(2), MixtureItself(), path, PLAIN, "v", "key").rows:
        assert row.values["si_sdri"] == row.values["sdri"] == 0
        assert row.values["si_sdr"] == row.values["input_si_sdr"]


def test_evenly_spaced_samples():
    assert spread_evenly(3000, 3) == [0, 1000, 2000]
    assert spread_evenly(2, 5) == [0, 1]
    assert spread_evenly(0, 3) == []


def test_rows_are_plain_json(tmp_path):
    rows = evaluate_set(Voices(1), leak, tmp_path / "v.csv", Scoring(), "v", "key").rows
    cells = [row.as_cells() for row in rows]
    assert json.loads(json.dumps(cells)) == cells
    assert [parse_score_row(own) for own in cells] == rows


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_references_are_computed_where_they_are_scored(n_jobs, tmp_path):
    scoring = Scoring(metrics=("si_sdr",), n_jobs=n_jobs, n_checked=0)
    mask = OracleMask(name="irm", window=256, hop=64, sample_rate=RATE)
    for name, reference in (("mixture", MixtureItself()), ("irm", mask)):
        path = tmp_path / f"{name}.csv"
        rows = evaluate_set(Voices(3), reference, path, scoring, "v", "key").rows
        for row, mixture in zip(rows, Voices(3), strict=True):
            expected = si_sdr_db(mixture.sources, reference(mixture)).mean()
            assert row.values["si_sdr"] == pytest.approx(expected, abs=1e-5)


class BrokenReference(MixtureItself):
    def __call__(self, mixture: Mixture) -> np.ndarray:
        raise ValueError("no such window")


def test_a_reference_that_fails_is_a_row_that_says_so(tmp_path):
    scoring = Scoring(metrics=("si_sdr",), n_checked=0)
    path = tmp_path / "b.csv"
    rows = evaluate_set(Voices(2), BrokenReference(), path, scoring, "v", "key").unscored()
    assert [row.problems for row in rows] == [("model-failed",)] * 2
    assert all("no such window" in row.error for row in rows)
