"""``separate --stream``: files and pipes through a causal model, as they come."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from separation.__main__ import main
from separation.audio.pipes import WavPipe, open_wav_pipe
from separation.audio.resample import StreamResampler, resample
from separation.config.load import load_conf
from separation.errors import UserError
from separation.models.asteroid import save_model
from separation.models.registry import build_model
from separation.recordings.job import Settings
from separation.recordings.stream import RunningLevel, stream_pipe
from tests.conftest import ROOT, make_voice
from tests.support.small_models import list_small


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    torch.manual_seed(0)
    overrides = [*list_small("ConvTasNet"), "model.causal=true", "model.norm_type=cLN"]
    return build_model(load_conf(ROOT, "folder/STFTMask", overrides).model, 2, 8000).eval()


@pytest.fixture
def checkpoint(model: torch.nn.Module, tmp_path: Path) -> Path:
    save_model(model, tmp_path / "causal.pth")
    return tmp_path / "causal.pth"


def make_call(rate: int, seconds: float = 1.2345) -> np.ndarray:
    return make_voice(1, 110, seconds, rate) + make_voice(2, 210, seconds, rate)


class Watched(io.BytesIO):
    """Stdin that notes how much had been written to stdout at each read."""

    def __init__(self, content: bytes, target: io.BytesIO) -> None:
        super().__init__(content)
        self.target, self.seen = target, []

    def read(self, size: int | None = -1) -> bytes:
        self.seen.append(len(self.target.getvalue()))
        return super().read(size)


def test_a_pipe_gives_what_a_file_gives_and_while_it_comes(
    model: torch.nn.Module, checkpoint: Path, tmp_path: Path
) -> None:
    call = tmp_path / "call.wav"
    soundfile.write(call, np.stack([make_call(11025)] * 2, 1), 11025)
    out = tmp_path / "out"
    words = ["--stream", "--block-ms", "37", "--model", str(checkpoint), "--bits", "float"]
    assert main(["separate", str(call), *words, "--out", str(out)]) == 0
    tracks = [soundfile.read(out / f"call_s{k}.wav", dtype="float32")[0] for k in (1, 2)]
    assert len(tracks[0]) == len(make_call(11025))
    assert main(["separate", str(call), *words, "--out", str(out)]) == 0  # is kept
    target = io.BytesIO()
    source = Watched(call.read_bytes(), target)
    settings = Settings(model=model, device=torch.device("cpu"), out=out, bits="float", block_s=0.1)
    stream_pipe(settings, source, target, 0)
    assert len(set(source.seen)) > 8  # blocks went out between those that came in
    piped, rate = soundfile.read(io.BytesIO(target.getvalue()), dtype="float32")
    assert rate == 11025
    np.testing.assert_allclose(piped.T, tracks, rtol=0, atol=1e-5)


def test_raw_samples_are_those_of_a_wav(model: torch.nn.Module) -> None:
    samples = (make_call(8000, 0.5) * 30000).astype("<i2")
    wav, outputs = io.BytesIO(), []
    soundfile.write(wav, samples, 8000, format="WAV")
    settings = Settings(
        model=model, device=torch.device("cpu"), out=Path(), bits="16", block_s=0.05
    )
    for content, rate in ((wav.getvalue(), 0), (samples.tobytes() + b"\0", 8000)):
        target = io.BytesIO()
        stream_pipe(settings, io.BytesIO(content), target, rate)
        outputs.append(target.getvalue())
    assert outputs[0] == outputs[1] and len(outputs[0]) == 44 + 4 * len(samples)


def test_levels_are_those_of_the_recording_whatever_the_blocks() -> None:
    voices = np.stack([make_voice(1, 110, 1, 8000), make_voice(2, 210, 1, 8000)])
    whole = RunningLevel(2).apply(voices.sum(0), 250 * voices)
    np.testing.assert_allclose(whole[:, 100:], voices[:, 100:], rtol=1e-4, atol=1e-4)
    level = RunningLevel(2)
    pieces = [
        level.apply(voices.sum(0)[start : start + 333], 250 * voices[:, start : start + 333])
        for start in range(0, 8000, 333)
    ]
    np.testing.assert_allclose(np.concatenate(pieces, 1), whole, rtol=0, atol=1e-6)
    silent = RunningLevel(2).apply(np.zeros(9), np.zeros((2, 9)))
    assert not silent.any() and RunningLevel(2).apply(np.zeros(0), np.zeros((2, 0))).size == 0


@pytest.mark.parametrize(("rate_in", "rate_out"), [(44100, 8000), (8000, 11025), (16000, 8000)])
def test_resampling_by_blocks_is_that_of_the_whole(rate_in: int, rate_out: int) -> None:
    samples = make_call(rate_in, 0.5)
    resampler = StreamResampler(rate_in, rate_out)
    parts = [resampler.feed(block) for block in np.split(samples, [1, 700, 703, 9000])]
    found = np.concatenate([*parts, resampler.finish()])
    np.testing.assert_array_equal(found, resample(samples, rate_in, rate_out))


@pytest.mark.parametrize("bits", ["16", "24", "float"])
def test_what_is_written_to_a_pipe_is_read_from_one(bits: str) -> None:
    block, target = np.random.default_rng(0).uniform(-1, 1, (100, 3)), io.BytesIO()
    WavPipe(target, 16000, 3, bits).write(block)
    target.seek(0)
    piped = open_wav_pipe(target)
    assert (piped.samplerate, piped.channels) == (16000, 3)
    np.testing.assert_allclose(piped.read(1000), block, rtol=0, atol=2e-4 if bits == "16" else 1e-6)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"no audio at all, but text", "is no WAV"),
        (b"RIFF\xff\xff\xff\xffWAVE", "ends within its header"),
        (b"RIFF\xff\xff\xff\xffWAVEdata\0\0\0\0", "does not say how its samples"),
        (b"RIFF\xff\xff\xff\xffWAVEjunk\xff\xff\xff\xff", "chunk of 4294967295 bytes"),
    ],
)
def test_a_pipe_that_brings_no_wav_is_one_sentence(content: bytes, message: str) -> None:
    with pytest.raises(UserError, match=message):
        open_wav_pipe(io.BytesIO(content))


def test_kinds_of_samples_that_are_not_read() -> None:
    for kind, channels, rate, bits in ((7, 1, 8000, 8), (1, 0, 8000, 16), (1, 1, 0, 16)):
        fmt = struct.pack("<HHIIHH", kind, channels, rate, 0, 0, bits)
        wav = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0" + fmt + b"data\0\0\0\0"
        with pytest.raises(UserError, match=r"WAV format 7|channels at"):
            open_wav_pipe(io.BytesIO(wav))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--stream"], "looks ahead: its convolutions reach into later frames"),
        (["--raw", "8000"], "--raw: is of --stream from stdin"),
        (["--stream", "--mode", "conversation"], "--mode conversation: looks at the whole"),
        (["--stream", "--report"], "--report: looks at the whole recording"),
        (["--stream", "--channel", "each"], "--stream takes one channel"),
        (["--stream", "--block-ms", "0"], "--block-ms 0: should be a number, above 0."),
        (["--block-ms", "50"], "--block-ms: is of --stream; add that"),
        (["--spoken", "es"], "--spoken: is of the page of --report; add that"),
        (["--language", "zh"], "--language: is of the page of --report; add that"),
    ],
)
def test_options_that_do_not_go_together_are_one_sentence(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    soundfile.write(tmp_path / "call.wav", make_call(8000, 0.2), 8000)
    assert main(["separate", str(tmp_path / "call.wav"), "--out", str(tmp_path), *words]) == 2
    assert message in capsys.readouterr().err


def test_a_stream_with_a_bad_sample_leaves_nothing_half_done(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    samples = make_call(8000, 0.5)
    samples[3000] = np.nan
    soundfile.write(tmp_path / "call.wav", samples, 8000, subtype="FLOAT")
    out = tmp_path / "out"
    words = ["separate", str(tmp_path / "call.wav"), "--stream", "--model", str(checkpoint)]
    assert main([*words, "--out", str(out)]) == 1
    assert "NaN or infinite" in capsys.readouterr().err and not list(out.iterdir())
