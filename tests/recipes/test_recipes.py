"""Every shipped recipe: its config, and the whole way through the real entry point."""

import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import soundfile

from separation.config.load import load_conf
from separation.config.recipes import list_recipes
from separation.errors import UserError
from separation.files import format_rows, read_json, read_rows
from separation.models.registry import build_model
from tests.conftest import ROOT, make_voice
from tests.recipes.test_run_sh import TINY
from tests.support.librimix_tree import read_reference_rows, write_tree
from tests.support.small_models import list_small
from tests.support.wsj0_tree import LISTS, list_paths

RECIPES = list_recipes(ROOT)
SUBSETS = ("train-clean-100", "dev-clean", "test-clean")
TINY_MODEL = {key: value for key, value in TINY.items() if key.startswith("model")}
SHORT = TINY_MODEL | {
    "model.kernel_size": 40,
    "model.stride": 20,
    "training.init_from": "",
    "training.compile": "off",
    "training.epochs": 1,
    "training.batch_size": 2,
    "training.segment_s": 1.0,
    "training.num_workers": 0,
}


def sets(**changes) -> list[str]:
    values = SHORT | changes
    return [word for key, value in values.items() for word in ("--set", f"{key}={value}")]


def test_every_recipe_has_a_run_script_and_a_known_name():
    assert [
        *("aishell3mix/ConvTasNet", "aishell3mix/ConvTasNet_small"),
        *("aishell3mix/ConvTasNet_small/10000x4s", "aishell3mix/ConvTasNet_small/800x2s"),
        *("aishell3mix/STFTMask", "aishell3mix/SepReformer"),
        *("folder/ConvTasNet", "folder/ConvTasNet/causal", "folder/STFTMask"),
        *("folder/SepReformer", "librimix/ConvTasNet", "librimix/ConvTasNet/L32"),
        *("librimix/ConvTasNet/L40", "librimix/ConvTasNet/causal"),
        *("librimix/ConvTasNet_small", "librimix/ConvTasNet_small/H512"),
        *("librimix/ConvTasNet_small/X7R3", "librimix/DPRNNTasNet", "librimix/STFTMask"),
        "librimix/SepReformer",
        *(f"librimix/SepReformer/{size}" for size in "BLMS"),
        *("librimix/SuDORMRFNet", "mini/ConvTasNet", "mini/ConvTasNet/from_scratch"),
        *("mini/STFTMask", "wsj0mix/ConvTasNet", "wsj0mix/SepReformer"),
        *(f"wsj0mix/SepReformer/{size}" for size in "BLMS"),
    ] == RECIPES
    for recipe in RECIPES:
        mix, model = recipe.split("/")[:2]
        assert f"--recipe {mix}/{model}" in (ROOT / "egs" / mix / model / "run.sh").read_text()
        assert (ROOT / "egs" / mix / "README.md").is_file()


@pytest.mark.parametrize(
    ("recipe", "millions", "field_s"),
    [
        ("librimix/ConvTasNet", 5.05, 1.53),
        ("librimix/ConvTasNet/L32", 5.07, 3.06),
        ("librimix/ConvTasNet/L40", 5.08, 3.83),
        ("librimix/ConvTasNet_small", 1.47, 1.28),
        ("librimix/ConvTasNet_small/X7R3", 2.18, 1.91),
        ("wsj0mix/ConvTasNet", 5.05, 1.53),
    ],
)
def test_configurations_are_the_papers(recipe, millions, field_s):
    conf = load_conf(ROOT, recipe, [])
    model = build_model(conf.model, conf.mixtures.n_src, conf.audio.sample_rate)
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, abs=0.02)
    assert conf.model.receptive_field() / conf.audio.sample_rate == pytest.approx(field_s, abs=0.01)


def test_one_value_takes_a_recipe_to_16_khz():
    low = load_conf(ROOT, "librimix/ConvTasNet", []).model
    high = load_conf(ROOT, "librimix/ConvTasNet", ["audio.sample_rate=16000"]).model
    assert (high.kernel_size, high.stride) == (32, 16)  # the published 16 kHz checkpoint's
    assert low.receptive_field() / 8000 == high.receptive_field() / 16000
    with pytest.raises(UserError, match="no whole number"):
        load_conf(ROOT, "librimix/ConvTasNet", ["audio.sample_rate=8050"])


