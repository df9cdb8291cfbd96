"""Stage keys are those that commit fde655c gave: what was finished then is still found done.

tests/data/stage_keys.json was written by that commit's code. A key that changes makes every
finished experiment of every user begin anew.
"""

import dataclasses
from pathlib import Path

import pytest

from separation.experiment.experiment import Experiment
from separation.experiment.folder import DataFolder
from separation.experiment.open import open_experiment
from separation.files import read_json
from separation.stages.keys import data_key, scoring_key
from separation.stages.state import is_done, mark_done, require_done
from separation.stages.table import STAGES
from tests.conftest import ROOT
from tests.support.key_corpora import write_corpora, write_results

CASES = read_json(ROOT / "tests" / "data" / "stage_keys.json")


@pytest.fixture(scope="module")
def corpora(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    write_corpora(folder)
    return folder


def open_case(case: dict) -> Experiment:
    """The experiment of a recorded case, with the relative roots that its keys were made of."""
    experiment = open_experiment(
        case["recipe"],
        case["sets"],
        corpora=[f"{name}={path}" for name, path in case["roots"].items()],
        data=Path("data"),
        exp=Path("exp"),
        device="cpu",
    )
    given = {name: Path(path) for name, path in case["roots"].items()}
    roots = dataclasses.replace(experiment.roots, given=given)
    return dataclasses.replace(experiment, roots=roots)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['recipe']} {case['kind']}")
def test_keys_folders_and_kinds_are_those_of_before(case, corpora, monkeypatch):
    monkeypatch.chdir(corpora)
    experiment = open_case(case)
    assert (str(experiment.data.path), str(experiment.folder.path)) == (
        case["data"],
        case["folder"],
    )
    assert experiment.kind == case["kind"]
    write_results(experiment.folder.path)
    keys = {stage.name: stage.key(experiment) for stage in STAGES}
    assert keys | {"data": data_key(experiment), "scoring": scoring_key(experiment)} == case["keys"]


def test_markers_lie_where_they_lay(corpora, monkeypatch):
    monkeypatch.chdir(corpora)
    experiment = open_case(CASES[0])
    data, folder = "data/mini/.done_", "exp/mini/ConvTasNet/default/.done_"
    assert [str(stage.find_marker(experiment)) for stage in STAGES] == [
        f"{data}0_preflight.json",
        f"{data}1_corpus.json",
        f"{data}2_metadata.json",
        f"{data}3_audio.json",
        f"{folder}4_train.json",
        f"{folder}5_evaluate.json",
        f"{folder}6_report.json",
    ]


def test_a_marker_counts_while_its_key_and_outputs_stay(corpora, tmp_path, monkeypatch):
    monkeypatch.chdir(corpora)
    folder = DataFolder(tmp_path, shared=tmp_path)
    experiment = dataclasses.replace(open_case(CASES[0]), data=folder)
    assert not is_done(experiment, "corpus")
    folder.table.write_text("two rows")
    mark_done(experiment, "corpus", [folder.table])
    assert is_done(experiment, "corpus")
    conf = dataclasses.replace(
        experiment.conf, splits=dataclasses.replace(experiment.conf.splits, seed=1)
    )
    assert not is_done(dataclasses.replace(experiment, conf=conf), "corpus")
    folder.table.write_text("two rows more")
    assert not is_done(experiment, "corpus")
    with pytest.raises(FileNotFoundError, match=r"run bash run.sh --recipe .* --stage 1\."):
        require_done(experiment, "corpus")


def test_a_corpus_that_went_away_leaves_nothing_done(corpora, tmp_path, monkeypatch):
    monkeypatch.chdir(corpora)
    experiment = dataclasses.replace(
        open_case(CASES[0]), data=DataFolder(tmp_path, shared=tmp_path)
    )
    mark_done(experiment, "preflight", [])
    roots = dataclasses.replace(experiment.roots, given={"speech": Path("no such folder")})
    assert is_done(experiment, "preflight")
    assert not is_done(dataclasses.replace(experiment, roots=roots), "preflight")


def test_a_fixed_list_leaves_no_packs_for_dynamic_mixing(corpora, tmp_path, monkeypatch):
    """In one data folder stage 3 was found done, and stage 4 found nothing to draw from."""
    monkeypatch.chdir(corpora)
    folder = DataFolder(tmp_path, shared=tmp_path)
    dynamic = dataclasses.replace(open_case(CASES[0]), data=folder)
    training = dataclasses.replace(dynamic.conf.training, dynamic_mixing=False)
    conf = dataclasses.replace(dynamic.conf, training=training)
    fixed = dataclasses.replace(dynamic, conf=conf)
    mark_done(fixed, "audio", [])
    assert is_done(fixed, "audio") and not is_done(dynamic, "audio")
    pack = folder.packed(dynamic.conf.audio.sample_rate) / "ann.i16"
    pack.parent.mkdir()
    pack.touch()
    assert not is_done(dynamic, "audio")  # of a run that was killed while it packed
    mark_done(dynamic, "audio", [pack])
    assert is_done(dynamic, "audio") and is_done(fixed, "audio")
    pack.unlink()
    assert not is_done(dynamic, "audio")
