"""What ``separate`` writes, keeps, refuses and goes on with."""

import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import nn

from separation.cli.main import main
from separation.errors import MissingInputError, UnscoredError, UserError
from separation.files import hold_name
from separation.recordings import chunks
from separation.recordings.files import separate_files, separate_stream
from separation.recordings.inputs import check_channel
from separation.recordings.job import Settings
from tests.conftest import make_voice
from tests.support.mixture_folders import save_small_model

CPU = torch.device("cpu")


class Bands(nn.Module):
    """Separates what is below 1 kHz from what is above; counts its calls."""

    sample_rate = 8000

    def __init__(self) -> None:
        super().__init__()
        self.n_calls = 0

    def forward(self, mixtures: torch.Tensor) -> torch.Tensor:
        self.n_calls += 1
        spectrum = torch.fft.rfft(mixtures)
        cut = int(1000 / 4000 * spectrum.shape[-1])
        low, high = spectrum.clone(), spectrum.clone()
        low[..., cut:], high[..., :cut] = 0, 0
        voices = [torch.fft.irfft(part, n=mixtures.shape[-1]) for part in (low, high)]
        return torch.stack(voices, dim=1)


def settings(out: Path, **others) -> Settings:
    return Settings(**{"model": Bands(), "device": CPU, "out": out, "mode": "overlap"} | others)


def put_voice(path: Path, seed: int = 1, rate: int = 8000, duration_s: float = 0.5) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, make_voice(seed, 100 + 40 * seed, duration_s, rate), rate)
    return path


def list_names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_files_that_it_did_not_write_are_never_replaced(tmp_path):
    """``separate call.wav --out .`` replaced a call_s1.wav that was a later input."""
    call, other = put_voice(tmp_path / "call.wav", 1), put_voice(tmp_path / "call_s1.wav", 2)
    before = other.read_bytes()
    paths = separate_files(settings(tmp_path), [call, other])
    assert other.read_bytes() == before
    assert [path.name for path in paths] == [
        *("call_wav_s1.wav", "call_wav_s2.wav"),
        *("call_s1_s1.wav", "call_s1_s2.wav"),
    ]
    for name in ("talk.json", "talk.rttm", "talk_s2.wav"):
        talk = put_voice(tmp_path / name.partition(".")[0] / "in" / "talk.flac")
        out = tmp_path / name.partition(".")[0] / "out"
        out.mkdir(exist_ok=True)
        for old in out.iterdir():
            old.unlink()
        (out / name).write_text('{"mine": 1}')
        assert separate_files(settings(out), [talk])[0].name == "talk_flac_s1.wav"
        assert (out / name).read_text() == '{"mine": 1}'


def test_recordings_of_one_name_do_not_collide_in_any_order_of_calls(tmp_path):
    wav, flac = put_voice(tmp_path / "call.wav", 1), put_voice(tmp_path / "call.flac", 2)
    elsewhere = put_voice(tmp_path / "b" / "call.wav", 3)
    out = tmp_path / "out"
    names = [
        [path.name for path in separate_files(settings(out), order)]
        for order in ([wav], [flac], [flac, wav], [elsewhere], [elsewhere, flac, wav])
    ]
    assert names[0] == ["call_s1.wav", "call_s2.wav"]
    assert names[1] == ["call_flac_s1.wav", "call_flac_s2.wav"]
    assert names[2] == names[1] + names[0] and names[3][0] == "call_wav_s1.wav"
    assert names[4] == names[3] + names[1] + names[0]
    sums = {path.name: soundfile.read(path)[0].std() for path in out.glob("*_s1.wav")}
    assert len(set(sums.values())) == 3