@pytest.fixture(scope="module")
def corpora(tmp_path_factory) -> Path:
    """A small LibriSpeech with SPEAKERS.TXT, WHAM, and LibriMix's metadata cut short."""
    folder = tmp_path_factory.mktemp("corpora")
    speakers = {}
    for n_src in (2, 3):
        rows = read_reference_rows(n_src)
        write_tree(rows, folder / "LibriSpeech", folder / "wham")
        for subset in SUBSETS:
            of_subset = [r for r in rows if r["source_1_path"].startswith(subset)]
            chosen = (of_subset or rows)[:5]
            place = folder / "LibriMix" / "metadata" / f"Libri{n_src}Mix"
            place.mkdir(parents=True, exist_ok=True)
            (place / f"libri{n_src}mix_{subset}.csv").write_text(format_rows(chosen))
        paths = {r[f"source_{k}_path"] for r in rows for k in range(1, n_src + 1)}
        for path in sorted(paths):
            seed = zlib.crc32(path.encode())
            speaker = Path(path).stem.split("-")[0]
            speakers[speaker] = "FM"[int(speaker) % 2]
            voice = make_voice(seed % 1000, 90 + int(speaker) % 170, 3 + seed % 100 / 90, 16000)
            soundfile.write(folder / "LibriSpeech" / path, voice, 16000, "PCM_16")
        for path in sorted({row["noise_path"] for row in rows}):
            noise = np.random.default_rng(zlib.crc32(path.encode())).normal(0, 0.05, (50001, 2))
            soundfile.write(folder / "wham" / path, noise, 16000, "PCM_16")
    lines = [f"{speaker:5}| {sex} | x | 1.0 | A | B\n" for speaker, sex in speakers.items()]
    (folder / "LibriSpeech" / "SPEAKERS.TXT").write_text(";ID | SEX | ...\n" + "".join(lines))
    _keep_three_apart(folder / "LibriMix" / "metadata" / "Libri3Mix")
    return folder


def _keep_three_apart(folder: Path) -> None:
    """No committed three-speaker row is of a training list: some of dev's stand for it."""
    rows = read_rows(folder / "libri3mix_dev-clean.csv")

    def speakers(row: dict[str, str]) -> set[str]:
        return {Path(row[f"source_{k}_path"]).stem.split("-")[0] for k in (1, 2, 3)}

    apart = [row for row in rows[1:] if not speakers(row) & speakers(rows[0])]
    (folder / "libri3mix_train-clean-100.csv").write_text(format_rows(rows[:1]))
    (folder / "libri3mix_dev-clean.csv").write_text(format_rows(apart))


def roots(corpora: Path, *names: str) -> list[str]:
    places = {"librispeech": "LibriSpeech", "librimix": "LibriMix", "wham": "wham"}
    return [word for name in names for word in ("--corpus", f"{name}={corpora / places[name]}")]


def places(folder: Path) -> list[str]:
    return ["--data", str(folder / "data"), "--exp", str(folder / "exp"), "--device", "cpu"]


@pytest.fixture(scope="module")
def librimix_run(corpora, tmp_path_factory) -> Path:
    """The small LibriMix recipe on published rows, all stages."""
    import subprocess

    folder = tmp_path_factory.mktemp("librimix_run")
    command = ["bash", "egs/librimix/ConvTasNet_small/run.sh", *places(folder), *sets()]
    command += roots(corpora, "librispeech", "librimix")
    done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "is not the list that was published" in done.stderr  # it is cut short here
    return folder


def read_scores(folder: Path, name: str) -> dict[str, dict[str, str]]:
    evaluation = folder / "exp/librimix/ConvTasNet_small/default/evaluation"
    return {row["mixture_ID"]: row for row in read_rows(evaluation / "test" / f"{name}.csv")}


