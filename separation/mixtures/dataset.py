"""A set of mixtures as a sequence: read or rendered when asked for, or kept where they are few."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from separation.audio.headers import DECODING_ERRORS
from separation.errors import UserError
from separation.files import hash_value, locate_recording, stamp_file
from separation.jobs import run_jobs, spread_evenly
from separation.mixtures.existing import read_existing
from separation.mixtures.kept import KeptMixture, fits_memory, measure_budget
from separation.mixtures.render import render_mixture
from separation.mixtures.signals import Mixture
from separation.mixtures.source_files import Corpora
from separation.mixtures.table import MixtureRow, Origin

logger = logging.getLogger(__name__)

FEW = 600  # mixtures that are kept as far as memory goes, without a look at some first
N_TRIED = 8  # mixtures from whose size that of many is estimated


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """How the rows of one set become signals.

    Attributes:
        corpora: roots of a mixture table; None where the mixtures exist as audio.
        sample_rate: that is asked for, in Hz.
        mode: ``min`` or ``max``, of a table.
        kind: mixture type of a table: ``mix_clean``, ``mix_both``, ``mix_single``, ``mix``
            (wsj0-mix); empty: see :func:`separation.mixtures.render.render_mixture`.
        base: what paths of audio that exists are relative to.
    """

    corpora: Corpora | None
    sample_rate: int
    mode: str = "min"
    kind: str = ""
    base: Path = Path()

    def list_files(self, row: MixtureRow) -> list[Path]:
        """Every file that a row is read or rendered from, but for those in a pack."""
        if row.origin == Origin.EXISTING:
            return [self.base / path for path in row.list_audio()]
        if self.corpora is None:  # a line of a table of audio that cannot be used
            return []
        pack, speech, noise = self.corpora.pack, self.corpora.speech, self.corpora.noise
        paths = [path for source in row.sources for path in source.paths]
        unpacked = [path for path in paths if pack is None or pack.find(path) is None]
        files = [locate_recording(speech / path) for path in unpacked]
        if self.kind == "mix_both" and noise is not None and row.noise is not None:
            files.append(locate_recording(noise / row.noise.path))
        return files


class MixtureDataset(Sequence[Mixture]):
    """Mixtures of one set: rows, and how they become signals; read anew each time they are taken.

    Args:
        rows: of any kind of mixture table, or of a folder of audio.
        options: how they are read.
        name: of the set, such as ``test``.
        form: what it was opened from: a ``table``, a folder of ``audio``, a ``recipe``'s split.
        source: that table or folder.
        own_rate: Hz, that audio must have and tables are rendered at, before they are resampled
            to the options' rate; 0: audio may have any, tables are rendered at the options' rate.
        stamped: what stamps depend on beside rows and files; journals of scores hold stamps.
    """

    def __init__(
        self,
        rows: Sequence[MixtureRow],
        options: ReadOptions,
        *,
        name: str = "",
        form: Literal["table", "audio", "recipe"] = "table",
        source: Path = Path(),
        own_rate: int = 0,
        stamped: Sequence[Any] = (),
    ) -> None:
        self.rows, self.options, self.own_rate = list(rows), options, own_rate
        self.name, self.form, self.source = name, form, source
        self._stamped = list(stamped) or [options.sample_rate, options.mode, options.kind]
        self._kept: dict[int, KeptMixture | Exception] = {}

    @property
    def sample_rate(self) -> int:
        """Hz, of every mixture."""
        return self.options.sample_rate

    def keep(
        self, n_jobs: int, label: str, chosen: Sequence[int] = (), *, many: bool = True
    ) -> "MixtureDataset":
        """Render mixtures once, in parallel, where they are few or fit memory; returns itself.

        One that cannot be read raises when it is asked for, as it would if it were not kept.

        Args:
            n_jobs: processes.
            label: of the progress bar.
            chosen: which; empty: all.
            many: whether more than a few may be kept.
        """
        numbers = list(chosen) or list(range(len(self.rows)))
        if self.holds(numbers) or not self._may_keep(numbers, many):
            return self
        read = partial(_read_or_catch, read=self._read_at_rate())
        rows = (self.rows[number] for number in numbers)
        results = run_jobs(read, rows, n_jobs, total=len(numbers), label=label, unit="mixture")
        budget = measure_budget()
        for number, result in zip(numbers, results, strict=False):
            self._kept[number] = result
            budget -= result.n_bytes if isinstance(result, KeptMixture) else 0
            if budget < 0:
                logger.info("%s: %d of %d fit the memory", label, len(self._kept), len(numbers))
                break
        return self

    def holds(self, numbers: Sequence[int]) -> bool:
        """Whether all these mixtures are kept in memory."""
        return all(number in self._kept for number in numbers)

    def _may_keep(self, numbers: list[int], many: bool) -> bool:
        if len(numbers) <= FEW:
            return True
        if not many:
            return False
        tried = [numbers[place] for place in spread_evenly(len(numbers), N_TRIED)]
        read = [_read_or_catch(self.rows[number], self._read_at_rate()) for number in tried]
        kept = [mixture for mixture in read if isinstance(mixture, KeptMixture)]
        return fits_memory(kept, len(numbers))

    def stamp(self, index: int) -> str:
        """Hash of what one mixture is made from: its row, and its files' sizes and times."""
        row = self.rows[index]
        files = [stamp_file(path) for path in self.options.list_files(row)]
        return hash_value([row.columns, self._stamped, files])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index):  # type: ignore[override]
        if index not in self._kept:
            return self._read_at_rate()(self.rows[index])
        kept = self._kept[index]
        if isinstance(kept, Exception):
            raise kept
        return kept.open()

    def __iter__(self) -> Iterator[Mixture]:
        return (self[index] for index in range(len(self)))

    def _read_at_rate(self) -> Callable[[MixtureRow], Mixture]:
        return partial(read_at_rate, options=self.options, own_rate=self.own_rate)


def read_at_rate(row: MixtureRow, options: ReadOptions, own_rate: int = 0) -> Mixture:
    """One mixture at the options' rate, see :class:`MixtureDataset`.

    Raises:
        UserError, OSError, RuntimeError: a file of it cannot be used.
    """
    return read_at_own_rate(row, options, own_rate).at_rate(options.sample_rate)


def read_at_own_rate(row: MixtureRow, options: ReadOptions, own_rate: int = 0) -> Mixture:
    """One mixture before it is resampled: audio as it is, a table's rendered at ``own_rate``.

    Raises:
        UserError, OSError, RuntimeError: a file of it cannot be used, or has another rate.
    """
    if row.fault:
        raise UserError(row.fault)
    if row.origin == Origin.EXISTING:
        mixture = read_existing(row, options.base)
        if own_rate not in (0, mixture.sample_rate):
            raise UserError(
                f"{row.mixture_path}: has {mixture.sample_rate} Hz where {own_rate} Hz are "
                "expected, as most of the set has; bring all to one rate"
            )
        return mixture
    rate = own_rate or options.sample_rate
    return render_mixture(row, options.corpora, rate, options.mode, options.kind)


def _read_or_catch(
    row: MixtureRow, read: Callable[[MixtureRow], Mixture]
) -> KeptMixture | Exception:
    try:
        return KeptMixture(read(row))
    except DECODING_ERRORS as error:
        return error
