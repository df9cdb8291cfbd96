"""Each command's function, called from Python with its typed options: argparse is not needed."""

import dataclasses
import json
from pathlib import Path

import pytest
import soundfile

from separation.compare import command as compare
from separation.errors import MissingInputError, UserError
from separation.experiment.options import RecipeOptions
from separation.files import format_rows
from separation.mixture_checks import command as validate
from separation.overfit import command as overfit
from separation.publish import command as publish
from separation.publish import list_command as models
from separation.recordings import command as separate
from separation.stages import command as stage
from separation.stages import recipe_command as recipe
from separation.wav_trees import command as render
from tests.conftest import make_voice
from tests.support.librimix_tree import read_reference_rows, write_tree
from tests.support.mixture_folders import save_small_model, write_folder


def test_separate(tmp_path, capsys):
    soundfile.write(tmp_path / "call.wav", make_voice(1, 120, 0.5, 8000), 8000)
    model = save_small_model(tmp_path / "model.pth")
    options = separate.Options(
        files=[tmp_path / "call.wav"], model=str(model), out=tmp_path / "out", device="cpu"
    )
    assert separate.run(options) is None
    written = [tmp_path / "out" / f"call_s{k}.wav" for k in (1, 2)]
    assert capsys.readouterr().out.split() == [str(path) for path in written]


def test_render(tmp_path, capsys):
    rows = read_reference_rows(2)[:2]
    write_tree(rows, tmp_path / "speech", tmp_path / "noise")
    table = tmp_path / "libri2mix_test-clean.csv"
    table.write_text(format_rows(rows))
    corpora = [f"librispeech={tmp_path / 'speech'}", f"wham={tmp_path / 'noise'}"]
    options = render.Options(
        tables=[table], corpora=corpora, out=tmp_path, types=["mix_both"], n_jobs=1
    )
    assert render.run(options) is None
    (folder,) = map(Path, capsys.readouterr().out.split())
    assert len(list((folder / "mix_both").glob("*.wav"))) == 2


def test_validate_and_compare(tmp_path, capsys):
    folder = write_folder(tmp_path / "calls", 2, duration_s=1.0)
    assert validate.run(validate.Options(mixtures=[str(folder)], min_s=0.5, n_jobs=1)) == 0
    assert validate.run(validate.Options(mixtures=[str(folder)], min_s=9.0, n_jobs=1)) == 1
    model = save_small_model(tmp_path / "model.pth")
    options = compare.Options(
        models=[str(model)],
        test_sets=[str(folder)],
        out=tmp_path / "out",
        oracles=[],
        limit=1,
        n_worst=0,
        n_jobs=1,
        device="cpu",
    )
    assert compare.run(options) == 0
    assert "model.pth" in capsys.readouterr().out
    with pytest.raises(UserError, match="--models m: is given twice"):
        dataclasses.replace(options, models=["m", "m"])


def test_models(capsys):
    models.run(models.Options(as_json=True))
    assert {"name", "cached", "scores"} <= set(json.loads(capsys.readouterr().out)[0])


def test_stages_and_overfit(speech_folder, tmp_path, capsys):
    usual = {
        "recipe": "folder/ConvTasNet",
        "corpora": [f"speech={speech_folder}"],
        "data": tmp_path / "data",
        "exp": tmp_path / "exp",
        "n_jobs": 1,
        "device": "cpu",
    }
    for _ in range(2):
        stage.run(stage.Options(stage="preflight", **usual))
    assert "stage 0 preflight: done already" in capsys.readouterr().out
    with pytest.raises(MissingInputError, match=r"stage 1 \(corpus\) is not done"):
        overfit.run(overfit.Options(n_mixtures=2, **usual))
    with pytest.raises(UserError, match=r"--tag \.\./x"):
        RecipeOptions(**usual | {"tag": "../x"}).open_experiment()
    assert not recipe.run(recipe.Options(last=0, dry_run=True, **usual))


def test_publish(tmp_path):
    with pytest.raises(MissingInputError, match="is no experiment that stage 4 has trained"):
        publish.run(publish.Options(experiment=tmp_path, out=tmp_path / "out"))
