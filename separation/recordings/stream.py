"""``separate --stream``: a recording or a pipe through a causal model, block by block.

Nothing may be taken from samples that are still to come. So tracks are the model's outputs (who
speaks is not looked for), and their level is that of one factor for all of them, of least squares
over what was heard so far.
"""

import contextlib
import logging
import shutil
import time
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import numpy as np
import soundfile
import torch

from separation.audio.pipes import PipedAudio, WavPipe, open_wav_pipe
from separation.audio.resample import StreamResampler
from separation.errors import UserError
from separation.models.streaming import StreamingSeparator
from separation.recordings.decode import open_audio
from separation.recordings.job import Job, Settings
from separation.recordings.record import Record, stamp_output, stamp_recording
from separation.recordings.tracks import BYTES, LARGEST_WAV, SUBTYPES

logger = logging.getLogger(__name__)

TINY = 1e-20  # of energies: nothing was heard so far


class RunningLevel:
    """The factor that fits the sum of scale-free estimates to the mixture heard so far.

    One for all of them, of least squares and anew with every sample, so that voices keep the
    model's ratio to each other; no estimate gets more energy than the mixture had.
    """

    def __init__(self, n_src: int) -> None:
        self.product, self.energy, self.mixture = np.zeros((3, 1))
        self.each = np.zeros((n_src, 1))

    def apply(self, mixture: np.ndarray, estimates: np.ndarray) -> np.ndarray:
        """Estimates ``(n_src, time)`` of mixture ``(time,)`` at its level, float32."""
        if not len(mixture):
            return estimates.astype(np.float32)
        heard, wide = mixture.astype(np.float64), estimates.astype(np.float64)
        total = wide.sum(0)
        product = self.product + np.cumsum(heard * total)
        energy = self.energy + np.cumsum(total**2)
        mixed = self.mixture + np.cumsum(heard**2)
        each = self.each + np.cumsum(wide**2, axis=1)
        largest = np.sqrt(mixed / np.maximum(each.max(0), TINY))
        factor = np.clip(product / np.maximum(energy, TINY), -largest, largest)
        self.product, self.energy, self.mixture = product[-1:], energy[-1:], mixed[-1:]
        self.each = each[:, -1:]
        return (wide * factor).astype(np.float32)


class Stream:
    """A signal on its way through a causal model: to its rate, separated, and back, at its level.

    Args:
        settings: model and device.
        sample_rate: of the signal, Hz.

    Attributes:
        latency_s: seconds from a sample's coming in to its coming out, beside block and computing.
    """

    def __init__(self, settings: Settings, sample_rate: int) -> None:
        rate = settings.rate
        self.separator = StreamingSeparator(settings.model)
        self.inward = StreamResampler(sample_rate, rate)
        self.outward = StreamResampler(rate, sample_rate)
        self.level = RunningLevel(self.separator.n_src)
        self.waiting = np.empty(0, np.float32)  # at the model's rate, their estimates not yet known
        self.n_taken = self.n_given = 0
        resampling = self.inward.latency_s + self.outward.latency_s
        self.latency_s = self.separator.window / rate + resampling

    def feed(self, samples: np.ndarray) -> np.ndarray:
        """``(time,)`` to those samples ``(n_src, time)`` of the tracks that are known now.

        Raises:
            UserError: NaN or infinite samples, on either side.
        """
        if not np.isfinite(samples).all():
            raise UserError("the stream holds NaN or infinite samples; record it again.")
        self.n_taken += len(samples)
        return self._count(self.outward.feed(self._separate(self.inward.feed(samples))))

    def finish(self) -> np.ndarray:
        """What is missing of the tracks ``(n_src, time)`` at the signal's end."""
        rest = self.inward.finish()
        estimates = self._separate(np.empty(0, np.float32) if rest is None else rest)
        with torch.inference_mode():
            last = self.separator.finish().cpu().numpy()
        parts = [self.outward.feed(estimates), self.outward.feed(self._set_level(last))]
        end = self.outward.finish()
        joined = np.concatenate([*parts, *([] if end is None else [end])], axis=1)
        return self._count(joined[:, : self.n_taken - self.n_given])

    def _separate(self, samples: np.ndarray) -> np.ndarray:
        self.waiting = np.concatenate([self.waiting, samples])
        found = self.separator.feed(torch.from_numpy(np.asarray(samples, np.float32)))
        return self._set_level(found.cpu().numpy())

    def _set_level(self, estimates: np.ndarray) -> np.ndarray:
        if not np.isfinite(estimates).all():
            raise UserError(
                "the model puts out NaN or infinite samples, so its weights or arguments are "
                "damaged; get its file again."
            )
        heard, self.waiting = np.split(self.waiting, [estimates.shape[1]])
        return self.level.apply(heard, estimates)

    def _count(self, tracks: np.ndarray) -> np.ndarray:
        self.n_given += tracks.shape[1]
        return tracks


def pass_through(
    stream: Stream, read: Callable[[int], np.ndarray], n_block: int, channel: str
) -> Iterator[np.ndarray]:
    """Yield the tracks ``(n_src, time)`` of what is read, as they become known.

    Args:
        stream: at its beginning.
        read: gives the next ``(time, channels)``; fewer frames than asked for at the end only.
        n_block: frames of a block.
        channel: ``mean``, ``first``, or a number from 1.
    """
    while True:
        block = read(n_block)
        if len(block):
            number = int(channel) - 1 if channel.isdecimal() else 0
            yield stream.feed(block.mean(axis=1) if channel == "mean" else block[:, number])
        if len(block) < n_block:
            break
    yield stream.finish()


