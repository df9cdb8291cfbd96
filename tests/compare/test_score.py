"""``python -m separation score``: separated files of any system, in any layout."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from separation import __main__
from separation.evaluation.score_rows import read_scores
from tests.support.layouts import LAYOUTS
from tests.support.mixture_folders import save_small_model, write_folder

N_MIXTURES = 3


@pytest.fixture
def call(monkeypatch, capsys, caplog):
    """Run a command in this process; returns its exit code, stdout, and log before stderr."""
    caplog.set_level("INFO")

    def run(*words) -> tuple[int, str, str]:
        caplog.clear()
        monkeypatch.setattr(sys, "argv", ["separation", *map(str, words), "--nj", "1"])
        code = __main__.main()
        captured = capsys.readouterr()
        return code, captured.out, caplog.text + captured.err

    return run


@pytest.fixture
def references(tmp_path) -> Path:
    return write_folder(tmp_path / "calls" / "test", N_MIXTURES, duration_s=0.3)


@pytest.fixture
def estimates(tmp_path, references) -> Path:
    """A system's files: the sources in the other order, with some of the mixture in each."""
    shutil.copytree(references, tmp_path / "system")
    for number in range(N_MIXTURES):
        name = f"m{number}.wav"
        mixture, rate = soundfile.read(references / "mix" / name)
        for own, other in (("s1", "s2"), ("s2", "s1")):
            source, _ = soundfile.read(references / other / name)
            soundfile.write(tmp_path / "system" / own / name, 0.6 * source + 0.2 * mixture, rate)
    return tmp_path / "system"


def score(call, references, *estimates, out: Path, more: tuple = ("--oracles", "--worst", "0")):
    words = ["score", "--references", references, "--out", out, *more]
    code, stdout, stderr = call(*words, "--estimates", *estimates)
    return code, stdout, stderr, {path.stem: read_scores(path) for path in out.glob("*/*.csv")}


def test_what_a_model_fails_at_is_not_saved_and_ends_nothing(
    tmp_path, references, call, monkeypatch
):
    """It was separated once more for its files, outside of what keeps one failure to one row."""
    lines = ["import numpy as np", "sample_rate = 8000", "def fail_at_first(samples, rate):"]
    lines += ["    if fail_at_first.__dict__.setdefault('first', samples.sum()) == samples.sum():"]
    lines += ["        raise ValueError('no')", "    return np.stack([samples, 0.5 * samples])"]
    (tmp_path / "their_code.py").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(tmp_path)
    (references / "s1" / "m2.wav").write_bytes(b"")
    words = ["compare", "--models", "their_code:fail_at_first", "--test-sets", references]
    words += ["--oracles", "--worst", "0", "--out", tmp_path / "out"]
    code, _, stderr = call(*words, "--save-estimates", tmp_path / "saved")
    assert code == 1 and "m0 (no)" in stderr and "m2" in stderr
    saved = sorted(
        path.relative_to(tmp_path / "saved") for path in tmp_path.rglob("saved/**/*.wav")
    )
    assert [path.name for path in saved] == ["m1.wav"] * 2


def test_saved_estimates_score_as_their_model_to_the_bit(tmp_path, references, call):
    model = save_small_model(tmp_path / "model.pth", n_steps=10)
    words = ["compare", "--models", model, "--test-sets", references, "--out", tmp_path / "out"]
    words += ["--oracles", "--worst", "0", "--device", "cpu"]
    assert call(*words)[0] == 0
    saved = tmp_path / "saved"
    code, _, stderr = call(*words, "--save-estimates", saved)  # what was scored before is saved too
    assert code == 0 and "3 of 3 mixtures are scored already" in stderr
    (folder,) = saved.iterdir()
    done = score(call, references, f"ours={folder}", out=tmp_path / "score")
    assert done[0] == 0, done[2]
    (table,) = [path for path in (tmp_path / "out").glob("*/*.csv") if "model" in path.name]
    assert done[3]["ours"] == read_scores(table)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_references_and_estimates_in_every_layout(layout, tmp_path, references, estimates, call):
    expected = score(call, references, f"a={estimates}", out=tmp_path / "plain")
    assert expected[0] == 0, expected[2]
    assert [row.permutation for row in expected[3]["a"]] == [(1, 0)] * N_MIXTURES
    own_references = LAYOUTS[layout](references, tmp_path / "references")
    own_estimates = LAYOUTS[layout](estimates, tmp_path / "estimates")
    out = tmp_path / "out"
    code, stdout, stderr, rows = score(call, own_references, f"a={own_estimates}", out=out)
    assert code == 0, stderr
    assert rows == expected[3]
    assert "| a | " in stdout


def test_the_report_has_floor_ceilings_intervals_and_players(tmp_path, references, estimates, call):
    more = ("--worst", "1")
    code, stdout, stderr, rows = score(
        call, references, f"a={estimates}", f"b={references}", out=tmp_path / "out", more=more
    )
    assert code == 0, stderr
    assert set(rows) == {"mixture", "ibm", "irm", "wfm", "a", "b"}
    assert "| mixture (floor) | 0.00" in stdout and "| IRM (oracle)" in stdout
    report = (tmp_path / "out" / "comparison.md").read_text()
    assert "b − a" in report and "separated files, read from" in report
    assert "<audio" in (tmp_path / "out" / "comparison.html").read_text()