def test_a_second_call_keeps_what_is_done(tmp_path):
    call, out = put_voice(tmp_path / "call.wav"), tmp_path / "out"
    model = Bands()
    first = separate_files(settings(out, model=model), [call])
    times = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    assert list_names(out) == {"call_s1.wav", "call_s2.wav", "call.rttm", "call.json"}
    assert separate_files(settings(out, model=model), [call]) == first
    assert model.n_calls == 1
    assert times == {path: path.stat().st_mtime_ns for path in out.iterdir()}
    separate_files(settings(out, model=model, bits="24"), [call])
    assert model.n_calls == 2 and soundfile.info(first[0]).subtype == "PCM_24"
    put_voice(call, 2)  # another recording in its place
    separate_files(settings(out, model=model, bits="24"), [call])
    first[1].unlink()
    separate_files(settings(out, model=model, bits="24"), [call])
    assert model.n_calls == 4 and len(list_names(out)) == 4


def test_a_track_that_somebody_edited_stays(tmp_path):
    call, out = put_voice(tmp_path / "call.wav"), tmp_path / "out"
    first = separate_files(settings(out), [call])[0]
    soundfile.write(first, np.zeros(4000), 8000)
    edited = first.read_bytes()
    again = separate_files(settings(out), [call])
    assert again[0].name == "call_wav_s1.wav" and first.read_bytes() == edited


def test_ten_files_of_which_three_are_bad(tmp_path, capsys):
    folder, out = tmp_path / "in", tmp_path / "out"
    for number in range(7):
        put_voice(folder / f"good{number}.wav", number)
    (folder / "bad1.wav").write_bytes(b"no audio")
    soundfile.write(folder / "bad2.wav", np.zeros(8000), 8000)
    soundfile.write(folder / "bad3.wav", np.ones(10), 8000)
    model = Bands()
    with pytest.raises(UnscoredError) as caught:
        separate_files(settings(out, model=model), [folder])
    text = str(caught.value)
    assert text.startswith("3 of 10 recordings could not be separated, the others are done: ")
    assert all(f"bad{k}.wav" in text for k in (1, 2, 3)) and "good" not in text
    assert len(caught.value.outputs) == 14 and model.n_calls == 7
    assert not [path for path in out.iterdir() if path.name.startswith(".")]
    put_voice(folder / "bad2.wav", 9)
    with pytest.raises(UnscoredError, match="2 of 10"):
        separate_files(settings(out, model=model), [folder])
    assert model.n_calls == 8

    small = save_small_model(tmp_path / "model.pth")
    words = ["separate", str(folder), "--model", str(small), "--out", str(tmp_path / "cli")]
    assert main([*words, "--device", "cpu"]) == 1
    printed = capsys.readouterr()
    assert len(printed.out.split()) == 16 and "2 of 10 recordings" in printed.err


def test_folders_are_repeated_and_own_tracks_are_no_recordings(tmp_path):
    put_voice(tmp_path / "a" / "call.wav", 1)
    put_voice(tmp_path / "b" / "call.wav", 2)
    put_voice(tmp_path / ".hidden" / "call.wav")
    (tmp_path / "a" / "notes.txt").write_text("x")
    out = tmp_path / "out"
    paths = separate_files(settings(out), [tmp_path, tmp_path / "a" / "call.wav"])
    assert [path.relative_to(out).as_posix() for path in paths] == [
        *("a/call_s1.wav", "a/call_s2.wav", "b/call_s1.wav", "b/call_s2.wav"),
    ]
    here = put_voice(tmp_path / "here" / "call.wav").parent
    first = separate_files(settings(here), [here])
    assert separate_files(settings(here), [here]) == first
    with pytest.raises(UserError, match="holds no audio"):
        (tmp_path / "empty").mkdir()
        separate_files(settings(out), [tmp_path / "empty"])
    with pytest.raises(MissingInputError, match=r"no\.wav: is not there"):
        separate_files(settings(out), [tmp_path / "no.wav"])