def open_stream(settings: Settings, name: str, sample_rate: int, n_channels: int) -> Stream:
    """The way of one signal, and its latency said.

    Raises:
        UserError: the model is not causal, or there is no such channel.
    """
    if settings.channel.isdecimal() and int(settings.channel) > n_channels:
        raise UserError(f"{name}: has {n_channels} channel(s): no --channel {settings.channel}.")
    stream = Stream(settings, sample_rate)
    logger.info(
        "%s: latency %.1f ms: blocks of %g ms, the model's window and resampling %.1f ms; beside "
        "it the computing",
        name,
        1000 * (settings.block_s + stream.latency_s),
        1000 * settings.block_s,
        1000 * stream.latency_s,
    )
    return stream


def count_block(settings: Settings, sample_rate: int) -> int:
    """Frames of a block."""
    return max(1, round(settings.block_s * sample_rate))


def stream_pipe(settings: Settings, source: BinaryIO, target: BinaryIO, raw_rate: int) -> None:
    """Separate what a pipe brings, while it comes, into WAV with a channel per voice.

    Args:
        settings: ``out`` is not used.
        source: WAV, or 16-bit samples of one channel without a header.
        target: gets the WAV, a block at a time.
        raw_rate: Hz, of samples without a header; 0: it is WAV.

    Raises:
        UserError: the model is not causal, or the pipe brings no WAV.
    """
    piped = (
        PipedAudio(source=source, samplerate=raw_rate, channels=1)
        if raw_rate
        else open_wav_pipe(source)
    )
    begun = time.process_time()
    stream = open_stream(settings, "stdin", piped.samplerate, piped.channels)
    pipe = WavPipe(target, piped.samplerate, stream.separator.n_src, settings.bits)
    n_block = count_block(settings, piped.samplerate)
    for tracks in pass_through(stream, piped.read, n_block, settings.channel):
        pipe.write(tracks.T)
    _describe_end("stdin", stream.n_taken / piped.samplerate, begun, pipe.n_clipped)


def _describe_end(name: str, seconds: float, begun: float, n_clipped: int) -> None:
    taken = time.process_time() - begun
    if seconds:
        logger.info(
            "%s: %.1f s, %.3f s of CPU time for each second", name, seconds, taken / seconds
        )
    if n_clipped:
        logger.warning(
            "%s: %d samples of the tracks were clipped at full scale; --bits float keeps them",
            name,
            n_clipped,
        )


class StreamJob(Job):
    """One recording, its tracks written as they become known."""

    def run(self, label: str) -> Record:
        """Separate, and put tracks and record into their places."""
        stamp = stamp_recording(self.path)
        self._open_work(stamp)
        try:
            with open_audio(self.path, self.work) as file:
                tracks, measured = self._pass_through(file)
        except BaseException:
            shutil.rmtree(self.work, ignore_errors=True)  # a stream does not go on where it ended
            raise
        (self.work / "decoded.wav").unlink(missing_ok=True)
        record = Record(
            recording=str(self.path.resolve()),
            channel=self.channel,
            stamp=stamp,
            settings=self.described,
            outputs={track: stamp_output(self.work / track) for track in tracks},
            measured=measured,
        )
        self._put_in_place(record)
        return record

    def _pass_through(self, file: soundfile.SoundFile) -> tuple[list[str], dict[str, Any]]:
        """Names of the tracks, and what NAME.json says of them."""
        settings, begun = self.settings, time.process_time()
        stream = open_stream(settings, str(self.path), file.samplerate, file.channels)
        tracks = [f"{self.name}_s{k}.wav" for k in range(1, stream.separator.n_src + 1)]
        n_clipped = self._write_blocks(file, stream, tracks)
        duration_s = stream.n_taken / file.samplerate
        _describe_end(str(self.path), duration_s, begun, n_clipped)
        return tracks, {
            "model": settings.about,
            "model_rate": settings.rate,
            "n_channels": file.channels,
            "sample_rate": file.samplerate,
            "duration_s": round(duration_s, 3),
            "way": "stream",
            "latency_s": round(settings.block_s + stream.latency_s, 4),
            "n_clipped_in_tracks": n_clipped,
        }

    def _write_blocks(self, file: soundfile.SoundFile, stream: Stream, tracks: list[str]) -> int:
        """Write the tracks; returns how many of their samples were clipped."""
        subtype, n_clipped = SUBTYPES[self.settings.bits], 0
        n_block = count_block(self.settings, file.samplerate)
        small = file.frames * BYTES[self.settings.bits] < LARGEST_WAV
        container = "WAV" if small else "RF64"

        def read(n_frames: int) -> np.ndarray:
            return file.read(n_frames, dtype="float32", always_2d=True)

        with contextlib.ExitStack() as stack:
            files = [
                stack.enter_context(
                    soundfile.SoundFile(
                        self.work / track, "w", file.samplerate, 1, subtype, format=container
                    )
                )
                for track in tracks
            ]
            for block in pass_through(stream, read, n_block, self.settings.channel):
                n_clipped += int(np.count_nonzero(np.abs(block) > 1))
                for target, voice in zip(files, block, strict=True):
                    target.write(voice)
        return 0 if self.settings.bits == "float" else n_clipped
