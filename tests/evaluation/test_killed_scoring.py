"""Processes that are killed while they separate or score; mixtures that are too long at once."""

import dataclasses
import faulthandler
import multiprocessing
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from separation.config.load import load_conf
from separation.evaluation import references, runner, selfcheck
from separation.evaluation.references import make_oracle_mask
from separation.evaluation.runner import Scoring, evaluate_set, score_row
from separation.evaluation.score_rows import read_scores
from separation.evaluation.selfcheck import check_scorer
from separation.evaluation.under_way import MOST_DEATHS
from separation.metrics import perceptual
from separation.mixtures.signals import Mixture
from separation.mixtures.table import make_existing_row
from separation.models import chunks, inference
from separation.models.inference import Separator
from tests.conftest import ROOT
from tests.evaluation.test_evaluation import Voices, die_on_v2, leak
from tests.support.mixture_folders import make_sources

CPU = torch.device("cpu")


def die_in_pesq(job):
    """What a fault in PESQ's C code does, which no Python catches."""
    if job.row.mixture_id == "v2" and "pesq" in job.scoring.metrics:
        os._exit(11)
    row = score_row(dataclasses.replace(job, scoring=Scoring(metrics=("si_sdr",))))
    if "pesq" in job.scoring.metrics:
        row = dataclasses.replace(row, values={**row.values, "pesq": 2.0})
    return row


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_process_killed_by_pesq_costs_one_value_at_every_call(n_jobs, monkeypatch, tmp_path):
    """With one mixture left, or one process, it ended the whole call; else the row was lost."""
    monkeypatch.setattr(runner, "score_row", die_in_pesq)
    scoring = Scoring(metrics=("si_sdr", "pesq"), n_jobs=n_jobs, n_checked=0)
    first = evaluate_set(Voices(5), leak, tmp_path / "a.csv", scoring, "a", "key")
    assert first.unscored() == []
    assert [row.problems for row in first.rows] == [(), (), ("pesq-failed",), (), ()]
    assert ["pesq" in row.values for row in first.rows] == [True, True, False, True, True]
    again = Voices(5)
    second = evaluate_set(again, leak, tmp_path / "a.csv", scoring, "a", "key")
    assert second.rows == first.rows and again.asked == []


CRASHES = {"pesq": {1, 3}, "stoi": {3}}  # mixtures at which a stand-in's C code reads address 0


def crash(metric: str, reference: np.ndarray) -> float:
    """A value; or what a fault of a metric's C code does: SIGSEGV, which no Python catches."""
    victims = [Voices(5)[number].sources.astype(np.float64) for number in CRASHES[metric]]
    if any(np.array_equal(reference, source) for sources in victims for source in sources):
        faulthandler.disable()
        os.kill(os.getpid(), signal.SIGSEGV)
    return 2.0 if metric == "pesq" else 0.5


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_segmentation_fault_costs_the_metric_of_the_mixture_only(n_jobs, monkeypatch, tmp_path):
    """Through the real scorer; every row has all that did not crash, at the second call too."""
    monkeypatch.setattr(perceptual, "measure_pesq", lambda r, *_: crash("pesq", r))
    monkeypatch.setattr(perceptual, "measure_stoi", lambda r, *_: crash("stoi", r))
    scoring = Scoring(metrics=("si_sdr", "sdr", "stoi", "pesq"), n_jobs=n_jobs, n_checked=0)
    first = evaluate_set(Voices(5), leak, tmp_path / "a.csv", scoring, "a", "key")
    problems = [(), ("pesq-failed",), (), ("pesq-failed", "stoi-failed"), ()]
    assert [row.problems for row in first.rows] == problems
    for row in first.rows:
        assert {"si_sdri", "sdri"} <= set(row.values) and row.error == ""
        assert ("stoi" in row.values) == ("stoi-failed" not in row.problems)
        assert ("pesq" in row.values) == ("pesq-failed" not in row.problems)
    again = Voices(5)
    assert evaluate_set(again, leak, tmp_path / "a.csv", scoring, "a", "key").rows == first.rows
    assert again.asked == []
    lost = tmp_path / "a.csv"  # an earlier version's journal, or one that was deleted
    for path in tmp_path.glob(".*.rows"):
        path.unlink()
    assert evaluate_set(Voices(5), leak, lost, scoring, "a", "key").rows == first.rows


