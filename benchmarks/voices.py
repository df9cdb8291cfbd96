"""Speech for benchmarks on a machine without any: harmonic tones with syllables, and pauses."""

from pathlib import Path

import numpy as np
import soundfile

from separation.audio.files import read_mono
from separation.audio.loudness import measure_loudness_lufs
from separation.corpora.pack import ListedClip, PackedAudio, pack_speakers
from separation.errors import UserError

SUFFIXES = (".flac", ".opus", ".wav", ".ogg")


def make_voice(seed: int, pitch_hz: float, duration_s: float, sample_rate: int) -> np.ndarray:
    """A buzzing tone that rises and falls in syllables, float32 ``(time,)``."""
    generator = np.random.default_rng(seed)
    time = np.arange(round(duration_s * sample_rate)) / sample_rate
    wobble = np.sin(2 * np.pi * generator.uniform(0.4, 1.1) * time + generator.uniform(0, 6))
    phase = 2 * np.pi * np.cumsum(pitch_hz * (1 + 0.1 * wobble)) / sample_rate
    tones = [np.sin(k * phase) / k for k in range(1, 12)]
    syllables = 0.5 + 0.5 * np.sin(2 * np.pi * 3 * time + generator.uniform(0, 6))
    return (0.2 * syllables * np.sum(tones, axis=0)).astype(np.float32)


def write_voices(
    folder: Path, n_speakers: int, n_utterances: int, duration_s: float, sample_rate: int
) -> None:
    """A folder of speakers in ``separation``'s layout, women and men in turn, as FLAC."""
    for speaker in range(n_speakers):
        own = folder / f"voice{speaker:03d}_{'FM'[speaker % 2]}"
        own.mkdir(parents=True, exist_ok=True)
        pitch_hz = (190, 100)[speaker % 2] * (1 + 0.02 * (speaker // 2))
        for item in range(n_utterances):
            voice = make_voice(1000 * speaker + item, pitch_hz, duration_s, sample_rate)
            soundfile.write(own / f"say{item:03d}.flac", voice, sample_rate)


def pack_folder(root: Path, folder: Path, sample_rate: int, n_speakers: int) -> PackedAudio:
    """Pack recordings below ``root``, the name of a file's own folder being its speaker.

    Args:
        root: any tree of audio files.
        folder: of the packs; made if absent.
        sample_rate: Hz of the packs.
        n_speakers: only the first so many, sorted; 0: all.

    Raises:
        UserError: fewer than two speakers.
    """
    paths: dict[str, list[Path]] = {}
    for path in sorted(root.rglob("*")):
        if path.suffix.lower() in SUFFIXES:
            paths.setdefault(path.parent.name, []).append(path)
    if len(paths) < 2:
        raise UserError(f"--speech {root}: {len(paths)} folders of recordings; give two or more.")
    speakers = sorted(paths)[: n_speakers or None]
    clips = [_list_clip(path, root) for name in speakers for path in paths[name]]
    pack_speakers(clips, root, folder, sample_rate, 1)
    return PackedAudio(folder, speakers)


def mix_recordings(root: Path, path: Path, duration_s: float) -> None:
    """One long mixture of two: the recordings of either half of a tree, one after the other.

    Args:
        root: any tree of audio files of one sample rate.
        path: of the WAV file.
        duration_s: at most.
    """
    paths = sorted(path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES)
    rate, half = soundfile.info(paths[0]).samplerate, len(paths) // 2
    n_samples = round(duration_s * rate)
    voices = [_join(group, n_samples) for group in (paths[:half], paths[half:])]
    length = min(map(len, voices))
    soundfile.write(path, sum(voice[:length] / 2 for voice in voices), rate)


def _join(paths: list[Path], n_samples: int) -> np.ndarray:
    joined = np.empty(0, np.float32)
    for path in paths:
        if len(joined) >= n_samples:
            break
        joined = np.concatenate([joined, soundfile.read(path, dtype="float32")[0]])
    return joined[:n_samples]


def _list_clip(path: Path, root: Path) -> ListedClip:
    samples, rate = read_mono(path, "first")
    loudness = measure_loudness_lufs(samples, rate)
    return ListedClip(
        speaker=path.parent.name,
        path=str(path.relative_to(root)),
        channel="first",
        loudness_lufs=loudness,
    )
