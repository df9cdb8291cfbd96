"""A mixture as a row of a table: what it is made of and how loud, for every kind of mixture.

A table is a CSV file with a line a mixture. Its columns tell which of three kinds a row is, and so
who renders it (:mod:`separation.mixtures.render`):

- ``librimix`` (``source_k_gain``): utterances times gains, as LibriMix lists them and as we draw
  them; :mod:`separation.mixtures.render_librimix`;
- ``wsj0`` (``source_k_level``): utterances at active levels, as wsj0-mix lists them;
  :mod:`separation.mixtures.render_wsj0`;
- ``existing`` (``mixture_path``): audio that is there; :mod:`separation.mixtures.existing`.

Here are one of each. A row of LibriMix's lists, with a noise of WHAM; paths are relative to the
corpora's roots:

>>> row = parse_row({
...     "mixture_ID": "1089-134686-0000_121-127105-0031",
...     "source_1_path": "test-clean/1089/134686/1089-134686-0000.flac",
...     "source_1_gain": "0.33",
...     "source_2_path": "test-clean/121/127105/121-127105-0031.flac",
...     "source_2_gain": "0.58",
...     "noise_path": "tt/4k0c0301_0.64_-0.64.wav",
...     "noise_gain": "0.21",
... })
>>> str(row.origin), row.n_src, row.sources[1].gain, row.noise.gain
('librimix', 2, 0.58, 0.21)

A row of wsj0-mix, whose text lists (``01to030v.wav 0.76421 20ga010m.wav -0.76421``) and active
levels (ITU-T P.56, as power) ``local/wsj0mix.py`` reads:

>>> row = parse_row({
...     "mixture_ID": "01to030v_0.76421_20ga010m_-0.76421",
...     "source_1_path": "si_tr_s/01t/01to030v.wv1",
...     "source_1_level": "0.0021",
...     "source_1_snr_db": "0.76421",
...     "source_2_path": "si_tr_s/20g/20ga010m.wv1",
...     "source_2_level": "0.0014",
...     "source_2_snr_db": "-0.76421",
...     "speaker_1_ID": "01t",
...     "speaker_2_ID": "20g",
... })
>>> str(row.origin), row.sources[0].level, row.sources[0].snr_db, row.sources[1].speaker
('wsj0', 0.0021, 0.76421, '20g')

A row of audio that exists, with what a table beside it states:

>>> row = parse_row({
...     "mixture_ID": "m0",
...     "mixture_path": "Libri2Mix/wav8k/min/dev/mix_clean/m0.wav",
...     "source_1_path": "Libri2Mix/wav8k/min/dev/s1/m0.wav",
...     "source_2_path": "Libri2Mix/wav8k/min/dev/s2/m0.wav",
...     "length": "24000",
...     "speaker_1_sex": "F",
...     "speaker_2_sex": "M",
... })
>>> str(row.origin), row.mixture_type, row.length, row.sex_pair
('existing', 'mix_clean', 24000, 'different-sex')

Drawn rows may say more: a source's channel, transcript and loudness, or the piece that is used of
recordings that are joined, and level differences (:func:`make_row`).
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from separation.errors import MissingInputError, UserError
from separation.files import format_rows, read_rows, write_text
from separation.safe_paths import find_name_fault, shorten_name
from separation.text import list_lines

JOINT = "|"  # between the paths of a source that several recordings make up
GAIN_DECIMALS = 8
CHANNELS = ("mono", "first", "mean")
LARGEST, LARGEST_DB = 1e9, 300.0  # of gains and levels: beyond, float32 holds no audio
LONGEST_PATH = 4000  # characters


class Origin(StrEnum):
    """By whose rules a row becomes signals."""

    LIBRIMIX = "librimix"
    WSJ0 = "wsj0"
    EXISTING = "existing"


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceRef:
    """One source of a mixture: which recording or piece of recordings, how loud, whose.

    Attributes:
        paths: of the recording, relative to the corpus's root; several that are joined where
            ``start`` is given. Of existing audio the path as the table has it.
        channel: ``mono`` refuses more than one channel, ``first`` takes channel 0, ``mean`` all.
        start: first sample of the piece that is used, at the recordings' own rate; None: all.
        n_samples: of that piece.
        gain: factor (LibriMix).
        level: active level of the recording by ITU-T P.56, as power (wsj0-mix).
        snr_db: level that it is brought to (wsj0-mix).
        loudness_lufs: what the whole recording has after its gain, where it is stated.
        speaker, sex: empty where not stated.
        transcript: None where not stated.
    """

    paths: tuple[str, ...]
    channel: str = "mono"
    start: int | None = None
    n_samples: int | None = None
    gain: float | None = None
    level: float | None = None
    snr_db: float | None = None
    loudness_lufs: float | None = None
    speaker: str = ""
    sex: str = ""
    transcript: str | None = None

    @property
    def path(self) -> str:
        """As a table has it."""
        return JOINT.join(self.paths)


@dataclass(frozen=True, slots=True)
class NoiseRef:
    """The noise of a mixture.

    Attributes:
        path: relative to the noise corpus's root; of existing audio as the table has it.
        gain: factor; None of existing audio.
    """

    path: str
    gain: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class MixtureRow:
    """One mixture: what it is made of, or which audio it is.

    Attributes:
        mixture_id: names the mixture and its files.
        sources: in order.
        noise: None where there is none.
        mixture_path: of existing audio; empty where the mixture is rendered.
        length: samples that a table of existing audio states; None where it states none.
        level_differences_db: power of source 1 over that of source 2 (and 3) that was asked for;
            empty where nothing was.
        fault: why the line of the table cannot be used, with its number; mostly empty.
        columns: the row's own text, all columns in order: what is written, hashed and compared.
    """

    mixture_id: str
    sources: tuple[SourceRef, ...]
    noise: NoiseRef | None = None
    mixture_path: str = ""
    length: int | None = None
    level_differences_db: tuple[float | None, ...] = ()
    fault: str = ""
    columns: Mapping[str, str] = field(repr=False, hash=False)

    @property
    def origin(self) -> Origin:
        """Who renders it."""
        if self.mixture_path:
            return Origin.EXISTING
        has_level = bool(self.sources) and self.sources[0].level is not None
        return Origin.WSJ0 if has_level else Origin.LIBRIMIX

    @property
    def n_src(self) -> int:
        return len(self.sources)

    @property
    def mixture_type(self) -> str:
        """The folder of existing audio, such as ``mix_clean``; else empty."""
        return Path(self.mixture_path).parent.name if self.mixture_path else ""

    @property
    def sex_pair(self) -> str:
        """``same-sex``, ``different-sex``, or ``unknown``, as of one speaker."""
        sexes = {source.sex.strip()[:1].upper() for source in self.sources}  # F, f and female
        if self.n_src < 2 or "" in sexes:
            return "unknown"
        return "same-sex" if len(sexes) == 1 else "different-sex"

    def list_audio(self) -> list[str]:
        """Paths of existing audio, in the order of the columns."""
        return list(self.list_paths().values())

    def list_paths(self) -> dict[str, str]:
        """The columns that hold paths of existing audio, in order."""
        name = re.compile(r"(mixture|noise|source_\d+)_path")
        return {key: text for key, text in self.columns.items() if text and name.fullmatch(key)}

    def with_columns(self, stated: Mapping[str, str]) -> "MixtureRow":
        """The row with what is stated elsewhere, in place of what it says itself."""
        return parse_row({**self.columns, **stated}) if stated else self


def parse_row(columns: Mapping[str, str]) -> MixtureRow:
    """A row from the columns of a table's line; unknown columns are kept.

    Raises:
        UserError: says which column cannot be used, and why.
    """
    if None in columns or None in columns.values():  # csv's mark of surplus and missing cells
        raise UserError("another number of columns than the first line")
    existing = "mixture_path" in columns
    numbers = range(1, count_sources(columns) + 1)
    differences = tuple(
        _parse_number(columns, f"level_difference_{number}_db") for number in numbers[1:]
    )
    return MixtureRow(
        mixture_id=_take_name(columns, "mixture_ID"),
        sources=tuple(_parse_source(columns, number, existing) for number in numbers),
        noise=_parse_noise(columns, existing),
        mixture_path=_take_path(columns, "mixture_path") if existing else "",
        length=_parse_length(columns.get("length")),
        level_differences_db=differences if any(d is not None for d in differences) else (),
        columns=columns,
    )


def count_sources(columns: Iterable[str]) -> int:
    """Number of sources in a table's columns.

    >>> count_sources(["mixture_ID", "source_1_path", "source_2_path", "noise_path"])
    2
    """
    names, number = set(columns), 1
    while f"source_{number}_path" in names:
        number += 1
    return number - 1


def _parse_source(columns: Mapping[str, str], number: int, existing: bool) -> SourceRef:
    name, speaker = f"source_{number}", f"speaker_{number}"
    path = _take_path(columns, f"{name}_path")
    start = _parse_count(columns, f"{name}_start")
    n_samples = _parse_count(columns, f"{name}_n_samples")
    if start is not None and n_samples is None:
        raise UserError(f"{name}_start without {name}_n_samples")
    if n_samples == 0:
        raise UserError(f"{name}_n_samples=0 holds no samples")
    paths = (path,) if start is None else tuple(path.split(JOINT))
    if not existing:
        _check_inside(f"{name}_path", path, paths)
    channel = columns.get(f"{name}_channel") or ""
    if channel not in ("", *CHANNELS):
        raise UserError(f"{name}_channel={shorten_name(channel)} is none of {', '.join(CHANNELS)}")
    level, snr_db = None, None
    if not existing and f"{name}_level" in columns:
        level, snr_db = _parse_wsj0_level(columns, name)
    return SourceRef(
        paths=paths,
        channel=channel or ("mono" if level is None else "first"),
        start=start,
        n_samples=n_samples,
        gain=_parse_gain(columns, f"{name}_gain"),
        level=level,
        snr_db=snr_db,
        loudness_lufs=_parse_number(columns, f"{name}_loudness_lufs"),
        speaker=columns.get(f"{speaker}_ID") or "",
        sex=columns.get(f"{speaker}_sex") or "",
        transcript=columns.get(f"{name}_transcript"),
    )


def _parse_noise(columns: Mapping[str, str], existing: bool) -> NoiseRef | None:
    gain = _parse_gain(columns, "noise_gain")
    if "noise_path" not in columns:
        return None
    path = _take_path(columns, "noise_path")
    if not existing:
        _check_inside("noise_path", path, (path,))
    return NoiseRef(path, gain)


def _parse_wsj0_level(columns: Mapping[str, str], name: str) -> tuple[float, float]:
    level = _parse_number(columns, f"{name}_level")
    snr_db = _parse_number(columns, f"{name}_snr_db")
    if level is None or snr_db is None or not 0 < level < LARGEST or abs(snr_db) > LARGEST_DB:
        raise UserError(f"{name}_level={columns[f'{name}_level']!r} is not an active level")
    return level, snr_db


def _parse_length(text: str | None) -> int | None:
    """LibriMix's column, in samples, in some tables a float; others of that name are ignored."""
    return int(float(text)) if text and re.fullmatch(r"[0-9]+(\.0)?", text) else None