def test_a_mixture_whose_scoring_died_is_tried_apart_and_does_not_end_the_next_call(
    monkeypatch, tmp_path
):
    monkeypatch.setattr(runner, "score_row", die_on_v2)
    scoring = Scoring(metrics=("si_sdr",), n_jobs=2, n_checked=0)
    for _ in range(2):  # with one left to score, the second call scored it in its own process
        found = evaluate_set(Voices(4), leak, tmp_path / "a.csv", scoring, "a", "key")
        assert [row.mixture_id for row in found.unscored()] == ["v2"]


def kill_at_v1(mixture: Mixture) -> np.ndarray:
    """What the system does to a process that asks for more memory than there is."""
    if mixture.mixture_id == "v1":
        os.kill(os.getpid(), signal.SIGKILL)
    return leak(mixture)


def run_killed(path: Path) -> int:
    """Exit code, or minus the signal, of scoring four mixtures in a process of its own."""
    scoring = Scoring(metrics=("si_sdr",), n_checked=0)
    context = multiprocessing.get_context("fork")
    words = (Voices(4), kill_at_v1, path, scoring, "a", "key")
    process = context.Process(target=evaluate_set, args=words)
    process.start()
    process.join()
    return process.exitcode or 0


def test_a_mixture_that_kills_its_run_comes_last_and_is_then_left_out_of_one_call(tmp_path, caplog):
    """Every call was killed at the same mixture, and the ones after it were never scored."""
    path = tmp_path / "a.csv"
    for _ in range(MOST_DEATHS):
        assert run_killed(path) == -signal.SIGKILL
    assert run_killed(path) == 0  # v2 and v3 are scored since the second call
    rows = read_scores(path)
    assert [row.is_scored for row in rows] == [True, False, True, True]
    assert rows[1].problems == ("model-failed",)
    said = f"{MOST_DEATHS} runs were killed while it was separated, perhaps for lack of memory; "
    assert rows[1].error == f"{said}this call left it out, the next one tries it again"
    assert run_killed(path) == -signal.SIGKILL  # it did
    assert run_killed(path) == 0
    scoring = Scoring(metrics=("si_sdr",), n_checked=0)
    assert evaluate_set(Voices(4), leak, path, scoring, "a", "key").unscored() == []
    assert "a: v1: 3 runs were killed while it was separated" in caplog.text
    assert not list(tmp_path.glob(".*.begun"))


def test_kills_from_outside_that_met_one_mixture_twice_cost_nothing(tmp_path):
    """Two random kills within one mixture left it out of every later call."""
    path = tmp_path / "a.csv"
    for _ in range(2):
        assert run_killed(path) == -signal.SIGKILL
    scoring = Scoring(metrics=("si_sdr",), n_checked=0)
    assert evaluate_set(Voices(4), leak, path, scoring, "a", "key").unscored() == []


class Bands(torch.nn.Module):
    """Splits at 1 kHz, and gives the two bands in another order at every call."""

    sample_rate = 8000

    def __init__(self) -> None:
        super().__init__()
        self.longest, self.calls = 0, 0

    def forward(self, mixtures: torch.Tensor) -> torch.Tensor:
        self.longest, self.calls = max(self.longest, mixtures.shape[-1]), self.calls + 1
        spectrum = torch.fft.rfft(mixtures)
        cut = spectrum.shape[-1] // 4
        low, high = spectrum.clone(), spectrum.clone()
        low[..., cut:], high[..., :cut] = 0, 0
        parts = [torch.fft.irfft(own, n=mixtures.shape[-1]) for own in (low, high)]
        return torch.stack(parts[:: -1 if self.calls % 2 else 1], dim=1)


