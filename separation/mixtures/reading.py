"""Reading the signals of one mixture of any kind; a bad file is a finding, not an error."""

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from separation.audio.clips import DECODED_WHOLE
from separation.audio.pcm16 import to_float
from separation.mixtures.render_librimix import render_row
from separation.mixtures.signals import name_sources
from separation.mixtures.source_files import Corpora
from separation.mixtures.table import count_sources, split_paths
from separation.text import explain_error

Faults = dict[str, list[str]]  # by check, what is wrong with which file

FLOAT_SUBTYPES = ("FLOAT", "DOUBLE")
BLOCK_SAMPLES = 1 << 16
# Programs that write to a pipe do not know the size; they state this, or a little less.
UNKNOWN_SIZE_BYTES = 0x7FFFF000
DECODING_ERRORS = (OSError, RuntimeError, ValueError, MemoryError)  # of corrupt files


@dataclass(frozen=True)
class Setting:
    """How the mixtures of one set are read, and where the limits lie.

    Attributes:
        corpora: roots of a mixture table; None where the mixtures exist as audio.
        sample_rate: asked for, in Hz.
        mode: ``min`` or ``max``, of a table.
        kind: mixture type of a table: ``mix_clean``, ``mix_both``, or ``mix`` (wsj0-mix).
        base: what the paths of audio that exists are relative to.
        min_s: the shortest good mixture.
        level_tolerance_db: how far a level may be off.
    """

    corpora: Corpora | None
    sample_rate: int
    mode: str = "min"
    kind: str = "mix_clean"
    base: Path = Path()
    min_s: float = 1.0
    level_tolerance_db: float = 0.1


@dataclass(frozen=True)
class Signals:
    """One mixture and what it consists of, float32 ``(time,)`` each; lengths may differ.

    Attributes:
        noise: None where there is none, or it is not there.
        adds_up: whether the parts are all that the mixture consists of.
        sample_rate: of all of them, in Hz.
        stated_length: samples that the table says they have.
    """

    mixture: np.ndarray
    sources: list[np.ndarray]
    noise: np.ndarray | None
    adds_up: bool
    sample_rate: int
    stated_length: int | None = None

    def parts(self) -> dict[str, np.ndarray]:
        """Everything the mixture should be the sum of, by LibriMix's names."""
        named = dict(zip(name_sources(len(self.sources)), self.sources, strict=True))
        return named if self.noise is None else named | {"noise": self.noise}

    def all(self) -> dict[str, np.ndarray]:
        """The mixture, then its parts."""
        return {"mixture": self.mixture} | self.parts()

    def cut(self) -> "Signals":
        """All of them cut to the shortest."""
        n_samples = min(map(len, self.all().values()))
        return Signals(
            self.mixture[:n_samples],
            [source[:n_samples] for source in self.sources],
            None if self.noise is None else self.noise[:n_samples],
            *(self.adds_up, self.sample_rate),
        )


def read_signals(row: dict[str, str], setting: Setting) -> tuple[Signals | None, Faults]:
    """Read or render one row.

    Returns:
        the signals, None where a file cannot be used; and what is wrong with files, by the
        checks ``unreadable``, ``wrong-channels``, ``wrong-rate``, ``non-finite``.
    """
    if "mixture_path" in row:
        return _read_existing(row, setting)
    return _render(row, setting)


def _read_existing(row: dict[str, str], setting: Setting) -> tuple[Signals | None, Faults]:
    n_src = count_sources(row)
    paths = [row["mixture_path"], *(row[f"source_{k}_path"] for k in range(1, n_src + 1))]
    paths += [row["noise_path"]] if row.get("noise_path") else []
    faults: Faults = defaultdict(list)
    files = [_read_file(setting.base / path, faults) for path in paths]
    rates = {rate for samples, rate in files if rate}
    for path, (_, rate) in zip(paths, files, strict=True):
        if rate and rate != setting.sample_rate:
            text = f"{shorten(path)}: {rate} Hz in place of {setting.sample_rate}"
            faults["wrong-rate"].append(text)
    usable = [samples for samples, _ in files if samples is not None]
    if len(usable) < len(files) or len(rates) > 1:
        return None, faults
    noise = usable[1 + n_src] if len(usable) > 1 + n_src else None
    # mix_both has noise; where that is not there, nobody can tell what the sum should be.
    adds_up = noise is not None or Path(row["mixture_path"]).parent.name != "mix_both"
    length = row.get("length") or ""  # LibriMix's column, in samples
    stated = int(float(length)) if re.fullmatch(r"[0-9]+(\.0)?", length) else None
    signals = Signals(usable[0], usable[1 : 1 + n_src], noise, adds_up, rates.pop(), stated)
    return signals, faults


def shorten(path: str) -> str:
    """The folder and the name of a file.

    >>> shorten("/data/dev/s1/a.wav")
    's1/a.wav'
    """
    return "/".join(Path(path).parts[-2:])


def _read_file(path: Path, faults: Faults) -> tuple[np.ndarray | None, int]:
    """Samples (None where they cannot be used) and sample rate (0 where it is not known)."""
    name = shorten(str(path))
    if not path.is_file():
        faults["unreadable"].append(f"{name}: is not there")
        return None, 0
    try:
        with soundfile.SoundFile(path) as file:
            fault = _find_cut(file)
            samples = file.read(dtype="float32", always_2d=True)
            if fault or len(samples) < file.frames:
                faults["unreadable"].append(f"{name}: {fault or 'is truncated'}")
                return None, file.samplerate
            if file.channels > 1:
                faults["wrong-channels"].append(f"{name}: {file.channels} channels")
                return None, file.samplerate
            return samples[:, 0], file.samplerate
    except DECODING_ERRORS as error:
        faults["unreadable"].append(f"{name}: {_explain(error)}")
        return None, 0