def _take(columns: Mapping[str, str], key: str) -> str:
    if not columns.get(key):
        raise UserError(f"{key} is empty")
    return columns[key]


def _take_path(columns: Mapping[str, str], key: str) -> str:
    """A path, which must be one that a file system can be asked for."""
    path = _take(columns, key)
    if "\0" in path or max(map(len, path.split(JOINT))) > LONGEST_PATH:
        raise UserError(f"{key}={shorten_name(path)} is no path of a file")
    return path


def _take_name(columns: Mapping[str, str], key: str) -> str:
    """A name that files are called by."""
    if fault := find_name_fault(_take(columns, key)):
        raise UserError(f"{key}={shorten_name(columns[key])} {fault}")
    return columns[key]


def _check_inside(key: str, text: str, paths: tuple[str, ...]) -> None:
    if any(path[:1] in ("", "/") or (".." in path and ".." in path.split("/")) for path in paths):
        raise UserError(
            f"{key}={shorten_name(text)} should be relative to the corpus and lie in it"
        )


def _parse_number(columns: Mapping[str, str], key: str) -> float | None:
    text = columns.get(key)
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise UserError(f"{key}={text!r} is not a number")
    return number


def _parse_count(columns: Mapping[str, str], key: str) -> int | None:
    number = _parse_number(columns, key)
    if number is not None and (number < 0 or number != int(number)):
        raise UserError(f"{key}={columns[key]!r} is not a number of samples")
    return None if number is None else int(number)


