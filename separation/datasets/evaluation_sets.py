"""Evaluation sets: a mixture table, audio that exists, or a recipe's split, at any model's rate.

Everything is scored at the model's rate: a table is rendered at it; of audio of another rate the
mixture and the references alike are resampled to it. So a model answers for the band that it
works in and no other, its published scores are of the same kind, and no resampling of
estimates adds to its errors. A model of 8 kHz on audio of 16 kHz is therefore not charged for what
lies above 4 kHz; the notes say so.
"""

import dataclasses
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from separation.audio.headers import DECODING_ERRORS
from separation.datasets.open import open_datasets
from separation.datasets.options import MixtureOptions
from separation.errors import MissingInputError, UserError
from separation.files import hash_text_file
from separation.jobs import spread_evenly
from separation.mixtures.dataset import MixtureDataset, ReadOptions, read_at_own_rate
from separation.mixtures.existing import list_faults
from separation.mixtures.kinds import MODES
from separation.mixtures.layout import SPLIT_FOLDERS
from separation.mixtures.published_lists import add_speakers
from separation.mixtures.table import MixtureRow, Origin
from separation.text import explain_error, list_first

logger = logging.getLogger(__name__)

TREE_RATES = (8000, 16000)  # Hz, of the branches wav8k and wav16k
N_TRIED = 20  # mixtures looked at: they tell the rate, or that a set is unusable


@dataclass(frozen=True, kw_only=True)
class EvalSet:
    """One set to evaluate on, opened; nothing of it is in memory but its table.

    Attributes:
        name: tells it from other sets, such as ``librimix:test`` or ``calls/test``.
        form: ``table``, ``audio`` or ``recipe``.
        rows: of all its mixtures, or of those that are scored; unusable lines too.
        options: how they are read.
        own_rate: Hz, of audio that exists, or that a table was asked for at; 0 where it is
            rendered at any.
        n_src: sources of every mixture.
        n_whole: mixtures before a limit.
        fingerprint: of a table's text; empty for audio, whose samples tell it when they are read.
        notes: sentences for the report.
    """

    name: str
    form: str
    rows: list[MixtureRow]
    options: ReadOptions
    own_rate: int
    n_src: int
    n_whole: int
    fingerprint: str
    notes: tuple[str, ...] = ()

    def at(self, sample_rate: int) -> MixtureDataset:
        """The mixtures at one rate."""
        options = self.options
        return MixtureDataset(
            self.rows,
            dataclasses.replace(options, sample_rate=sample_rate),
            name=self.name,
            own_rate=self.own_rate,
            stamped=[options.mode, options.kind, sample_rate, self.own_rate],
        )

    @property
    def mode(self) -> str:
        """``min`` or ``max``; of audio that exists only what its folders say, else empty."""
        audio = _find_audio(self.rows)
        if audio is None:
            return self.options.mode
        parts = Path(audio.mixture_path).parts
        return next((mode for mode in MODES if mode in parts), "")

    @property
    def is_min_mode(self) -> bool:
        """Whether mixtures end with their shortest source: so does audio in no folder ``max``."""
        return self.mode != "max"

    @property
    def mixture_type(self) -> str:
        """``mix_clean``, ``mix_both`` or ``mix``: of a table as rendered, of audio by folder."""
        return _find_type(self.rows, self.options)

    def describe_resampling(self, sample_rate: int) -> tuple[str, ...]:
        """A sentence where the audio has another rate than a model."""
        if self.own_rate in (0, sample_rate):
            return ()
        text = f"resampled {self.own_rate} -> {sample_rate} Hz, mixture and references alike"
        if sample_rate < self.own_rate:
            return (f"{text}: nothing above {sample_rate // 2} Hz is scored.",)
        return (f"{text}: there is nothing above {self.own_rate // 2} Hz to separate.",)

    def limit(self, n_mixtures: int) -> "EvalSet":
        """An evenly spaced sample of it, which its notes say."""
        if n_mixtures >= len(self.rows):
            return self
        rows = [self.rows[index] for index in spread_evenly(len(self.rows), n_mixtures)]
        note = f"a sample: {n_mixtures} of {self.n_whole} mixtures, evenly spaced (--limit)."
        return dataclasses.replace(self, rows=rows, notes=(*self.notes, note))


