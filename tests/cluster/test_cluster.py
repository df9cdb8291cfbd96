"""Jobs over a Dask cluster: the results of one machine, and a killed worker costs its own work."""

import collections
import importlib.util
import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from separation.cluster import (
    Site,
    check_cluster,
    describe_site,
    explain_mismatch,
    refuse_open,
    use_cluster,
)
from separation.errors import UserError
from separation.evaluation.runner import Scoring, evaluate_set
from separation.experiment.open import open_experiment
from separation.jobs import run_jobs, run_jobs_here
from separation.mixtures.signals import Mixture
from separation.mixtures.source_files import Corpora
from separation.mixtures.table import parse_row
from separation.options import Cluster, ClusterOptions
from separation.stages.run import run_stage
from separation.wav_trees.tree import Tree, render_tree
from tests.conftest import ROOT, make_voice
from tests.support.dask_cluster import fail, run_cluster, work

LABEL = {"label": "test", "unit": "job"}
needs_dask = pytest.mark.skipif(
    importlib.util.find_spec("distributed") is None,
    reason="Dask is not installed: pip install -r requirements-cluster.txt",
)


def enter(address: str, folder: Path) -> None:
    """Only look whether jobs could run there."""
    check_cluster(Cluster(scheduler=address), [folder])


@pytest.fixture(scope="module")
def cluster():
    with run_cluster(2) as small:
        yield small


@needs_dask
def test_a_killed_worker_costs_only_its_own_work(tmp_path):
    log, results, n_jobs = tmp_path / "log", [], 60
    job = partial(work, log=log)
    with run_cluster(2) as small:
        dead, survivor = small.workers
        with use_cluster(Cluster(scheduler=small.address), [tmp_path]):
            for result in run_jobs(job, range(n_jobs), 1, total=n_jobs, **LABEL):
                results.append(result)
                if len(results) == 10:
                    small.kill(dead)
    assert results == list(
        run_jobs_here(partial(work, log=os.devnull), range(n_jobs), total=n_jobs, **LABEL)
    )
    runs = collections.defaultdict(list)
    for line in log.read_text().splitlines():
        number, process = map(int, line.split())
        runs[number].append(process)
    assert sorted(runs) == list(range(n_jobs))
    twice = {number: where for number, where in runs.items() if len(where) > 1}
    assert all(where == [dead, survivor] for where in twice.values())
    assert len(twice) <= 4  # under way, or done and not yet sent
    assert not list(tmp_path.glob(".cluster-*"))


@needs_dask
def test_stages_leave_the_files_of_one_machine(cluster, speech_folder, tmp_path):
    given = {"corpora": [f"speech={speech_folder}"], "n_jobs": 2}
    for name, where in (("here", Cluster()), ("there", Cluster(scheduler=cluster.address))):
        places = {"data": tmp_path / name / "data", "exp": tmp_path / name / "exp"}
        experiment = open_experiment("mini/ConvTasNet", **given, **places, cluster=where)
        for stage in ("preflight", "corpus", "audio"):
            run_stage(experiment, stage)
    left = {name: read_files(tmp_path / name) for name in ("here", "there")}
    assert left["here"] == left["there"]
    assert any(name.endswith(".i16") for name in left["here"])


def read_files(folder: Path) -> dict[str, bytes]:
    """Every file by its name; places do not count."""
    return {
        str(path.relative_to(folder)): path.read_bytes().replace(str(folder).encode(), b"")
        for path in folder.rglob("*")
        if path.is_file()
    }


@needs_dask
def test_rendered_trees_are_the_same(cluster, speech_folder, tmp_path):
    rows = [
        parse_row(
            {
                "mixture_ID": f"m{number}",
                "source_1_path": f"spk0_F/say{number}.wav",
                "source_1_gain": "0.9",
                "source_2_path": f"spk2_F/say{number}.wav",
                "source_2_gain": "0.7",
            }
        )
        for number in range(6)
    ]
    for name, where in (("here", Cluster()), ("there", Cluster(scheduler=cluster.address))):
        tree = Tree(
            folder=tmp_path / name / "Libri2Mix",
            split="test",
            rates=(8000,),
            modes=("min",),
            types=("mix_clean",),
        )
        with use_cluster(where, [tmp_path], [speech_folder]):
            render_tree(rows, Corpora(speech_folder), tree, 2)
    left = {name: read_files(tmp_path / name) for name in ("here", "there")}
    assert left["here"] == left["there"] and len(left["here"]) > 18


