"""On a CPU the processes that score run the model too: same rows, within their memory."""

import dataclasses
import os
import subprocess
import sys
import weakref
from pathlib import Path

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from separation.evaluation import runner
from separation.evaluation.estimators import ModelEstimator
from separation.evaluation.runner import Evaluation, Scoring, evaluate_set
from separation.jobs import can_inherit, use_workers
from separation.models.asteroid import import_asteroid
from separation.models.checkpoint.load import load_model
from tests.conftest import ROOT
from tests.evaluation.test_evaluation import Voices
from tests.support.mixture_folders import save_small_model

TOGETHER = Scoring(n_jobs=2, n_checked=2)
forks = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux only")


class Watched(ModelEstimator):
    """Keeps the number of the process that separated each mixture, in a file."""

    folder: Path

    def __call__(self, mixture):
        (self.folder / mixture.mixture_id).write_text(str(os.getpid()))
        return super().__call__(mixture)

    def list_own(self) -> list[str]:
        """Mixtures that this very process separated."""
        own = str(os.getpid())
        return sorted(path.name for path in self.folder.iterdir() if path.read_text() == own)


@pytest.fixture
def estimator(tmp_path) -> Watched:
    model = load_model(save_small_model(tmp_path / "model.pth", n_steps=20))
    watched = Watched(model, torch.device("cpu"))
    watched.folder = tmp_path / "who"
    watched.folder.mkdir()
    return watched


def score(estimator, path: Path, scoring: Scoring = TOGETHER) -> Evaluation:
    return evaluate_set(Voices(7, broken=[2]), estimator, path, scoring, "a", "key")


def assert_alike(one: Evaluation, other: Evaluation) -> None:
    """Threads sum in another order, which is worth less than the scorer's own rounding."""
    for ours, theirs in zip(one.rows, other.rows, strict=True):
        assert ours.values == pytest.approx(theirs.values, abs=1e-4)
        without = [dataclasses.replace(row, values={}) for row in (ours, theirs)]
        assert without[0] == without[1]


@forks
def test_they_separate_all_but_what_is_checked_and_the_rows_are_the_same(estimator, tmp_path):
    here = score(estimator, tmp_path / "1.csv", Scoring(n_jobs=1, n_checked=2))
    assert len(estimator.list_own()) == 6
    there = score(estimator, tmp_path / "2.csv")
    assert estimator.list_own() == ["v0", "v3"] and there.check.n == here.check.n == 2
    assert_alike(there, here)


def test_where_the_memory_would_not_do_this_process_separates(estimator, tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "measure_memory", lambda: 1e5)
    score(estimator, tmp_path / "2.csv")
    assert len(estimator.list_own()) == 6


@forks
def test_each_mixture_goes_where_its_own_length_fits(estimator, tmp_path, monkeypatch):
    counts = iter(range(100))
    monkeypatch.setattr(estimator, "count_bytes", lambda n_samples: 1e12 * (next(counts) % 2))
    scoring = dataclasses.replace(TOGETHER, n_checked=0)
    score(estimator, tmp_path / "2.csv", scoring)
    assert estimator.list_own() == ["v0", "v3", "v5"]


class Elsewhere:
    """A cluster's workers, as far as asked."""

    def count(self) -> int:
        return 2


def test_workers_of_a_cluster_have_no_model_to_inherit():
    with use_workers(Elsewhere()):  # type: ignore[arg-type]
        assert not can_inherit()


@forks
def test_a_model_that_fails_or_kills_its_process_costs_its_mixture_only(estimator, tmp_path):
    def separate(mixture):
        if mixture.mixture_id == "v4":
            os._exit(9)  # as the system does for lack of memory
        if mixture.mixture_id == "v5":
            raise RuntimeError("a model's own fault")
        return ModelEstimator.__call__(estimator, mixture)

    separate.count_bytes = estimator.count_bytes
    found = score(separate, tmp_path / "a.csv", Scoring(n_jobs=2, n_checked=0))
    problems = {row.mixture_id: row.problems for row in found.unscored()}
    assert problems == {"v2": ("unreadable",), "v4": ("score-failed",), "v5": ("model-failed",)}
    assert found.unscored()[-1].error == "a model's own fault"


@forks
def test_processes_forked_after_many_threads_multiplied_do_not_hang(tmp_path):
    """OpenMP's threads are not forked: a process that waits for them waits for ever."""
    script = """
import sys, torch
from pathlib import Path
from tests.evaluation.test_evaluation import Voices
from separation.evaluation.estimators import ModelEstimator
from separation.evaluation.runner import Scoring, evaluate_set
from separation.models.checkpoint.load import load_model
if __name__ == "__main__":
    torch.set_num_threads(2)
    work = Path(sys.argv[1])
    estimator = ModelEstimator(load_model(work / "model.pth"), torch.device("cpu"))
    torch.randn(1000, 1000) @ torch.randn(1000, 1000)  # by both threads
    scoring = Scoring(n_jobs=2, n_checked=1)
    found = evaluate_set(Voices(6), estimator, work / "a.csv", scoring, "a", "key")
    assert found.unscored() == [] and found.check.n == 1
"""
    save_small_model(tmp_path / "model.pth")
    (tmp_path / "script.py").write_text(script, encoding="utf-8")
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "2"}
    command = [sys.executable, tmp_path / "script.py", tmp_path]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


class LiveBytes(TorchDispatchMode):
    """The most bytes that tensors made inside held at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.now, self.most, self.known = 0, 0, set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (list, tuple)) else (result,):
            if isinstance(tensor, torch.Tensor):
                self._follow(tensor.untyped_storage())
        return result

    def _follow(self, storage: torch.UntypedStorage) -> None:
        place = storage.data_ptr()
        if place in self.known or not storage.nbytes():
            return
        self.known.add(place)
        self.now += storage.nbytes()
        self.most = max(self.most, self.now)
        weakref.finalize(storage, self._forget, place, storage.nbytes())

    def _forget(self, place: int, n_bytes: int) -> None:
        self.known.discard(place)
        self.now -= n_bytes


@pytest.mark.parametrize("sizes", [{}, {"hid_chan": 512, "n_filters": 512, "kernel_size": 32}])
def test_the_counted_memory_is_about_that_of_the_tensors(sizes):
    sizes = {"n_filters": 128, "kernel_size": 64, "bn_chan": 128, "hid_chan": 256} | sizes
    sizes |= {"skip_chan": 128, "n_blocks": 3, "n_repeats": 1, "mask_act": "relu"}
    model = import_asteroid("models").ConvTasNet(n_src=2, sample_rate=8000, **sizes).eval()
    estimator = ModelEstimator(model, torch.device("cpu"))
    n_samples = 80000
    with torch.inference_mode(False), torch.no_grad(), LiveBytes() as live:
        estimator.separator.separate([torch.randn(n_samples)])
    counted = estimator.count_bytes(n_samples)
    print(live.most, counted)
    assert 0.8 * live.most < counted < 2 * live.most


def test_a_gpu_and_models_whose_memory_nobody_knows_stay_in_this_process():
    sizes = {"n_filters": 8, "bn_chan": 8, "hid_size": 8, "n_repeats": 1}
    model = import_asteroid("models").DPRNNTasNet(n_src=2, sample_rate=8000, **sizes)
    assert ModelEstimator(model, torch.device("cpu")).count_bytes(8000) is None