@pytest.mark.parametrize("rate", [8000, 48000])
def test_channels(rate, tmp_path, caplog):
    caplog.set_level("INFO")
    left, right = make_voice(1, 120, 0.6, rate), make_voice(2, 210, 0.6, rate)
    stereo = tmp_path / "call.wav"
    soundfile.write(stereo, np.stack([left, right], axis=1), rate)
    wanted = {"mean": (left + right) / 2, "first": left, "1": left, "2": right}
    for channel, signal in wanted.items():
        paths = separate_files(settings(tmp_path / channel, channel=channel), [stereo])
        total = sum(soundfile.read(path)[0] for path in paths)
        assert np.corrcoef(total, signal)[0, 1] > 0.98
    assert "the mean of its 2 channels" in caplog.text
    paths = separate_files(settings(tmp_path / "each", channel="each"), [stereo])
    assert [path.name for path in paths] == [f"call_ch{c}_s{k}.wav" for c in (1, 2) for k in (1, 2)]
    assert (
        np.corrcoef(soundfile.read(paths[2])[0] + soundfile.read(paths[3])[0], right)[0, 1] > 0.98
    )
    with pytest.raises(UnscoredError, match=r"has 2 channel\(s\), so there is no --channel 3"):
        separate_files(settings(tmp_path / "3", channel="3"), [stereo])


@pytest.mark.parametrize("text", ["0", "both", "-1", "1.5"])
def test_channels_that_are_none(text):
    with pytest.raises(UserError, match=f"--channel {text}: choose of mean"):
        check_channel(text)


def test_from_stdin_to_stdout(tmp_path):
    call = put_voice(tmp_path / "call.wav", rate=16000)
    target = io.BytesIO()
    with open(call, "rb") as source:
        separate_stream(settings(tmp_path / "unused"), source, target)
    target.seek(0)
    voices, rate = soundfile.read(target)
    paths = separate_files(settings(tmp_path / "out"), [call])
    assert rate == 16000 and not (tmp_path / "unused").exists()
    assert np.array_equal(voices, np.stack([soundfile.read(path)[0] for path in paths], axis=1))
    with pytest.raises(UserError, match="stdin: is empty"):
        separate_stream(settings(tmp_path), io.BytesIO(), target)
    with pytest.raises(UserError, match="a pipe takes one result"):
        separate_stream(settings(tmp_path, channel="each"), io.BytesIO(b"x"), target)