def _parse_gain(columns: Mapping[str, str], key: str) -> float | None:
    if key not in columns:
        return None
    try:
        gain = float(columns[key])
    except ValueError:
        gain = math.nan
    if not 0 < gain < LARGEST:
        raise UserError(f"{key}={columns[key]!r} is not a gain")
    return gain


def make_row(
    mixture_id: str,
    sources: Sequence[SourceRef],
    noise: NoiseRef | None = None,
    level_differences_db: Sequence[float] = (),
) -> MixtureRow:
    """A row in LibriMix's columns and more, as a draw writes it: decimals of fixed length.

    ``source_k_transcript`` is as in Aishell1Mix; of pieces ``source_k_start`` and
    ``source_k_n_samples`` at the recordings' own rate, with all their paths; of whole utterances
    ``source_k_loudness_lufs``, what they have after their gain.

    >>> row = make_row("m0", [SourceRef(paths=("a.wav",), gain=0.5), SourceRef(
    ...     paths=("b.wav", "c.wav"), start=10, n_samples=99, gain=1 / 3, speaker="s2", sex="F")])
    >>> row.columns["source_2_path"], row.columns["source_2_gain"], row.sources[1].gain
    ('b.wav|c.wav', '0.33333333', 0.33333333)
    """
    columns = {"mixture_ID": mixture_id}
    numbered = list(enumerate(sources, 1))
    for number, source in numbered:
        columns[f"source_{number}_path"] = source.path
        columns[f"source_{number}_gain"] = f"{source.gain:.{GAIN_DECIMALS}f}"
    for number, source in numbered:
        columns[f"speaker_{number}_ID"] = source.speaker
        columns[f"speaker_{number}_sex"] = source.sex
        columns[f"source_{number}_channel"] = source.channel
    if noise is not None:
        columns["noise_path"] = noise.path
        columns["noise_gain"] = f"{noise.gain:.{GAIN_DECIMALS}f}"
    for number, source in numbered:
        if source.transcript is not None:
            columns[f"source_{number}_transcript"] = source.transcript
        if source.loudness_lufs is not None:
            columns[f"source_{number}_loudness_lufs"] = f"{source.loudness_lufs:.2f}"
        if source.start is not None:
            columns[f"source_{number}_start"] = str(source.start)
            columns[f"source_{number}_n_samples"] = str(source.n_samples)
    for number, difference_db in enumerate(level_differences_db, 2):
        columns[f"level_difference_{number}_db"] = f"{difference_db:.4f}"
    return parse_row(columns)