@pytest.mark.slow
def test_librimix_recipe_goes_the_whole_way(librimix_run, corpora):
    experiment = librimix_run / "exp" / "librimix" / "ConvTasNet_small" / "default"
    rows = read_rows(experiment / "evaluation" / "test" / "model.csv")
    published = read_rows(corpora / "LibriMix/metadata/Libri2Mix/libri2mix_test-clean.csv")
    assert [row["mixture_ID"] for row in rows] == [row["mixture_ID"] for row in published]
    table = read_rows(librimix_run / "data/librimix/train-100-2spk/metadata/test.csv")
    assert [row["source_1_gain"] for row in table] == [row["source_1_gain"] for row in published]
    about = read_json(experiment / "evaluation" / "summary.json")["about"]
    assert set(about) >= {"train", "dev", "test"}
    assert "speakers never heard" in (experiment / "RESULTS.md").read_text()
    assert "<audio" in (experiment / "report.html").read_text()


OTHER_MODELS = {  # of LibriMix's recipes, one for each model that is no Conv-TasNet
    name: recipe
    for recipe in RECIPES
    if recipe.startswith("librimix/")
    and recipe.count("/") == 1
    and (name := load_conf(ROOT, recipe, []).model.name) != "ConvTasNet"
}


# Every configuration trains, goes on and loads in tests/recipes/test_every_configuration.py; of
# whole runs CI has the newest and the plainest model.
IN_CI = ("SepReformer", "STFTMask")


@pytest.mark.parametrize(
    "model",
    [pytest.param(name, marks=() if name in IN_CI else pytest.mark.long) for name in OTHER_MODELS],
)
@pytest.mark.slow
def test_other_models_train_are_scored_and_reported(model, librimix_run, corpora, call):
    changes = {key: value for key, value in SHORT.items() if not key.startswith("model")}
    values = [*list_small(model), *(f"{key}={value}" for key, value in changes.items())]
    script = f"egs/{OTHER_MODELS[model]}/run.sh"
    command = ["bash", script, "--stage", "2", *places(librimix_run)]
    command += roots(corpora, "librispeech", "librimix")
    done = call(*command, *(word for value in values for word in ("--set", value)))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "stage 2 metadata: done" in done.stdout  # the data of librimix/ConvTasNet_small
    experiment = librimix_run / "exp" / OTHER_MODELS[model] / "default"
    rows = read_rows(experiment / "evaluation" / "test" / "model.csv")
    assert all(float(row["si_sdr"]) > -60 for row in rows) and rows
    told = (experiment / "RESULTS.md").read_text()
    assert "STFTMask" in told if model != "STFTMask" else "difference" not in told


@pytest.mark.long
@pytest.mark.slow
def test_existing_audio_gives_the_same_scores_as_mixing_on_the_fly(
    librimix_run, corpora, call, tmp_path
):
    tables = [
        corpora / "LibriMix/metadata/Libri2Mix" / f"libri2mix_{subset}.csv" for subset in SUBSETS
    ]
    render = [sys.executable, "-m", "separation", "render", *tables, "--out", tmp_path]
    done = call(*render, *roots(corpora, "librispeech"))
    assert done.returncode == 0, done.stdout
    recipe = ["bash", "run.sh", "--recipe", "librimix/ConvTasNet_small", *places(tmp_path)]
    mixtures = ["--corpus", f"mixtures={tmp_path / 'Libri2Mix'}"]
    done = call(*recipe, *mixtures, *sets())
    assert done.returncode == 0, done.stdout
    for name in ("mixture", "irm"):
        ours, theirs = read_scores(tmp_path, name), read_scores(librimix_run, name)
        assert set(ours) == set(theirs)
        for mixture_id, row in theirs.items():
            assert [ours[mixture_id][k] for k in ("si_sdr", "sdr")] == [row["si_sdr"], row["sdr"]]
    done = call(*recipe, *mixtures, *sets(**{"audio.sample_rate": 16000}), "--tag", "other")
    assert done.returncode == 2 and "should hold train" in done.stdout
    done = call(*recipe, *mixtures, *sets(**{"mixtures.n_src": 3}), "--tag", "three")
    assert done.returncode == 2 and "mixtures.n_src=2" in done.stdout


