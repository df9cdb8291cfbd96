"""``import separation``: light, as documented, doing what the commands do, clear about faults."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import separation
from separation.evaluation.score_rows import read_scores
from separation.files import format_rows
from tests.conftest import ROOT, make_voice
from tests.support.librimix_tree import read_reference_rows, write_tree
from tests.support.mixture_folders import save_small_model, write_folder

ROWS = read_reference_rows(2)[:4]
PUBLIC = ("open_dataset", "open_model", "render", "score", "separate", "separate_files")


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with all that docs/python.md names."""
    folder = tmp_path_factory.mktemp("place")
    save_small_model(folder / "exp/mini/ConvTasNet/default/best_model.pth", n_steps=20)
    soundfile.write(folder / "call.wav", make_voice(1, 120, 1.3, 11025), 11025)
    write_folder(folder / "recordings", 3, rate=16000)
    write_tree(ROWS, folder / "LibriSpeech", folder / "wham_noise")
    (folder / "libri2mix_test-clean.csv").write_text(format_rows(ROWS))
    return folder


@pytest.fixture
def here(place, monkeypatch) -> Path:
    monkeypatch.chdir(place)
    return place


@pytest.fixture(scope="module")
def model(place) -> separation.LoadedModel:
    return separation.open_model(place / "exp/mini/ConvTasNet/default", device="cpu")


def run_apart(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_the_package_is_light_and_says_what_it_offers():
    heavy = "{'numpy', 'torch', 'yaml', 'asteroid', 'soundfile', 'separation.api'}"
    code = f"import separation, sys; print(separation.__version__, {heavy} & set(sys.modules))"
    assert run_apart(code) == f"{separation.__version__} set()"
    assert set(separation.__all__) <= set(dir(separation))
    for name in separation.__all__:
        assert getattr(separation, name) is not None
    assert all(len(getattr(separation, name).__doc__) > 200 for name in PUBLIC)
    with pytest.raises(AttributeError, match="no attribute 'seperate'"):
        separation.seperate  # noqa: B018


def test_no_public_name_is_that_of_a_module():
    """``separation.separate`` was a package, which took the function's place when it was loaded."""
    modules = {path.stem for path in (ROOT / "separation").iterdir()}
    assert not modules & {*separation.__all__}
    code = "import separation.recordings.command, separation; print(callable(separation.separate))"
    assert run_apart(code) == "True"


def test_scores_and_tables_need_no_torch():
    code = """import sys, numpy, separation
signals = numpy.random.default_rng(0).standard_normal((2, 4000))
separation.score(signals, signals[::-1], mixture=signals.sum(0), sample_rate=8000)
separation.open_dataset
print("torch" in sys.modules, "asteroid" in sys.modules)"""
    assert run_apart(code) == "False False"


def test_every_example_of_the_documentation_runs(here, capsys):
    text = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.M | re.S)
    names: dict = {}
    exec(compile("\n".join(blocks), "docs/python.md", "exec"), names)
    assert all(f"separation.{name}(" in text for name in PUBLIC)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "separated/call_s1.wav separated/call_s2.wav"
    assert printed[1] == "(2, 14332) float32"
    assert names["means"]["n_scored"] == 3 and names["means"]["si_sdri"]["n"] == 3
    assert ROWS[0].items() <= names["row"].columns.items()
    assert names["signals"].noise.shape == names["signals"].mixture.shape
    uneven = names["uneven"]
    assert np.abs(uneven.sources.sum(0) - uneven.mixture).max() <= 2 / 32768 + 1e-6