def make_existing_row(
    mixture_id: str, mixture: str, sources: Sequence[str], noise: str = ""
) -> MixtureRow:
    """A row of audio that is there.

    >>> make_existing_row("m0", "mix/m0.wav", ["s1/m0.wav", "s2/m0.wav"]).n_src
    2
    """
    columns = {"mixture_ID": mixture_id, "mixture_path": mixture}
    columns |= {f"source_{number}_path": path for number, path in enumerate(sources, 1)}
    return parse_row(columns | ({"noise_path": noise} if noise else {}))


def make_faulty_row(mixture_id: str, fault: str) -> MixtureRow:
    """What stands for a line of a table that cannot be used."""
    columns = {"mixture_ID": mixture_id, "row_fault": fault}
    return MixtureRow(mixture_id=mixture_id, sources=(), fault=fault, columns=columns)


def read_table(path: Path) -> tuple[list[MixtureRow], list[str]]:
    """Read a mixture table of any kind, leniently: a line that cannot be used is a finding.

    Returns:
        a row a line, those that cannot be used with their ``fault``; and all that is wrong, in
        words: these faults, and repeated IDs.

    Raises:
        MissingInputError: there is no such file.
        UserError: it is no mixture table at all.
    """
    lines = _read_lines(path)
    rows = [_parse_line(columns, number) for number, columns in enumerate(lines, 2)]
    return rows, [row.fault for row in rows if row.fault] + _list_repeated(rows)