@pytest.mark.slow
def test_folders_of_mixtures_serve_any_recipe(call, tmp_path):
    for split, count in (("train", 4), ("dev", 2), ("test", 2)):
        for number in range(count):
            voices = [make_voice(number, pitch, 1.5, 8000) for pitch in (100, 220)]
            signals = {"s1": voices[0], "s2": voices[1], "mix": voices[0] + voices[1]}
            for name, samples in signals.items():
                folder = tmp_path / split / name
                folder.mkdir(parents=True, exist_ok=True)
                soundfile.write(folder / f"{number}.wav", 0.4 * samples, 8000)
    given = [word for s in ("train", "dev", "test") for word in ("--corpus", f"{s}={tmp_path / s}")]
    small = {k: v for k, v in SHORT.items() if k not in ("model.kernel_size", "model.stride")}
    words = [word for key, value in small.items() for word in ("--set", f"{key}={value}")]
    words += ["--set", "training.epoch_mixtures=4"]
    done = call("bash", "run.sh", *places(tmp_path), *given, *words)
    assert done.returncode == 0, done.stdout
    assert "| test | irm |" in done.stdout
    (tmp_path / "test" / "s2" / "1.wav").unlink()
    done = call("bash", "run.sh", *places(tmp_path), *given, *words, "--tag", "again")
    assert done.returncode == 2 and "1.wav" in done.stdout


@pytest.mark.long
@pytest.mark.slow
def test_noisy_three_speakers_from_a_fixed_list_and_an_exact_pack(corpora, call, tmp_path):
    changes = {
        "mixtures.n_src": 3,
        "mixtures.task": "sep_noisy",
        "mixtures.mode": "max",
        "training.dynamic_mixing": "false",
        "audio.exact_pack": "true",
    }
    recipe = ["bash", "run.sh", "--recipe", "librimix/ConvTasNet/L32", *places(tmp_path)]
    done = call(*recipe, *roots(corpora, "librispeech", "librimix", "wham"), *sets(**changes))
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "exp/librimix/ConvTasNet/L32/report.html").is_file()
    assert list((tmp_path / "data/librimix/train-100-3spk-noisy/exact").glob("*.i16"))


@pytest.mark.slow
def test_noisy_dynamic_mixing(corpora, call, tmp_path):
    for name in ("cv", "tr", "tt"):
        (corpora / "wham" / name).mkdir(exist_ok=True)
    recipe = ["bash", "run.sh", "--recipe", "librimix/ConvTasNet_small", *places(tmp_path)]
    changes = sets(**{"mixtures.task": "sep_noisy"})
    given = roots(corpora, "librispeech", "librimix", "wham")
    done = call(*recipe, *given, *changes, "--stop-stage", "4")
    assert done.returncode == 0, done.stdout
    assert list((tmp_path / "data/librimix").rglob("packed_8000/noise/*.i16"))


@pytest.mark.long
def test_drawn_librimix_is_the_same_again(corpora, call, tmp_path):
    recipe = ["bash", "run.sh", "--recipe", "librimix/ConvTasNet_small", "--stop-stage", "2"]
    changes = sets(**{"metadata.draw": "true", "mixtures.n_dev": 4, "mixtures.n_test": 4})
    texts = []
    for n_jobs in ("1", "2"):
        folder = tmp_path / n_jobs
        given = [*roots(corpora, "librispeech"), *places(folder), "--nj", n_jobs]
        done = call(*recipe, *given, *changes)
        assert done.returncode == 0, done.stdout
        tables = sorted(folder.rglob("metadata/*.csv"))
        assert [table.stem for table in tables] == ["dev", "test", "train"]
        texts.append([table.read_text() for table in tables])
    assert texts[0] == texts[1]