def test_a_long_mixture_is_scored_and_validated_in_chunks(monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK_S", 2.0)
    monkeypatch.setattr(chunks, "OVERLAP_S", 0.5)
    monkeypatch.setattr(chunks, "LONGEST_WHOLE_S", 4.0)
    time = np.arange(9 * 8000) / 8000
    tones = np.stack([np.sin(2 * np.pi * hz * time) for hz in (300, 2500)]).astype(np.float32)
    model = Bands()
    long, short = torch.from_numpy(tones.sum(axis=0)), torch.from_numpy(tones[0, : 4 * 8000])
    estimates = Separator(model, CPU).separate([short, long, short])
    assert [own.shape[-1] for own in estimates] == [32000, 72000, 32000]
    assert model.longest == 32000  # what is short goes through whole, as ever
    correlations = np.abs(np.corrcoef(np.concatenate([tones, estimates[1].numpy()]))[:2, 2:])
    assert correlations.max(axis=1).min() > 0.98


@pytest.mark.parametrize("name", ["ibm", "irm", "wfm"])
@pytest.mark.parametrize("noisy", [False, True])
def test_masks_of_a_long_mixture_are_those_of_the_whole(name, noisy, monkeypatch):
    """Whole, 30 minutes at 8 kHz took 4 GB."""
    conf = load_conf(ROOT, "folder/ConvTasNet", []).evaluation
    sources = make_sources(3, 2, 8000, 9.3).astype(np.float32)
    noise = 0.1 * np.random.default_rng(0).normal(size=sources.shape[-1]) if noisy else 0.0
    row = make_existing_row("a", "a.wav", ["b.wav", "c.wav"])
    signal = (sources.sum(axis=0) + noise).astype(np.float32)
    mixture = Mixture(row=row, sample_rate=8000, mixture=signal, sources=sources)
    whole = make_oracle_mask(name, conf, 8000)(mixture)
    monkeypatch.setattr(references, "LONGEST_WHOLE_S", 4.0)
    monkeypatch.setattr(references, "BLOCK_S", 2.0)
    np.testing.assert_allclose(make_oracle_mask(name, conf, 8000)(mixture), whole, atol=1e-6)


def test_the_scorer_is_checked_on_a_part_of_a_long_mixture(monkeypatch):
    """mir_eval's copies of 30 minutes were the largest thing in memory."""
    lengths = []

    def note(signals, metrics):
        lengths.extend(part.shape[-1] for part in signals[0])
        return check_scorer(signals, metrics)

    monkeypatch.setattr(selfcheck, "check_scorer", note)
    monkeypatch.setattr(selfcheck, "LONGEST_S", 2.0)
    sources = make_sources(3, 2, 8000, 5.0).astype(np.float32)
    row = make_existing_row("a", "a.wav", ["b.wav", "c.wav"])
    mixture = Mixture(row=row, sample_rate=8000, mixture=sources.sum(axis=0), sources=sources)
    checker = selfcheck.Checker([0], ("si_sdr",))
    checker.check(0, mixture, sources[::-1] + 0.1 * sources)
    assert lengths == [16000] * 3 and checker.checks[0].n == 1


def test_mixtures_of_five_minutes_are_separated_whole_as_ever():
    """So no score of a published set, none of which has longer ones, changes."""
    assert chunks.LONGEST_WHOLE_S == 300
    assert Separator(Bands(), CPU).longest_whole == 300 * 8000
    sources = make_sources(1, 2, 8000, 0.5).astype(np.float32)
    mixture = torch.from_numpy(sources.sum(axis=0))
    (found,) = Separator(Bands(), CPU).separate([mixture])
    whole = inference.separate_samples(Bands(), mixture.numpy(), CPU)
    assert np.array_equal(found.numpy(), whole)
