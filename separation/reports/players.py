"""Spectrograms and players of a mixture's signals, which switch in place while they play."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from separation.mixtures.signals import Mixture
from separation.reports.words import Words

SHORTEST_S = 0.04  # a spectrogram needs one window of 32 ms
RANGE_DB = 60  # of a spectrogram, below the loudest point of the first signal
N_FRAMES, N_BINS = 320, 96  # of the picture of a spectrogram
AUDIO_BYTES = 1_700_000  # of all players of a page, in base64
FLAC_SHARE = 0.62  # of the bytes of 16-bit samples, for speech; rather more than less
LONGEST_S, LEAST_S = 15.0, 2.0
LOSSLESS_S = 60.0  # longer signals are MP3, a tenth of the size


@dataclass(frozen=True)
class Signal:
    """One of the signals of a player.

    Attributes:
        name: what it is.
        samples: ``(time,)``; all signals of a player have the same length.
    """

    name: str
    samples: np.ndarray


def choose_length(n_signals: int, rate: int) -> float:
    """How many seconds of each signal a page can hold that has so many of them in all.

    >>> choose_length(30, 8000), choose_length(15, 16000), choose_length(2, 8000)
    (4.3, 4.3, 15.0)
    """
    bytes_per_s = 2 * rate * FLAC_SHARE * 4 / 3
    seconds = AUDIO_BYTES / (max(1, n_signals) * bytes_per_s)
    return round(min(LONGEST_S, max(LEAST_S, seconds)), 1)


def list_signals(mixture: Mixture, estimates: np.ndarray, words: Words) -> list[Signal]:
    """Mixture, references and estimates of a player.

    Args:
        estimates: ``(n_src, time)``, in the order of the references.
    """
    signals = [Signal(words.say("signal.mixture"), mixture.mixture)]
    for kind, sources in (("reference", mixture.sources), ("estimate", estimates)):
        signals += [
            Signal(words.say(f"signal.{kind}", k=k), source) for k, source in enumerate(sources, 1)
        ]
    return signals


def show_signals(
    title: str,
    signals: Sequence[Signal],
    rate: int,
    longest_s: float,
    words: Words,
    n_frames: int = N_FRAMES,
) -> str:
    """Spectrogram and player of each signal, as HTML; one position in time for all.

    Args:
        title: of the player.
        signals: the first one's loudest point is the top of every spectrogram's scale. Of a
            recording that was separated there are no references; its tracks do.
        rate: Hz.
        longest_s: no more than the beginning of this many seconds.
        n_frames: of each spectrogram's picture.
    """
    n_all = len(signals[0].samples)
    n_shown = min(n_all, round(longest_s * rate))
    cut = [Signal(own.name, own.samples[:n_shown]) for own in signals]
    levels = [measure_spectrogram(own.samples, rate) for own in cut]
    top = max(float(levels[0].max()), -100.0)
    group = f"player-{abs(hash_name(title))}"
    items = "".join(
        _show_signal(own, level, top, rate, _Place(group, number, words, n_frames))
        for number, (own, level) in enumerate(zip(cut, levels, strict=True))
    )
    seconds = max(n_shown / rate, 0.01)
    first = f" ({words.say('examples.first', value=f'{seconds:.1f}')})" if n_shown < n_all else ""
    play, pause = (escape(words.say(f"player.{name}")) for name in ("play", "pause"))
    return (
        f'<div class="player" role="group" aria-label="{escape(words.say("player", title=title))}">'
        f'<h3>{escape(title + first)}</h3><div class="bar"><button type="button" class="play" '
        f'data-play="{play}" data-pause="{pause}" aria-label="{play}">&#9654;</button>'
        f'<input type="range" min="0" max="{seconds:.3f}" step="0.01" value="0" '
        f'aria-label="{escape(words.say("player.position"))}"><output></output></div>'
        f'<div class="signals">{items}</div></div>'
    )


def hash_name(name: str) -> int:
    """A number for a name, the same in every run."""
    from zlib import crc32

    return crc32(name.encode())


@dataclass(frozen=True)
class _Place:
    """A signal's place in its player."""

    group: str
    number: int
    words: Words
    n_frames: int = N_FRAMES


def _show_signal(signal: Signal, level: np.ndarray, top: float, rate: int, place: _Place) -> str:
    described = place.words.say("signal.spectrogram", name=signal.name)
    checked, audio = "" if place.number else " checked", encode_audio(signal.samples, rate)
    picture = encode_spectrogram(level, top, place.n_frames)
    return (
        f'<label class="signal"><span class="name"><input type="radio" name="{place.group}" '
        f'value="{place.number}"{checked}>{escape(signal.name)}</span><span class="picture">'
        f'<img alt="{escape(described)}" src="{picture}"><i></i></span>'
        f'<audio controls preload="none" src="{audio}"></audio></label>'
    )


def measure_spectrogram(samples: np.ndarray, rate: int) -> np.ndarray:
    """``(time,)`` to levels in dB, ``(bin, frame)``, the lowest frequency first."""
    from scipy.signal import stft

    shortage = max(0, round(SHORTEST_S * rate) - len(samples))
    window = round(0.032 * rate)
    padded = np.pad(np.nan_to_num(samples), ((0, shortage)))
    spectrum = stft(padded, rate, nperseg=window, noverlap=window * 3 // 4)[2]
    return 20 * np.log10(np.abs(spectrum) + 1e-10)


def encode_spectrogram(level: np.ndarray, top: float, n_frames: int = N_FRAMES) -> str:
    """A picture of levels within :data:`RANGE_DB` below ``top``, in a ``data:`` URI.

    Args:
        level: ``(bin, frame)`` in dB.
        top: of the scale, dB.
        n_frames: width of the picture.
    """
    import matplotlib
    from PIL import Image

    scaled = np.clip((level - top + RANGE_DB) / RANGE_DB, 0, 1)[::-1]
    colours = matplotlib.colormaps["magma"](scaled, bytes=True)[..., :3]
    size = (min(n_frames, max(2, level.shape[1])), N_BINS)
    image = Image.fromarray(np.ascontiguousarray(colours)).resize(size, Image.Resampling.BOX)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=55, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def encode_audio(samples: np.ndarray, rate: int) -> str:
    """``(time,)`` as 16 bits in a FLAC file, beyond a minute as MP3, in a ``data:`` URI."""
    import soundfile

    buffer = io.BytesIO()
    if len(samples) > LOSSLESS_S * rate:
        soundfile.write(buffer, samples, rate, format="MP3", subtype="MPEG_LAYER_III")
        return "data:audio/mpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
    soundfile.write(buffer, samples, rate, format="FLAC", subtype="PCM_16")
    return "data:audio/flac;base64," + base64.b64encode(buffer.getvalue()).decode()
