"""The ladders in benchmarks/ladder: their corpora leak nothing, and a call of a GPU at toy size."""

import os
import shutil
import subprocess
import tarfile
from collections import defaultdict
from pathlib import Path

import pytest
import soundfile
import torch

from benchmarks.ladder import collect, page
from benchmarks.ladder.prepare import TOY, main, prepare
from benchmarks.voices import make_voice, write_voices
from separation.ablate.ladder import read_ladder
from separation.ablate.options import Options
from separation.ablate.plan import Run, plan_runs
from separation.ablate.result import read_results
from separation.evaluation.intervals import MeanInterval
from separation.files import format_rows, read_rows, write_text
from separation.models.checkpoint.load import load_model
from separation.stages.preflight import check_start
from tests.conftest import ROOT

LADDERS = ROOT / "benchmarks" / "ladder"
N_TABLE, N_TRAIN, N_READERS = 16, 10, 10


def write_speech(folder: Path) -> None:
    """Ten training and six test voices with ages, and ten readers, some with a speaker's number."""
    write_voices(folder / "toy", N_TABLE, 6, 2.2, 16000)
    rows = []
    for number, speaker in enumerate(sorted((folder / "toy").iterdir())):
        for path in sorted(speaker.iterdir()):
            row = {"speaker": f"{number:04d}", "sex": speaker.name[-1], "utterance": ""}
            row |= {"age": "9" if number % 4 > 1 else "30", "path": f"{speaker.name}/{path.name}"}
            row["utterance"] = f"{number:04d}{path.stem}"
            rows.append(row | {"split": "train" if number < N_TRAIN else "test"})
    write_text(folder / "toy" / "utterances.csv", format_rows(rows))
    lines = ["; ID |SEX| SUBSET | MINUTES | NAME"]
    for number in range(N_READERS):
        reader = str(1000 + number)
        own = folder / "LibriSpeech" / "train-clean-100" / reader / "7"
        own.mkdir(parents=True)
        voice = make_voice(500 + number, 120 + 9 * number, 4.0, 16000)
        soundfile.write(own / f"{reader}-7-0000.flac", voice, 16000)
        lines.append(f"{reader} | {'FM'[number % 2]} | train-clean-100 | 1.0 | Name")
    write_text(folder / "LibriSpeech" / "SPEAKERS.TXT", "\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("ladder")
    write_speech(folder / "speech")
    prepare(folder / "speech", folder / "inputs", TOY, 1)
    return folder


def read_corpus(folder: Path, name: str) -> dict[str, list[dict[str, str]]]:
    """Rows of a corpus by split."""
    rows = defaultdict(list)
    for row in read_rows(folder / "inputs" / name / "utterances.csv"):
        rows[row["split"]].append(row)
    return rows


def list_heard(rows: list[dict[str, str]]) -> tuple[set[str], set[str]]:
    """Speakers and paths of a test table."""
    speakers = {row[f"speaker_{k}_ID"] for row in rows for k in (1, 2)}
    return speakers, {row[f"source_{k}_path"] for row in rows for k in (1, 2)}


@pytest.mark.parametrize("corpus", ["few", "hundred", "all"])
def test_no_test_mixture_is_heard_in_training(prepared, corpus):
    """Readers and children and adults are strangers; the seen are heard in other utterances."""
    splits = read_corpus(prepared, corpus)
    trained = {row["speaker"] for row in splits["train"]}
    paths = {row["path"] for row in splits["train"] + splits["dev"]}
    assert not trained & {row["speaker"] for row in splits["dev"]}
    for name in ("adults", "children", "seen", "librispeech"):
        speakers, named = list_heard(read_rows(prepared / "inputs" / "tests" / f"{name}.csv"))
        assert not paths & named
        if name == "seen":
            assert speakers <= trained
        else:
            assert not speakers & (trained | {row["speaker"] for row in splits["dev"]})


def test_each_corpus_holds_the_one_before_and_dev_is_the_same(prepared):
    few, hundred, everyone = (read_corpus(prepared, name) for name in ("few", "hundred", "all"))
    counts = [len({row["speaker"] for row in own["train"]}) for own in (few, hundred, everyone)]
    assert counts == [TOY.few, TOY.hundred, N_TRAIN - TOY.dev + N_READERS - 4 - TOY.dev_readers]
    paths = [{row["path"] for row in own["train"]} for own in (few, hundred, everyone)]
    assert paths[0] < paths[1] < paths[2]
    assert few["dev"] == hundred["dev"] == everyone["dev"]


def test_the_small_models_test_speakers_are_those_of_its_split(prepared):
    """Stage 1 and the further tables hold the same speakers out, so it hears none of them."""
    from separation.corpora.splits import assign_splits
    from separation.corpora.table import scan_recordings

    (run, _) = plan_small(prepared)
    experiment = run.experiment
    inputs, conf = experiment.inputs, experiment.conf
    scan = scan_recordings(inputs.recordings, inputs.speech_root, conf.corpus, 1, prepared / "scan")
    split = {row.path: row.split for row in assign_splits(scan.utterances, conf.splits)}
    assert len(split) == N_TABLE * 6 + N_READERS
    for table in (prepared / "inputs" / "small_tests").glob("*.csv"):
        assert {split[path] for path in list_heard(read_rows(table))[1]} == {"test"}


def plan_small(folder: Path) -> list[Run]:
    path = LADDERS / "small_model.yml"
    options = Options(ladder=path, inputs=folder / "inputs", out=folder / "small")
    tables = {"test": "split:test"}  # toy speech gives few of the others
    ladder = read_ladder(path)
    object.__setattr__(ladder, "tests", tables)
    return plan_runs(ladder, options)


def test_every_rung_is_one_valid_change_of_the_recipe(prepared):
    path = LADDERS / "speech.yml"
    options = Options(ladder=path, inputs=prepared / "inputs", out=prepared / "plan")
    runs = plan_runs(read_ladder(path), options)
    confs = {run.rung.name: run.experiment.conf for run in runs}
    a, b, j = confs["a"], confs["b"], confs["j"]
    assert a.audio.sample_rate == 16000 and a.model.kernel_size == b.model.kernel_size == 40
    assert a.model.receptive_field() / 16000 == pytest.approx(0.64, abs=0.01)
    assert [name for name, conf in confs.items() if not conf.training.dynamic_mixing] == ["a", "b"]
    assert {conf.training.batch_size * conf.training.segment_s for conf in confs.values()} == {48}
    assert {run.steps for run in runs} == {6000}
    corpora = [run.rung.corpora["speech"] for run in runs]
    assert corpora == ["few"] * 4 + ["hundred"] + ["all"] * 5
    size = (j.model.n_filters, j.model.kernel_size, j.model.n_blocks, j.model.n_repeats)
    assert size == (512, 16, 8, 3) and j.model.hid_chan == 512


def test_the_small_models_trainings_begin_as_their_labels_say(prepared):
    tuned, scratch = (run.experiment.conf for run in plan_small(prepared))
    assert tuned.training.init_from == "shipped" and scratch.training.init_from == ""
    check_start(tuned)
    assert (tuned.training.lr, scratch.training.lr) == (0.001, 0.002)
    assert tuned.model == scratch.model and tuned.splits == scratch.splits


def test_speech_without_a_table_is_refused(tmp_path, capsys):
    assert main([str(tmp_path), str(tmp_path / "inputs")]) == 2
    assert "holds 0 tables" in capsys.readouterr().err


def test_a_call_without_all_parts_of_the_speech_is_refused(call, tmp_path):
    script = LADDERS / "gpu_call.sh"
    done = call("bash", script, tmp_path)
    assert done.returncode == 2 and "holds no LibriSpeech" in done.stdout
    assert "MINUTES=8.5" in call("bash", script, "--help").stdout


TINY = [
    "training.batch_size=2", "training.micro_batch=2", "training.segment_s=1.0",
    "training.num_workers=0", "training.compile=off", "mixtures.n_dev=2", "mixtures.n_test=2",
    "mixtures.n_train=4", "model.n_filters=8", "model.hid_chan=8", "model.bn_chan=8",
    "model.n_blocks=1",
]  # fmt: skip


@pytest.fixture(scope="module")
def called(prepared) -> Path:
    """A whole call at toy size, but for the small model: of that a folder that is not done."""
    settings = {"WORK": prepared / "work", "OUT": prepared / "out", "STEPS": 2, "SEEDS": 1}
    settings |= {"SMALL_STEPS": 0, "RUNGS": "c a", "PARALLEL": 2, "DEVICE": "cpu", "TOY": 1}
    settings |= {"MINUTES": 9, "COMMIT": "c0ffee"}
    settings["SETS"] = " ".join(f"--set {text}" for text in TINY)
    environment = os.environ | {name: str(value) for name, value in settings.items()}
    command = ["bash", str(LADDERS / "gpu_call.sh"), str(prepared / "speech")]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=590
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    experiments = Path("exp", "folder", "ConvTasNet")
    trained = prepared / "work" / "speech" / experiments / "a-seed0"
    shutil.copytree(trained, prepared / "work" / "small" / experiments / "tuned-seed0")
    return prepared


@pytest.mark.long
@pytest.mark.slow
def test_a_call_leaves_small_files(called):
    files = sorted((called / "out").iterdir())
    assert len(files) <= 8 and max(path.stat().st_size for path in files) < 15e6
    with tarfile.open(called / "out" / "results.tar.gz") as archive:
        names = archive.getnames()
    assert {"speech/results/a-seed0.json", "speech/results/table.md"} <= set(names)
    assert "speech/logs/c-seed0.txt" in names
    a, c = read_results(called / "work" / "speech" / "results")
    assert set(a.tests) == {"adults", "children", "librispeech", "seen"}
    assert (a.rung, c.rung, a.speakers, a.commit) == ("a", "c", TOY.few, "c0ffee")


@pytest.mark.long
@pytest.mark.slow
def test_kept_weights_are_half_and_load(called):
    half = called / "out" / "ladder_small_f16.pth"
    stored = torch.load(half, weights_only=True)["state_dict"]
    assert {value.dtype for value in stored.values()} == {torch.float16}
    whole = load_model(collect.choose_models(called / "work")["ladder_small"]).state_dict()
    for name, value in load_model(half).state_dict().items():
        assert torch.allclose(value.float(), whole[name], rtol=1e-3, atol=1e-4)


@pytest.mark.long
@pytest.mark.slow
def test_state_travels_to_another_machine(called, tmp_path):
    """A finished training is finished there; one that is not takes its checkpoint along."""
    work = called / "work"
    collect.pack_state(work, tmp_path / "out", piece_bytes=1_000_000)
    remarks = collect.pack_state(work, tmp_path / "tiny", piece_bytes=10_000)
    assert remarks[0] == "state: no room for tuned-seed0; elsewhere it begins anew"
    collect.unpack_state(tmp_path / "out", tmp_path / "elsewhere")
    assert len(read_results(tmp_path / "elsewhere" / "speech" / "results")) == 2
    name = Path("small/exp/folder/ConvTasNet/tuned-seed0/checkpoints/last.ckpt")
    assert (tmp_path / "elsewhere" / name).read_bytes() == (work / name).read_bytes()


def test_the_plan_of_the_original_analysis_resolves():
    """AISHELL-3 itself is not at hand: the configs are looked at, and no run is planned."""
    from separation.ablate.ladder import format_overrides
    from separation.config.load import load_conf

    ladder = read_ladder(ROOT / "egs" / "aishell3mix" / "ConvTasNet_small" / "ladder.yml")
    confs = [
        load_conf(ROOT, ladder.recipe, format_overrides(rung.changes)) for rung in ladder.rungs
    ]
    few = load_conf(ROOT, "aishell3mix/ConvTasNet_small/800x2s", [])
    assert confs[0].section("splits", "mixtures", "audio", "model") == few.section(
        "splits", "mixtures", "audio", "model"
    )
    assert {conf.training.segment_s * conf.training.batch_size for conf in confs} == {16}
    fields = [conf.model.receptive_field() / conf.audio.sample_rate for conf in confs[3:5]]
    assert fields == pytest.approx([0.64, 1.28], abs=0.01)


def test_the_page_is_filled_from_results_and_says_what_held(prepared, tmp_path):
    import dataclasses

    from separation.ablate.result import write_result
    from tests.ablate.test_ablate import make_result

    text = f"Before\n{page.BEGIN}\nold\n{page.END}\nAfter\n"
    assert page.fill_page(text, tmp_path) == text.replace("old", "Not measured yet.")
    scores = {"b": 1.0, "f": 6.4, "g": 6.1, "h": 6.2, "j": 7.5}
    for rung, value in scores.items():
        result = make_result(rung, "", 0, (value, value, value, value))
        write_result(tmp_path / f"{rung}.json", dataclasses.replace(result, ladder="speech"))
    filled = page.fill_page(text, tmp_path)
    assert "| data quantity | 5 to 6 dB | f over b | 5.40 [5.40, 5.40] | confirmed |" in filled
    assert "| data set | 1 to 2 dB | no two rungs | – | not decided |" in filled
    assert (
        "| length of segments | 0.5 to 1 dB | g over f | -0.30 [-0.30, -0.30] | refuted |" in filled
    )
    assert (
        "| model, small for large | 1 to 2 dB | j over h | 1.30 [1.30, 1.30] | confirmed |"
        in filled
    )
    short = MeanInterval(4, 0.5, 0.4, 0.6)
    assert page.Guess(cause="x", low=1, high=2).decide(short) == "refuted"
    grows = page.Guess(cause="x", low=1, high=2, grows=True)
    assert grows.decide(short) == "not decided: at least 0.4 dB"
    assert grows.decide(None) == "not decided"


def test_the_page_holds_the_results_of_the_repository():
    text = page.PAGE.read_text(encoding="utf-8")
    assert page.fill_page(text, page.RESULTS) == text


@pytest.mark.parametrize("name", ["speech", "small_model"])
def test_every_rung_takes_the_measures_that_make_a_gpu_fast(prepared, name):
    """A micro-batch as large as the batch is no accumulation, so CUDA graphs may record it."""
    from separation.ablate.ladder import format_overrides
    from separation.config.load import load_conf

    fast = ["training.layout=btc", "training.own_gradients=on", "training.cuda_graphs=true"]
    for rung in read_ladder(LADDERS / f"{name}.yml").rungs:
        conf = load_conf(ROOT, "folder/ConvTasNet", format_overrides(rung.changes) + fast)
        assert conf.training.forward_items == conf.training.batch_size
