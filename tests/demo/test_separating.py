"""What the page does with a visitor's file, and what it refuses, without the page."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from separation.__main__ import main
from separation.demo.page import Visits
from separation.demo.separating import Limits, Models, open_models, separate_upload, summarise
from separation.errors import UserError
from separation.models.asteroid import save_model
from separation.recordings.record import read_record
from tests.conftest import make_voice
from tests.support.small_models import build_small

LIMITS = Limits(longest_s=3.0, largest_mb=1)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    path = tmp_path_factory.mktemp("model") / "small.pth"
    save_model(build_small("ConvTasNet"), path)
    return Models([str(path)], CPU)


@pytest.fixture
def call(tmp_path: Path) -> Path:
    path = tmp_path / "call.wav"
    soundfile.write(path, make_voice(1, 110, 1.5, 8000) + make_voice(2, 200, 1.5, 8000), 8000)
    return path


def test_a_recording_becomes_tracks_and_a_summary(
    models: Models, call: Path, tmp_path: Path
) -> None:
    outcome = separate_upload(models, models.names[0], call, tmp_path / "out", LIMITS)
    assert [path.name for path in outcome.tracks] == ["call_s1.wav", "call_s2.wav"]
    assert outcome.report.startswith("<!doctype html>") or "<html" in outcome.report[:200]
    assert outcome.summary.count("<tr>") == 3 and "for 1.5 s of audio" in outcome.summary
    assert "&lt;b&gt;" in summarise({"remarks": ["<b>"]})


@pytest.mark.parametrize("learns", [False, True])
def test_the_model_learns_the_voices_only_where_that_was_asked_for(
    models: Models, call: Path, tmp_path: Path, learns: bool
) -> None:
    separate_upload(models, models.names[0], call, tmp_path / "out", LIMITS, learns=learns)
    record = read_record(tmp_path / "out" / "call.json")
    assert record and record.settings["adapt"] == ("on" if learns else "off")


def test_an_upload_is_copied_since_another_visitors_of_the_same_file_replaces_it(
    models: Models, call: Path, tmp_path: Path
) -> None:
    """The first of two visitors who brought one file was told that it has changed."""
    separate_upload(models, models.names[0], call, tmp_path / "out", LIMITS)
    record = read_record(tmp_path / "out" / "call.json")
    assert record and Path(record.recording).is_relative_to(tmp_path / "out")


def test_what_is_refused_is_one_sentence_with_the_visitors_name_of_it(
    models: Models, tmp_path: Path
) -> None:
    too_long, no_audio, large = (tmp_path / f"{name}.wav" for name in ("long", "text", "large"))
    soundfile.write(too_long, np.ones(8000 * 4), 8000)
    no_audio.write_text("no audio at all")
    soundfile.write(large, np.zeros(600_000), 8000)
    for path, message in (
        (too_long, "long.wav: is 4 s long; 3 s are the most here."),
        (no_audio, "text.wav: cannot be decoded"),
        (large, "large.wav: has 1 MB; 1 MB are the most here."),
    ):
        with pytest.raises(UserError) as caught:
            separate_upload(models, models.names[0], path, tmp_path / "out", LIMITS)
        assert str(caught.value).startswith(message) and str(tmp_path) not in str(caught.value)
    with pytest.raises(UserError, match="is no model of this page"):
        models.open("/etc/passwd")


def test_a_model_that_is_named_and_wrong_is_refused_before_the_page(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--model .*none.pth: no such checkpoint"):
        open_models([str(tmp_path / "none.pth")], CPU)


def test_a_visit_leaves_nothing_but_what_another_visitor_has_too(
    models: Models, call: Path, tmp_path: Path
) -> None:
    work, kept = tmp_path / "work", tmp_path / "kept"
    work.mkdir()
    visits = Visits(models, LIMITS, work, kept)
    for session in ("a", "b"):
        (said, first, _, third, *_, summary) = next(
            visit := visits.separate(str(call), models.names[0], False, session)
        )
        assert not said and Path(first).is_file() and third is None and "Voice 2" in summary
        assert next(visit, None) is None and not list(work.iterdir())
    for name in ("call.wav", "call_s1.wav", "other.wav"):
        (kept / name[:-4]).mkdir(parents=True)
        (kept / name[:-4] / name).touch()
    visits.forget("a")
    assert len(list(kept.glob("*/*"))) == 3
    visits.forget("b")
    assert [path.name for path in kept.iterdir()] == ["other"]
    (said, *rest) = next(visits.separate(None, models.names[0], False, "c"))
    assert "no recording yet" in said and not any(rest)


def test_without_gradio_one_sentence_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "gradio", None)
    assert main(["demo"]) == 2
    assert "pip install -r requirements-demo.txt`." in capsys.readouterr().err