def _explain(error: BaseException) -> str:
    reason = str(error).split(": ")[-1].rstrip(".")
    return f"cannot be decoded ({reason or type(error).__name__})"


def _find_cut(file: soundfile.SoundFile) -> str:
    """What the header tells of samples that are missing; empty where all are there."""
    if file.frames == 0:
        return "holds no samples"
    # libsndfile counts the samples that are there, and notes what the header says.
    found = re.search(r"data : (\d+) \(should be (\d+)\)", file.extra_info)
    if found and int(found[2]) < int(found[1]) < UNKNOWN_SIZE_BYTES:
        return "is truncated"
    return ""


def _render(row: dict[str, str], setting: Setting) -> tuple[Signals | None, Faults]:
    assert setting.corpora is not None
    faults: Faults = defaultdict(list)
    kind = "mix" if "source_1_level" in row else setting.kind
    clips = list(_list_clips(row, setting.corpora, with_noise=kind == "mix_both"))
    for path, name, channel in clips:
        _look_at(path, name, channel, faults)
    if not faults:
        _compare_rates(row, setting, kind, faults)
    if faults:
        return None, faults
    try:
        outputs = render_row(row, setting.corpora, [setting.sample_rate], [setting.mode], [kind])
    except DECODING_ERRORS as error:
        faults["unreadable"].append(explain_error(error))
        return None, faults
    signals = {name: to_float(part) for name, part in next(iter(outputs.values())).signals.items()}
    sources = [signals[name] for name in name_sources(count_sources(row))]
    noise = signals.get("noise")
    return Signals(signals[kind], sources, noise, True, setting.sample_rate), faults


def _list_clips(
    row: dict[str, str], corpora: Corpora, *, with_noise: bool
) -> Iterator[tuple[Path, str, str]]:
    """``(file, its path in the table, channel)`` of what a row is rendered from."""
    for number in range(1, count_sources(row) + 1):
        channel = "first" if "source_1_level" in row else row.get(f"source_{number}_channel")
        for path in split_paths(row, number):
            if corpora.pack is None or corpora.pack.find(path) is None:
                yield corpora.speech / path, path, channel or "mono"
    if with_noise and corpora.noise is not None:
        yield corpora.noise / row["noise_path"], row["noise_path"], "first"


def list_files_of(row: dict[str, str], setting: Setting) -> list[Path]:
    """Every file that a row is read or rendered from; none where the row is faulty."""
    if "row_fault" in row:
        return []
    if "mixture_path" in row:
        keys = [key for key in row if re.fullmatch(r"(mixture|noise|source_\d+)_path", key)]
        return [setting.base / row[key] for key in keys if row[key]]
    assert setting.corpora is not None
    noisy = setting.kind == "mix_both"
    return [path for path, *_ in _list_clips(row, setting.corpora, with_noise=noisy)]


def _look_at(path: Path, name: str, channel: str, faults: Faults) -> None:
    """Look at a corpus's file: header, very end, and NaN where it could hold any."""
    if not path.is_file():
        faults["unreadable"].append(f"{name}: is not there")
        return
    if path.suffix in DECODED_WHOLE:
        return
    try:
        with soundfile.SoundFile(path) as file:
            fault = _find_cut(file) or _find_missing_end(file)
            if fault:
                faults["unreadable"].append(f"{name}: {fault}")
            elif file.channels > 1 and channel == "mono":
                faults["wrong-channels"].append(f"{name}: {file.channels} channels")
            elif file.subtype in FLOAT_SUBTYPES and not _is_finite(file):
                faults["non-finite"].append(name)
    except DECODING_ERRORS as error:
        faults["unreadable"].append(f"{name}: {_explain(error)}")


def _find_missing_end(file: soundfile.SoundFile) -> str:
    """FLAC's header states a length too, which only reading the last sample confirms."""
    file.seek(file.frames - 1)
    return "" if len(file.read(1, dtype="float32")) == 1 else "is truncated"


def _is_finite(file: soundfile.SoundFile) -> bool:
    file.seek(0)
    return all(np.isfinite(block).all() for block in file.blocks(BLOCK_SAMPLES))


def _compare_rates(row: dict[str, str], setting: Setting, kind: str, faults: Faults) -> None:
    """A recording at less than the rate asked for has an empty upper band."""
    corpora = setting.corpora
    assert corpora is not None
    numbers = range(1, count_sources(row) + 1)
    paths = [path for number in numbers for path in split_paths(row, number)]
    try:
        rates = {path: corpora.open_source(path, "first").sample_rate for path in paths}
        if kind == "mix_both":
            rates[row["noise_path"]] = corpora.open_noise(row["noise_path"]).sample_rate
    except DECODING_ERRORS as error:
        faults["unreadable"].append(explain_error(error))
        return
    for path, rate in rates.items():
        if rate < setting.sample_rate:
            faults["wrong-rate"].append(f"{path}: {rate} Hz, less than {setting.sample_rate}")