class Voices:
    """Six mixtures of two voices."""

    sample_rate = 8000

    def __init__(self) -> None:
        self.rows = [parse_row({"mixture_ID": f"m{number}"}) for number in range(6)]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Mixture:
        sources = np.stack([make_voice(2 * index + i, 100 + 90 * i, 1.0, 8000) for i in (0, 1)])
        return Mixture(
            row=self.rows[index], sample_rate=8000, mixture=sources.sum(axis=0), sources=sources
        )

    def stamp(self, index: int) -> str:
        return str(index)


def halve(mixture: Mixture) -> np.ndarray:
    """Each voice with a bit of the other."""
    return mixture.sources + np.float32(0.1) * mixture.mixture


@needs_dask
def test_scores_are_the_same_to_the_bit(cluster, tmp_path):
    texts = []
    for name, where in (("here", Cluster()), ("there", Cluster(scheduler=cluster.address))):
        path, scoring = tmp_path / name / "model.csv", Scoring(n_jobs=2, n_checked=0)
        with use_cluster(where, [tmp_path]):
            evaluate_set(Voices(), halve, path, scoring, "model", "key")
        texts.append(path.read_text())
    assert texts[0] == texts[1] and texts[0].count("\n") == 7


@needs_dask
def test_what_a_job_raises_comes_back(cluster, tmp_path):
    with (
        use_cluster(Cluster(scheduler=cluster.address), [tmp_path]),
        pytest.raises(UserError, match="broken"),
    ):
        list(run_jobs(fail, [1, 2], 1, total=2, **LABEL))


@needs_dask
def test_a_worker_that_differs_is_refused(cluster, tmp_path, monkeypatch):
    monkeypatch.setattr("separation.cluster.hash_sources", lambda: "another")
    with pytest.raises(UserError, match=r"another version of separation .*the same checkout"):
        enter(cluster.address, tmp_path)


@needs_dask
def test_a_scheduler_that_does_not_answer_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr("separation.cluster.CONNECT_S", 1)
    with pytest.raises(UserError, match=r"tcp://127.0.0.1:9: no Dask scheduler answers there"):
        enter("tcp://127.0.0.1:9", tmp_path)


@needs_dask
def test_a_scheduler_without_workers_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr("separation.cluster.WORKERS_S", 0.2)
    with run_cluster(0) as small, pytest.raises(UserError, match=r"has no workers; start some"):
        enter(small.address, tmp_path)


def test_without_dask_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "dask", None)
    with pytest.raises(UserError, match=r"pip install -r requirements-cluster.txt"):
        enter("tcp://127.0.0.1:8786", tmp_path)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"python": "2.7"}, "runs Python"),
        ({"sources": "x"}, "another version of separation"),
        ({"versions": (("numpy", "1.0"),)}, r"has numpy \d.* in place of 1.0"),
        ({"folders": ("/no/such/folder",)}, "does not see /no/such/folder; .*all workers share"),
        ({"tokens": (("/no/such/.cluster-1", "1"),)}, "does not see /no/such;"),
    ],
)
def test_a_worker_knows_in_what_it_differs(change, text, monkeypatch):
    monkeypatch.setattr("separation.cluster.PACKAGES", ("numpy",))
    site = vars(describe_site((str(ROOT),), ()))
    assert explain_mismatch(Site(**site)) == ""
    assert re.search(text, explain_mismatch(Site(**site | change)))


@pytest.mark.parametrize(
    ("address", "require", "refused"),
    [
        ("tcp://127.0.0.1:8786", None, False),
        ("tcp://[::1]:8786", None, False),
        ("tcp://localhost:8786", None, False),
        ("tls://node7:8786", None, False),
        ("tcp://node7:8786", None, True),
        ("tcp://10.0.0.7:8786", True, True),
        ("ws://node7:8786", None, True),
        ("tcp://10.0.0.7:8786", False, False),
    ],
)
def test_an_open_scheduler_is_refused(address, require, refused):
    if not refused:
        refuse_open(address, require)
        return
    with pytest.raises(UserError, match="without encryption runs programs as you"):
        refuse_open(address, require)


def test_two_clusters_at_once_are_refused():
    with pytest.raises(UserError, match="name two clusters"):
        ClusterOptions(scheduler="tcp://127.0.0.1:8786", slurm=2)


def test_the_usual_path_imports_no_dask(tmp_path):
    code = (
        "import sys, separation.stages.run, separation.compare.command, separation.cluster\n"
        "with separation.cluster.use_cluster(separation.cluster.Cluster(), []): pass\n"
        "print({'dask', 'distributed'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "set()\n"