def open_eval_set(text: str, options: MixtureOptions, rates: Sequence[int] = ()) -> EvalSet:
    """What one text of ``--test-sets`` stands for.

    Args:
        text: a mixture table (LibriMix's CSV, ours, wsj0-mix's .txt), a folder with mix/ s1/ s2/
            (s3/), a tree of such folders (its test split is taken), a CSV that names
            audio, or ``MIX:split``.
        options: corpora, mode and type for all sets.
        rates: of the models, in Hz: the branches of a tree that are looked for first.

    Raises:
        MissingInputError, UserError: it is none of these, different mixtures have one ID, or none
            of some mixtures all over it can be read.
    """
    found = _choose_split(_open_at_some_rate(text, options, rates), text)
    rows, note = _drop_repeated(add_speakers(found.rows), text)
    usable = [row for row in rows if not row.fault]
    if not usable:
        raise UserError(f"{text}: {rows[0].fault}; no line of it can be used.")
    own_rate = _try_some(found, text, (*rates, *TREE_RATES)[0]) or options.rate or 0
    if usable[0].origin == Origin.EXISTING:
        _warn_of_faults(usable, found.options, own_rate, options.n_jobs, text)
    is_table = found.form != "audio" and found.source.is_file()
    return EvalSet(
        name=_name_set(found, text),
        form=found.form,
        rows=rows,
        options=found.options,
        own_rate=own_rate,
        n_src=usable[0].n_src,
        n_whole=len(rows),
        fingerprint=hash_text_file(found.source) if is_table else "",
        notes=(note,) if note else (),
    )


def _warn_of_faults(
    rows: list[MixtureRow], options: ReadOptions, sample_rate: int, n_jobs: int, text: str
) -> None:
    """Name mixtures that will not be scored before the others are, which may take hours."""
    faults = list_faults(rows, sample_rate, n_jobs, f"{text} headers", options.base)
    if faults:
        logger.warning(
            "%s: %d of %d mixtures will have no scores: %s",
            text,
            len(faults),
            len(rows),
            list_first(faults, joined_by="; "),
        )


def _open_at_some_rate(
    text: str, options: MixtureOptions, rates: Sequence[int]
) -> list[MixtureDataset]:
    """A tree has a branch a rate: the first that is there, the models' rates before others."""
    if options.rate or not Path(text).expanduser().is_dir():
        return open_datasets(text, options)
    complaint: MissingInputError | None = None
    for rate in dict.fromkeys([*rates, *TREE_RATES]):
        try:
            return open_datasets(text, dataclasses.replace(options, rate=rate))
        except MissingInputError as error:
            complaint = complaint or error
    assert complaint is not None
    raise complaint


def _choose_split(found: list[MixtureDataset], text: str) -> MixtureDataset:
    if len(found) == 1:
        return found[0]
    tests = [inputs for inputs in found if inputs.name in SPLIT_FOLDERS["test"]]
    if len(tests) == 1:
        return tests[0]
    raise UserError(
        f"{text}: holds {', '.join(inputs.name for inputs in found)}; give the folder of one."
    )


def _drop_repeated(rows: list[MixtureRow], text: str) -> tuple[list[MixtureRow], str]:
    """Rows with each mixture once, and a sentence where one was listed twice (wsj0-mix's are).

    Raises:
        UserError: different mixtures have one ID.
    """
    kept: dict[str, MixtureRow] = {}
    for row in rows:
        if kept.setdefault(row.mixture_id, row) != row:
            raise UserError(
                f"{text}: mixture_ID {row.mixture_id} is that of two different mixtures; every "
                "mixture needs a name of its own."
            )
    surplus = len(rows) - len(kept)
    note = f"{surplus} mixtures are listed a second time and scored once." if surplus else ""
    return list(kept.values()), note


def _try_some(found: MixtureDataset, text: str, sample_rate: int) -> int:
    """The rate in Hz that most audio has, of some mixtures all over the set; 0 for a table.

    Raises:
        UserError: none of them can be read, so that the rest would hardly be better.
    """
    rows = [found.rows[index] for index in spread_evenly(len(found.rows), N_TRIED)]
    options = dataclasses.replace(found.options, sample_rate=sample_rate)
    complaints, rates = [], []
    for row in rows:
        try:
            rates.append(read_at_own_rate(row, options).sample_rate)
        except DECODING_ERRORS as error:
            complaints.append(explain_error(error))
            continue
        if row.origin != Origin.EXISTING:
            return 0
    if rates:
        return max(sorted(set(rates)), key=rates.count)
    raise UserError(
        f"{text}: none of {len(complaints)} mixtures, evenly spread, can be used: {complaints[0]}; "
        "the files of a mixture have the same name in mix/, s1/, s2/, are mono WAV or FLAC, and of "
        "equal lengths and rates."
    )


def _name_set(found: MixtureDataset, text: str) -> str:
    if found.form == "recipe":
        return text
    noisy = " (mix_both)" if _find_type(found.rows, found.options) == "mix_both" else ""
    if found.form == "audio":
        return "/".join(found.source.resolve().parts[-2:]).lstrip("/") + noisy
    return re.sub(r"[^\w.-]+", "_", found.source.stem) + noisy


def _find_type(rows: Sequence[MixtureRow], options: ReadOptions) -> str:
    audio = _find_audio(rows)
    return options.kind if audio is None else audio.mixture_type


def _find_audio(rows: Sequence[MixtureRow]) -> MixtureRow | None:
    return next((row for row in rows if row.origin == Origin.EXISTING), None)