def test_a_mixture_without_files_is_a_row_and_the_rest_is_scored(
    tmp_path, references, estimates, call
):
    (estimates / "s1" / "m1.wav").unlink()
    (estimates / "s2" / "m1.wav").unlink()
    soundfile.write(estimates / "s1" / "m2.wav", np.zeros(100), 8000)
    code, _, stderr, rows = score(call, references, f"a={estimates}", out=tmp_path / "out")
    assert code == 1
    assert "1 of 3 mixtures of calls/test have no separated files" in stderr
    assert [row.is_scored for row in rows["a"]] == [True, False, False]
    assert "has no files of it" in rows["a"][1].error
    assert "s1/m2.wav: has 100 samples where the mixture has" in rows["a"][2].error
    # a file that was made again is scored, the others are kept
    shutil.copy(references / "s1" / "m2.wav", estimates / "s1" / "m2.wav")
    code, _, stderr, rows = score(call, references, f"a={estimates}", out=tmp_path / "out")
    assert "1 of 3 mixtures are scored already" in stderr
    assert [row.is_scored for row in rows["a"]] == [True, False, True]


def test_a_few_samples_more_or_less_are_cut_or_padded_and_counted(
    tmp_path, references, estimates, call
):
    for name, n_more in (("m0", -7), ("m1", 5)):
        samples, rate = soundfile.read(estimates / "s1" / f"{name}.wav")
        samples = samples[:n_more] if n_more < 0 else np.pad(samples, (0, n_more))
        soundfile.write(estimates / "s1" / f"{name}.wav", samples, rate)
    code, _, stderr, rows = score(call, references, f"a={estimates}", out=tmp_path / "out")
    assert code == 0, stderr
    assert all(row.is_scored for row in rows["a"])
    report = (tmp_path / "out" / "comparison.md").read_text()
    assert "2 separated files were cut or padded by up to 10 ms" in report


def test_estimates_of_another_rate_are_scored_at_their_own(tmp_path, references, estimates, call):
    high = write_folder(tmp_path / "high" / "test", N_MIXTURES, duration_s=0.3, rate=16000)
    code, _, stderr, rows = score(call, high, f"a={estimates}", out=tmp_path / "out")
    assert code == 0, stderr
    assert rows["a"][0].n_samples == 2400
    assert "resampled 16000 -> 8000 Hz" in (tmp_path / "out" / "comparison.md").read_text()


def test_a_function_is_a_model(tmp_path, references, call, monkeypatch):
    (tmp_path / "their_system.py").write_text(
        "import numpy as np\n\n\n"
        "def separate(samples, sample_rate):\n"
        "    assert sample_rate == 8000 and samples.dtype == np.float32\n"
        "    return np.stack([samples, samples[::-1]])\n\n\n"
        "def crash(samples, sample_rate):\n"
        "    raise RuntimeError('no memory')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    words = ["compare", "--test-sets", references, "--oracles", "--worst", "0", "--device", "cpu"]
    model = save_small_model(tmp_path / "model.pth")
    models = ["their_system:separate", "their_system:crash", model]
    code, stdout, stderr = call(*words, "--out", tmp_path / "out", "--models", *models)
    assert code == 1
    assert "| their_system:separate | " in stdout
    assert "their_system:crash: 3 of the mixtures could not be scored" in stderr
    assert "m0 (no memory)" in stderr
    code, _, stderr = call(*words, "--out", tmp_path / "out", "--models", *models[::2])
    assert stderr.count("3 of 3 mixtures are scored already") == 2  # not the function


def test_mistakes_are_one_sentence_before_anything_is_scored(tmp_path, references, estimates, call):
    other = write_folder(tmp_path / "other", 1, duration_s=0.3)
    for part in ("mix", "s1", "s2"):
        (other / part / "m0.wav").rename(other / part / "x.wav")
    three = write_folder(tmp_path / "three", N_MIXTURES, n_src=3, duration_s=0.3)
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.json").write_text("{")
    usual = {"--references": [references], "--estimates": [f"a={estimates}"]}
    for changes, said in (
        ({"--references": [tmp_path / "nowhere"]}, "no such table, folder or MIX:split"),
        ({"--references": [tmp_path / "empty"]}, "holds no mixtures with references"),
        ({"--estimates": [estimates]}, "write it as NAME=DIR"),
        ({"--estimates": [f"a={tmp_path / 'nowhere'}"]}, "is not there; check the path"),
        ({"--estimates": [f"a={tmp_path / 'empty'}"]}, "holds no separated files"),
        ({"--estimates": [f"a={tmp_path / 'bad.json'}"]}, "bad.json: is no JSON"),
        ({"--estimates": [f"a={other}"]}, "they are called m0, m1, m2, the separated ones x"),
        ({"--estimates": [f"a={three}"]}, "separates 3 speakers but the mixtures of"),
        ({"--estimates": [f"a={estimates}"] * 2}, "a: is given twice"),
        ({"--estimates": [f"irm={estimates}"]}, "is what a reference is called"),
    ):
        options = usual | changes | {"--out": [tmp_path / "out"]}
        words = [word for pair in options.items() for word in (pair[0], *pair[1])]
        code, stdout, stderr = call("score", *words)
        sentence = stderr.splitlines()[-1]
        assert (code, stdout) == (2, ""), sentence
        assert sentence.startswith("error: "), sentence
        assert said in sentence
    assert not list(tmp_path.glob("out/*/*.csv"))


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("nowhere_at_all:separate", "importing nowhere_at_all failed"),
        ("separation.text:list_frist", "has no function list_frist; did you mean list_first?"),
    ],
)
def test_a_function_that_is_not_there_is_one_sentence(model, said, tmp_path, references, call):
    words = ["compare", "--test-sets", references, "--out", tmp_path / "out", "--device", "cpu"]
    code, _, stderr = call(*words, "--models", model)
    assert code == 2 and said in stderr.splitlines()[-1]
