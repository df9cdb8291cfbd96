"""Formats that libsndfile does not read, with and without ffmpeg."""

import os
import sys

import pytest
import soundfile
import torch

from separation.audio import files
from separation.errors import UnscoredError
from separation.recordings.files import separate_files
from separation.recordings.job import Settings
from tests.conftest import make_voice
from tests.recordings.test_files import Bands

PROGRAM = """#!{python}
import sys, soundfile
samples, rate = soundfile.read(sys.argv[sys.argv.index("-i") + 1])
soundfile.write(sys.argv[-1], samples, rate, "PCM_16")
"""


@pytest.fixture
def settings(tmp_path):
    files.find_ffmpeg.cache_clear()
    yield Settings(model=Bands(), device=torch.device("cpu"), out=tmp_path / "out")
    files.find_ffmpeg.cache_clear()


def test_without_ffmpeg_one_sentence_names_it(settings, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    for name in ("call.m4a", "call.strange"):
        (tmp_path / name).write_bytes(b"no audio")
        with pytest.raises(UnscoredError, match=f"{name}: cannot be decoded .*install ffmpeg"):
            separate_files(settings, [tmp_path / name])


def test_ffmpeg_decodes_what_libsndfile_does_not(settings, tmp_path, monkeypatch):
    program = tmp_path / "bin" / "ffmpeg"
    program.parent.mkdir()
    program.write_text(PROGRAM.format(python=sys.executable))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    soundfile.write(tmp_path / "call.m4a", make_voice(1, 120, 0.5, 16000), 16000, format="WAV")
    paths = separate_files(settings, [tmp_path / "call.m4a"])
    assert [path.name for path in paths] == ["call_s1.wav", "call_s2.wav"]
    assert soundfile.info(paths[0]).samplerate == 16000
    assert not list((tmp_path / "out").glob(".*"))