def read_mixture_table(path: Path, *, allow_repeats: bool = False) -> list[MixtureRow]:
    """Read a mixture table of any kind, strictly: every line must be usable.

    Args:
        allow_repeats: whether a line may come twice, as in some lists; never may two mixtures have
            one ID.

    Raises:
        MissingInputError: there is no such file.
        UserError: it is no mixture table; or lists what is wrong with its lines.
    """
    rows, faults = read_table(path)
    if allow_repeats:
        faults = [row.fault for row in rows if row.fault] + _list_repeated(rows, same_too=False)
    if len(faults) == 1:
        raise UserError(f"{path}: {faults[0]}; correct the table or make it again.")
    if faults:
        raise UserError(
            f"{list_lines(faults)}\n{path}: {len(faults)} faults; correct the table or make it "
            "again."
        )
    return rows


def read_first_audio(path: Path) -> str:
    """The audio of a table's first mixture; empty where mixtures are rendered, or there is none.

    Raises:
        UserError: it is no CSV table.
    """
    first = next(iter(read_rows(path)), {})
    return first.get("mixture_path") or ""


def _read_lines(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        raise MissingInputError(f"{path}: no such mixture table; check the path.")
    lines = read_rows(path)
    if not lines:
        raise UserError(f"{path}: holds no mixtures; fetch it again.")
    missing = list_missing_columns({key for key in lines[0] if key is not None})
    if missing:
        raise UserError(
            f"{path}: is no mixture table: it lacks {', '.join(missing)}; its columns should be "
            "mixture_ID, source_1_path, source_1_gain, source_2_path, source_2_gain, ... as in "
            "LibriMix's metadata."
        )
    return lines


def list_missing_columns(columns: set[str]) -> list[str]:
    """Columns that a table of this kind should have and has not."""
    needed = {"mixture_ID", "source_1_path"}
    numbers = range(1, count_sources(columns) + 1)
    if "mixture_path" not in columns:
        names = ("level", "snr_db") if "source_1_level" in columns else ("gain",)
        needed |= {f"source_{number}_{name}" for number in numbers for name in names}
        needed |= {"noise_gain"} if "noise_path" in columns else set()
    return sorted(needed - columns)


def _parse_line(columns: dict[str, str], number: int) -> MixtureRow:
    try:
        return parse_row(columns)
    except UserError as error:
        name = columns.get("mixture_ID") or f"line {number}"
        return make_faulty_row(name, f"line {number}: {error}")


def _list_repeated(rows: Sequence[MixtureRow], *, same_too: bool = True) -> list[str]:
    first: dict[str, MixtureRow] = {}
    repeated = dict.fromkeys(
        row.mixture_id
        for row in rows
        if (known := first.setdefault(row.mixture_id, row)) is not row
        and (same_too or known.columns != row.columns)
    )
    return [f"mixture_ID {name} occurs more than once" for name in repeated]


def write_mixture_table(path: Path, rows: Sequence[MixtureRow]) -> None:
    """Write a mixture table whole or not at all."""
    write_text(path, format_table(rows))


def format_table(rows: Sequence[MixtureRow]) -> str:
    """The canonical text of a mixture table: what is written, and what fingerprints are of.

    A column that only some rows have, such as the place of a piece, is empty in the others.
    """
    columns = list(dict.fromkeys(name for row in rows for name in row.columns))
    return format_rows([dict(row.columns) for row in rows], columns)


def name_split(path: Path) -> str:
    """The folder name that LibriMix's generator gives to a metadata file.

    >>> name_split(Path("libri2mix_train-clean-100.csv"))
    'train-100'
    """
    return re.sub(r"^libri\dmix_", "", path.stem).replace("-clean", "")


def name_dataset(path: Path, n_src: int) -> str:
    """``Libri2Mix`` for LibriMix's own lists, ``Mix2`` for others."""
    return f"Libri{n_src}Mix" if re.match(r"libri\dmix_", path.stem) else f"Mix{n_src}"


def list_sources(rows: Iterable[MixtureRow]) -> list[tuple[str, str]]:
    """``(path, channel)`` of every recording of a source, each once, sorted."""
    return sorted(
        {(path, source.channel) for row in rows for source in row.sources for path in source.paths}
    )


def list_noises(rows: Iterable[MixtureRow]) -> list[tuple[str, str]]:
    """``(path, channel)`` of every noise, each once, sorted."""
    return sorted({(row.noise.path, "first") for row in rows if row.noise is not None})