@pytest.mark.slow
def test_wsj0mix_recipe_goes_the_whole_way(call, tmp_path):
    for path in list_paths(2):
        target = (tmp_path / "disc" / path).with_suffix(".wv1")
        target.parent.mkdir(parents=True, exist_ok=True)
        seed = zlib.crc32(path.encode()) % 1000
        voice = 0.3 * make_voice(seed, 90 + seed % 170, 1.5, 16000)
        soundfile.write(target, voice, 16000, "PCM_16", format="NIST")
    given = ["--corpus", f"wsj0={tmp_path / 'disc'}", "--corpus", f"wsj0mix={LISTS}"]
    recipe = ["bash", "egs/wsj0mix/ConvTasNet/run.sh", *places(tmp_path)]
    done = call(*recipe, *given, *sets(**{"training.epoch_mixtures": 4}))
    assert done.returncode == 0, done.stdout
    assert "| test | irm |" in done.stdout
    victim = next((tmp_path / "disc").rglob("*.wv1"))
    victim.unlink()
    done = call(*recipe, *given, *sets(), "--tag", "again")
    assert done.returncode == 2 and victim.stem in done.stdout and "is it whole" in done.stdout


def test_mistakes_with_published_lists_are_one_sentence(corpora, call, tmp_path):
    recipe = ["bash", "run.sh", "--recipe", "librimix/ConvTasNet_small", *places(tmp_path)]
    lists = tmp_path / "metadata"
    for n_src in (2, 3):
        (lists / f"Libri{n_src}Mix").mkdir(parents=True)
        for subset in SUBSETS:
            source = corpora / f"LibriMix/metadata/Libri{n_src}Mix/libri{n_src}mix_{subset}.csv"
            (lists / f"Libri{n_src}Mix" / source.name).write_bytes(source.read_bytes())
    two, three = lists / "Libri2Mix", lists / "Libri3Mix"
    given = [*roots(corpora, "librispeech"), "--corpus", f"librimix={tmp_path}"]

    def fails(message: str, *options: str) -> None:
        done = call(*recipe, *given, *sets(), "--stop-stage", "2", *options)
        assert done.returncode == 2 and message in done.stdout, done.stdout
        assert "Traceback" not in done.stdout

    fails("metadata.train=train", "--set", "metadata.train=train")
    fails("no such folder", "--corpus", "wham=/no/such", "--set", "mixtures.task=sep_noisy")
    good = (two / "libri2mix_test-clean.csv").read_text()
    other = (three / "libri3mix_test-clean.csv").read_text()
    (two / "libri2mix_test-clean.csv").write_text(other)
    fails("3 sources a mixture where mixtures.n_src=2")
    dev = (two / "libri2mix_dev-clean.csv").read_text()
    (two / "libri2mix_test-clean.csv").write_text(dev)
    fails("dev and test share")
    rows = good.replace("test-clean/", "test-clean/x", 3)
    (two / "libri2mix_test-clean.csv").write_text(rows)
    fails("files that the lists name are not there")
    (two / "libri2mix_test-clean.csv").unlink()
    fails("clone of https://github.com/JorisCos/LibriMix")


def test_broken_corpus_files_are_all_listed_in_stage_2(corpora, call, tmp_path):
    import shutil

    shutil.copytree(corpora / "LibriSpeech", tmp_path / "LibriSpeech")
    rows = read_rows(corpora / "LibriMix/metadata/Libri2Mix/libri2mix_test-clean.csv")
    paths = [tmp_path / "LibriSpeech" / row["source_1_path"] for row in rows[:3]]
    paths[0].write_bytes(paths[0].read_bytes()[:9000])
    soundfile.write(paths[1], make_voice(0, 100, 3.5, 8000), 8000)
    soundfile.write(paths[2], make_voice(0, 100, 1.0, 16000), 16000)
    recipe = ["bash", "run.sh", "--recipe", "librimix/ConvTasNet_small", *places(tmp_path)]
    given = ["--corpus", f"librispeech={tmp_path / 'LibriSpeech'}", *roots(corpora, "librimix")]
    done = call(*recipe, *given, *sets(), "--stop-stage", "2")
    assert done.returncode == 2 and "Traceback" not in done.stdout
    for path, reason in zip(paths, ("truncated", "8000 Hz", "fewer than 48000"), strict=True):
        assert any(str(path) in line and reason in line for line in done.stdout.splitlines())