def test_the_command_of_the_documentation_writes_what_the_function_does(here, tmp_path):
    text = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    words = re.search(r"^\.venv/bin/python (-m separation separate .*)$", text, re.M)[1].split()
    words[words.index("--out") + 1] = str(tmp_path)
    call = [sys.executable, *words, "--device", "cpu"]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(call, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    paths = separation.separate_files(["call.wav"], "of Python", "exp/mini/ConvTasNet/default")
    assert [str(tmp_path / path.name) for path in paths] == done.stdout.split()
    for path in paths:
        pair = [soundfile.read(own, dtype="int16")[0] for own in (path, tmp_path / path.name)]
        assert np.abs(pair[0].astype(int) - pair[1]).max() <= 2  # threads add in another order


@pytest.mark.parametrize("rate", [8000, 16000])
def test_separate_keeps_rate_length_and_kind_of_array(model, rate):
    waveform = make_voice(2, 150, 0.7, rate)
    estimates = separation.separate(waveform, rate, model)
    assert estimates.shape == (2, len(waveform)) and estimates.dtype == np.float32
    for other in (torch.from_numpy(waveform), waveform.astype(np.float64), waveform.tolist()):
        again = separation.separate(other, rate, model.model)
        assert np.abs(again - estimates).max() < 1e-5


def test_scores_are_those_of_compare(place, model, tmp_path):
    """One scorer: array by array, or with the command."""
    from separation.compare.command import Options, run

    folder = place / "recordings"
    options = Options(
        models=[str(model.path)],
        test_sets=[str(folder)],
        out=tmp_path,
        oracles=[],
        n_worst=0,
        n_jobs=1,
        device="cpu",
    )
    assert run(options) == 0
    (table,) = (path for path in tmp_path.glob("*/*.csv") if "best_model" in path.name)
    rows = {row.mixture_id: row.values for row in read_scores(table)}
    dataset = separation.open_dataset(folder, sample_rate=8000)
    assert dataset.sample_rate == 8000 and len(dataset) == len(rows) == 3
    for mixture in dataset:
        estimates = separation.separate(mixture.mixture, 8000, model)
        own = separation.score(
            torch.from_numpy(estimates), mixture.sources, mixture=mixture.mixture, sample_rate=8000
        )
        for name, value in own.values.items():
            assert rows[mixture.mixture_id][name] == pytest.approx(value, abs=1e-3), name


def test_a_summary_leaves_out_what_has_no_values():
    signals = np.random.default_rng(0).standard_normal((2, 8000))
    noisy = signals + 0.1 * np.random.default_rng(1).standard_normal((2, 8000))
    one = separation.score(noisy[::-1], signals, mixture=signals.sum(0), sample_rate=8000)
    assert one.permutation == (1, 0) and one.values["si_sdr"] == pytest.approx(20, abs=0.2)
    silent = separation.score(noisy, 0 * signals, mixture=signals.sum(0), sample_rate=8000)
    assert not silent.values and silent.problems
    means = separation.summarise([one, one, silent])
    assert (means["n_mixtures"], means["n_scored"]) == (3, 2)
    assert means["si_sdr"]["mean"] == pytest.approx(one.values["si_sdr"], abs=1e-4)
    assert means["problems"][silent.problems[0]] == ["2"]


def test_a_dataset_has_its_own_rate_where_none_is_asked_for(here):
    assert separation.open_dataset("recordings").sample_rate == 16000
    corpora = {"librispeech": "LibriSpeech"}
    table = separation.open_dataset("libri2mix_test-clean.csv", corpora=corpora)
    assert table.sample_rate == 8000 and table[1].sources.shape[0] == 2
    rendered = separation.render(table.rows[1], corpora=corpora)
    assert np.array_equal(rendered.mixture, table[1].mixture) and rendered.noise is None
    audio = separation.open_dataset("recordings")
    read = separation.render(audio.rows[0], sample_rate=16000)
    assert np.array_equal(read.mixture, audio[0].mixture)


GOOD = 0.1 * np.random.default_rng(0).standard_normal(8000)
PAIR = np.stack([GOOD, GOOD[::-1]])


@pytest.mark.parametrize(
    ("waveform", "rate", "message"),
    [
        (PAIR, 8000, r"waveform: has the shape \(2, 8000\); give \(time,\)"),
        (GOOD[:0], 8000, r"waveform: has the shape \(0,\)"),
        (np.full(8000, np.nan), 8000, "waveform: holds NaN or infinite samples"),
        (np.ones(8000, np.int16), 8000, "waveform: holds int16; give floating-point"),
        (GOOD[:500], 8000, "waveform: is too short"),
        (0 * GOOD, 8000, "waveform: is silent"),
        (GOOD, 0, "sample_rate=0: give whole Hz"),
        (GOOD, 44.1, r"sample_rate=44.1: give whole Hz within 1000\.\.384000"),
        (GOOD, "8 kHz", "sample_rate=8 kHz: give whole Hz"),
    ],
)
def test_a_bad_waveform_is_one_sentence(model, waveform, rate, message):
    with pytest.raises(separation.UserError, match=message) as caught:
        separation.separate(waveform, rate, model)
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"estimates": GOOD}, r"estimates: has the shape \(8000,\); give \(n_src, time\)"),
        ({"estimates": PAIR[:, :-1]}, "do not fit together"),
        ({"estimates": np.stack([GOOD, GOOD, GOOD])}, "do not fit together"),
        ({"references": PAIR * np.inf}, "references: holds NaN or infinite"),
        ({"mixture": PAIR}, r"mixture: has the shape \(2, 8000\)"),
        ({"mixture": GOOD[1:]}, "one length"),
        ({"sample_rate": None}, "sample_rate=None"),
        ({"metrics": ["snr"]}, "snr"),
    ],
)
def test_signals_that_do_not_fit_are_one_sentence(changes, message):
    usual = {"estimates": PAIR, "references": PAIR, "mixture": GOOD, "sample_rate": 8000}
    with pytest.raises(separation.UserError, match=message):
        separation.score(**usual | changes)


def test_other_mistakes_are_one_sentence(here, model):
    class Rateless(torch.nn.Module):
        pass

    corpora = {"librispeech": "LibriSpeech"}
    for call, message in (
        (lambda: separation.open_model("no/such/model.pth"), "no/such/model.pth"),
        (lambda: separation.open_model("call.wav", device="tpu"), "device=tpu is unknown"),
        (lambda: separation.separate(GOOD, 8000, Rateless()), "Rateless: has no sample_rate"),
        (lambda: separation.separate_files(["no.wav"], "o", model), "no.wav: is not there"),
        (lambda: separation.open_dataset("nowhere"), "nowhere: no such table, folder or MIX:split"),
        (lambda: separation.open_dataset("recordings", kind="noisy"), "kind=noisy is unknown"),
        (lambda: separation.open_dataset("libri2mix_test-clean.csv"), "one corpus of speech"),
        (lambda: separation.summarise([]), "there are no scores"),
        (lambda: separation.render(ROWS[0]), "one corpus of speech"),
        (lambda: separation.render(ROWS[0], corpora=corpora, mode="mid"), "mode=mid is unknown"),
        (lambda: separation.render({"mixture_ID": "a"}, corpora=corpora), "source_1_path"),
        (
            lambda: separation.render(ROWS[0] | {"source_1_gain": "loud"}, corpora=corpora),
            "source_1_gain='loud' is not a gain",
        ),
    ):
        with pytest.raises(separation.UserError, match=message):
            call()