def test_a_pipe_on_the_command_line(tmp_path):
    model = save_small_model(tmp_path / "model.pth")
    call = put_voice(tmp_path / "call.wav")
    words = [sys.executable, "-m", "separation", "separate", "-", "--model", str(model)]
    done = subprocess.run(
        [*words, "--device", "cpu"], input=call.read_bytes(), capture_output=True, cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert soundfile.read(io.BytesIO(done.stdout))[0].shape == (4000, 2)
    assert not (tmp_path / "separated").exists()
    assert main(["separate", "-", str(call)]) == 2


class Killed(BaseException):
    """Stands for a signal that ends the process."""


def test_of_two_calls_for_one_recording_the_second_waits_and_finds_it_done(tmp_path, capfd):
    """Each began the other's half-done work anew."""
    recording, out = put_voice(tmp_path / "call.wav"), tmp_path / "out"
    children = []
    with hold_name(out, "call"):  # or the first might have ended when the second begins
        for _ in range(2):
            child = os.fork()
            if not child:
                status, own = 250, settings(out)
                try:
                    separate_files(own, [recording])
                    status = own.model.n_calls
                finally:
                    os._exit(status)
            children.append(child)
        while capfd.readouterr().err.count("another process makes call; waiting") < 1:
            time.sleep(0.01)
    statuses = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert 0 == min(statuses) < max(statuses) < 250
    assert list_names(out) == {"call_s1.wav", "call_s2.wav", "call.rttm", "call.json"}


def test_a_killed_call_goes_on_to_the_same_result(tmp_path, monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK_S", 1.0)
    monkeypatch.setattr(chunks, "OVERLAP_S", 0.25)
    call = put_voice(tmp_path / "call.wav", rate=16000, duration_s=6.1)
    whole = separate_files(settings(tmp_path / "whole"), [call])

    class Dying(Bands):
        def forward(self, mixtures):
            if self.n_calls == 3:
                raise Killed
            return super().forward(mixtures)

    out, model = tmp_path / "out", Dying()
    with pytest.raises(Killed):
        separate_files(settings(out, model=model), [call])
    (work,) = out.glob(".call.separating")
    with open(work / "estimates.f32", "ab") as handle:
        handle.write(bytes(1000))  # written before the kill, but not counted
    resumed = Dying()
    resumed.n_calls = 4  # past the one that dies
    paths = separate_files(settings(out, model=resumed), [call])
    assert list_names(out) == list_names(tmp_path / "whole")
    assert resumed.n_calls == 9  # of eight chunks three were done
    for path, other in zip(paths, whole, strict=True):
        assert np.array_equal(soundfile.read(path)[0], soundfile.read(other)[0])


def test_the_record_holds_what_was_measured_and_who_speaks_when(tmp_path):
    """A low voice speaks for the first two seconds, a high one for the last two of three."""
    rate, time = 8000, np.arange(3 * 8000) / 8000
    low, high = (np.sin(2 * np.pi * f * time) * 0.3 for f in (300, 2500))
    call = tmp_path / "my call.wav"
    soundfile.write(call, low * (time < 2) + high * (time >= 1), rate)
    out = tmp_path / "out"
    separate_files(settings(out, about="bands"), [call])
    lines = [line.split() for line in (out / "my call.rttm").read_text().splitlines()]
    turns = {words[7]: (float(words[3]), float(words[4])) for words in lines}
    assert turns["s1"] == pytest.approx((0, 2), abs=0.05)
    assert turns["s2"] == pytest.approx((1, 2), abs=0.05)
    assert {words[1] for words in lines} == {"my_call"}
    measured = json.loads((out / "my call.json").read_text())["measured"]
    assert measured["duration_s"] == 3 and measured["model"] == "bands"
    assert measured["explained"] > 0.99 and abs(measured["correlations"][0][1]) < 0.05
    assert [voice["speech_s"] for voice in measured["voices"]] == pytest.approx([2, 2], abs=0.1)
    assert measured["remarks"] == [] and measured["n_clipped"] == 0


def test_remarks_where_nothing_was_separated_or_one_voice_speaks(tmp_path, caplog):
    class Copies(Bands):
        def forward(self, mixtures):
            return torch.stack([mixtures, mixtures + 0.01 * torch.roll(mixtures, 9, -1)], dim=1)

    call = put_voice(tmp_path / "call.wav", duration_s=2)
    separate_files(settings(tmp_path / "copies", model=Copies()), [call])
    assert "tracks s1 and s2 are much alike (correlation 1.00)" in caplog.text
    mixture = soundfile.read(call)[0]
    for path in (tmp_path / "copies").glob("*.wav"):
        assert np.std(soundfile.read(path)[0]) < 1.02 * np.std(mixture)  # never louder

    time = np.arange(16000) / 8000
    soundfile.write(
        call, 0.3 * np.sin(600 * np.pi * time) + 1e-3 * np.sin(5000 * np.pi * time), 8000
    )
    separate_files(settings(tmp_path / "one"), [call])
    assert "nearly all of it is in track s1" in caplog.text


def test_overlaps_in_which_nobody_speaks_are_named(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(chunks, "CHUNK_S", 1.0)
    monkeypatch.setattr(chunks, "OVERLAP_S", 0.25)
    monkeypatch.setattr("separation.recordings.activity.CHUNK_S", 1.0)
    monkeypatch.setattr("separation.recordings.activity.OVERLAP_S", 0.25)
    voice = make_voice(1, 150, 2.0, 8000) + 0.1 * np.random.default_rng(0).standard_normal(16000)
    voice[5900:8200] = 0  # the first two chunks meet within
    soundfile.write(tmp_path / "call.wav", voice, 8000)
    separate_files(settings(tmp_path / "out"), [tmp_path / "call.wav"])
    measured = json.loads((tmp_path / "out" / "call.json").read_text())["measured"]
    assert measured["suspected_swaps_s"] == [0.875] and len(measured["order_leads"]) == 2
    assert "voices may change tracks near second 0.875:" in caplog.text
