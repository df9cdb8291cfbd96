"""Test sets: a mixture table, audio that exists, or a recipe's split, at any model's rate.

Everything is scored at the model's rate: a table is rendered at it; of audio of another rate the
mixture and the references alike are resampled to it. So a model answers for the band that it
works in and no other, its published scores are of the same kind, and no resampling of
estimates adds to its errors. A model of 8 kHz on audio of 16 kHz is therefore not charged for what
lies above 4 kHz; the notes say so.
"""

import dataclasses
import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import soundfile

from separation.audio.resample import resample
from separation.datasets.open import MixtureList, open_mixtures
from separation.datasets.options import MixtureOptions
from separation.errors import MissingInputError, UserError
from separation.files import hash_text_file, hash_value, stamp_file
from separation.jobs import spread_evenly
from separation.mixtures.existing import SPLIT_FOLDERS, find_faults, tell_lengths
from separation.mixtures.kinds import MODES
from separation.mixtures.published_lists import add_speakers
from separation.mixtures.reading import (
    DECODING_ERRORS,
    Setting,
    list_files_of,
    read_signals,
    shorten,
)
from separation.mixtures.render import render_mixture
from separation.mixtures.signals import Mixture
from separation.mixtures.table import count_sources
from separation.text import explain_error, list_first

logger = logging.getLogger(__name__)

TREE_RATES = (8000, 16000)  # Hz, of the branches wav8k and wav16k
N_TRIED = 20  # mixtures looked at: they tell the rate, or that a set is unusable


class RatedMixtures(Sequence[Mixture]):
    """A test set's mixtures at one rate, read or rendered anew each time they are asked for.

    Args:
        rows: of a mixture table or of a folder of audio.
        setting: how they are read.
        sample_rate: Hz, of what is returned.
        own_rate: Hz, that a table is rendered at before it is resampled, and that audio has; 0: for
            a table the same, for audio any.
    """

    def __init__(
        self, rows: list[dict[str, str]], setting: Setting, sample_rate: int, own_rate: int = 0
    ) -> None:
        self.rows, self.setting, self.sample_rate = rows, setting, sample_rate
        self._own_rate = own_rate

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index):  # type: ignore[override]
        return self.read(index)[0]

    def __iter__(self) -> Iterator[Mixture]:
        return (self[index] for index in range(len(self)))

    def read(self, index: int) -> tuple[Mixture, int]:
        """One mixture, and the rate in Hz that it had before.

        Raises:
            UserError, OSError, RuntimeError: a file of it cannot be used.
        """
        row = self.rows[index]
        if "row_fault" in row:
            raise UserError(row["row_fault"])
        if "mixture_path" in row:
            mixture, rate = _read_audio(row, self.setting, self.sample_rate)
            if self._own_rate not in (0, rate):
                raise UserError(
                    f"{row['mixture_path']}: has {rate} Hz where most of the set has "
                    f"{self._own_rate}; bring all to one rate"
                )
            return mixture, rate
        corpora = self.setting.corpora
        assert corpora is not None
        own_rate = self._own_rate or self.sample_rate
        rendered = render_mixture(row, corpora, own_rate, self.setting.mode, self.setting.kind)
        return _resample(rendered, own_rate, self.sample_rate), own_rate

    def stamp(self, index: int) -> str:
        """Hash of the row, of how it is read, and of its files' sizes and times."""
        setting = (self.setting.mode, self.setting.kind, self.sample_rate, self._own_rate)
        files = list_files_of(self.rows[index], self.setting)
        return hash_value([self.rows[index], setting, [stamp_file(path) for path in files]])


def _read_audio(row: dict[str, str], setting: Setting, sample_rate: int) -> tuple[Mixture, int]:
    signals, faults = read_signals(row, setting)
    if signals is None:
        # a rate that is not the setting's is no fault here; that they differ is
        told = [text for check, texts in faults.items() if check != "wrong-rate" for text in texts]
        raise UserError("; ".join(told) or _tell_rates(row, setting))
    parts = [signals.mixture, *signals.sources]
    complaint = tell_lengths(row["mixture_path"], [len(part) for part in parts])
    if complaint:
        raise UserError(complaint)
    found = Mixture(row, parts[0], np.stack(parts[1:]))
    return _resample(found, signals.sample_rate, sample_rate), signals.sample_rate


def _tell_rates(row: dict[str, str], setting: Setting) -> str:
    files = list_files_of(row, setting)
    rates = [f"{shorten(str(path))} {soundfile.info(path).samplerate} Hz" for path in files]
    return f"mixture and references differ in sample rate: {', '.join(rates)}"


def _resample(mixture: Mixture, rate_in: int, rate_out: int) -> Mixture:
    if rate_in == rate_out:
        return mixture
    resampled = resample(mixture.mixture, rate_in, rate_out)
    sources = [resample(source, rate_in, rate_out) for source in mixture.sources]
    return Mixture(mixture.row, resampled, np.stack(sources))


@dataclass(frozen=True)
class TestSet:
    """One test set, opened; nothing of it is in memory but its table.

    Attributes:
        name: tells it from other sets, such as ``librimix:test`` or ``calls/test``.
        kind: ``table``, ``audio`` or ``recipe``.
        rows: of all its mixtures, or of those that are scored.
        setting: how they are read.
        own_rate: Hz, of audio that exists, or that a table was asked for at; 0 where it is
            rendered at any.
        n_src: sources of every mixture.
        n_whole: mixtures before a limit.
        fingerprint: of a table's text; empty for audio, whose samples tell it when they are read.
        notes: sentences for the report.
    """

    __test__: ClassVar[bool] = False  # no test case, whatever pytest thinks of its name
    name: str
    kind: str
    rows: list[dict[str, str]]
    setting: Setting
    own_rate: int
    n_src: int
    n_whole: int
    fingerprint: str
    notes: tuple[str, ...] = ()

    def at(self, sample_rate: int) -> RatedMixtures:
        """The mixtures at one rate."""
        return RatedMixtures(self.rows, self.setting, sample_rate, self.own_rate)

    def in_min_mode(self) -> bool:
        """Whether mixtures end with their shortest source; of audio, as its folders say."""
        if "mixture_path" in self.rows[0]:
            return "max" not in Path(self.rows[0]["mixture_path"]).parts
        return self.setting.mode == "min"

    def tell_mode(self) -> str:
        """``min`` or ``max``; of audio that exists only what its folders say, else empty."""
        if "mixture_path" not in self.rows[0]:
            return self.setting.mode
        parts = Path(self.rows[0]["mixture_path"]).parts
        return next((mode for mode in MODES if mode in parts), "")

    def tell_rate(self, sample_rate: int) -> tuple[str, ...]:
        """A sentence where the audio has another rate than a model."""
        if self.own_rate in (0, sample_rate):
            return ()
        text = f"resampled {self.own_rate} -> {sample_rate} Hz, mixture and references alike"
        if sample_rate < self.own_rate:
            return (f"{text}: not judged above {sample_rate // 2} Hz.",)
        return (f"{text}: there is nothing above {self.own_rate // 2} Hz to separate.",)

    def limit(self, n_mixtures: int) -> "TestSet":
        """An evenly spaced sample of it, which its notes tell."""
        if n_mixtures >= len(self.rows):
            return self
        rows = [self.rows[index] for index in spread_evenly(len(self.rows), n_mixtures)]
        note = f"a sample: {n_mixtures} of {self.n_whole} mixtures, evenly spaced (--limit)."
        return dataclasses.replace(self, rows=rows, notes=(*self.notes, note))


def open_test_set(text: str, options: MixtureOptions, rates: Sequence[int] = ()) -> TestSet:
    """What one text of ``--test-sets`` stands for.

    Args:
        text: a mixture table (LibriMix's CSV, ours, wsj0-mix's .txt), a folder with mix/ s1/ s2/
            (s3/), a tree of such folders (its test split is taken), a CSV that names
            audio, or ``MIX:split``.
        options: corpora, mode and type for all sets.
        rates: of the models, in Hz: the branches of a tree that are looked for first.

    Raises:
        MissingInputError, UserError: it is none of these, repeats an ID, or none of its first
            mixtures can be read.
    """
    found = _choose_split(_open_at_some_rate(text, options, rates), text)
    rows, note = _drop_repeated(add_speakers(found.rows), text)
    whole = [row for row in rows if "row_fault" not in row]
    if not whole:
        raise UserError(f"{text}: {rows[0]['row_fault']}; no line of it can be used.")
    n_src = count_sources(whole[0])
    own_rate = _try_some(found, text, (*rates, *TREE_RATES)[0]) or options.rate or 0
    if "mixture_path" in whole[0]:
        _warn_of_faults(whole, found.setting, own_rate, options.n_jobs, text)
    is_table = found.kind != "audio" and found.source.is_file()
    fingerprint = hash_text_file(found.source) if is_table else ""
    return TestSet(
        *(_name_set(found, text), found.kind, rows, found.setting),
        *(own_rate, n_src, len(rows), fingerprint),
        notes=(note,) if note else (),
    )


def _warn_of_faults(
    rows: list[dict[str, str]], setting: Setting, sample_rate: int, n_jobs: int, text: str
) -> None:
    """Tell of mixtures that will not be scored before the others are, which may take hours."""
    placed = [
        {key: str(setting.base / row[key]) for key in row if key.endswith("_path") and row[key]}
        for row in rows
    ]
    complaints = find_faults(placed, sample_rate, n_jobs, f"{text} headers")
    if complaints:
        logger.warning(
            "%s: %d of %d mixtures will have no scores: %s",
            text,
            len(complaints),
            len(rows),
            list_first(complaints, joined_by="; "),
        )


def _open_at_some_rate(
    text: str, options: MixtureOptions, rates: Sequence[int]
) -> list[MixtureList]:
    """A tree has a branch a rate: the first that is there, the models' rates before others."""
    if options.rate or not Path(text).expanduser().is_dir():
        return open_mixtures(text, options)
    complaint: MissingInputError | None = None
    for rate in dict.fromkeys([*rates, *TREE_RATES]):
        try:
            return open_mixtures(text, dataclasses.replace(options, rate=rate))
        except MissingInputError as error:
            complaint = complaint or error
    assert complaint is not None
    raise complaint


def _choose_split(found: list[MixtureList], text: str) -> MixtureList:
    if len(found) == 1:
        return found[0]
    tests = [inputs for inputs in found if inputs.name in SPLIT_FOLDERS["test"]]
    if len(tests) == 1:
        return tests[0]
    raise UserError(
        f"{text}: holds {', '.join(inputs.name for inputs in found)}; give the folder of one."
    )


def _drop_repeated(rows: list[dict[str, str]], text: str) -> tuple[list[dict[str, str]], str]:
    """Rows with each mixture once, and a sentence where one was listed twice (wsj0-mix's are).

    Raises:
        UserError: different mixtures have one ID.
    """
    kept: dict[str, dict[str, str]] = {}
    for row in rows:
        if kept.setdefault(row["mixture_ID"], row) != row:
            raise UserError(
                f"{text}: mixture_ID {row['mixture_ID']} is that of two different mixtures; every "
                "mixture needs a name of its own."
            )
    surplus = len(rows) - len(kept)
    note = f"{surplus} mixtures are listed a second time and scored once." if surplus else ""
    return list(kept.values()), note


def _try_some(found: MixtureList, text: str, sample_rate: int) -> int:
    """The rate in Hz that most audio has, of some mixtures all over the set; 0 for a table.

    Raises:
        UserError: none of them can be read, so that the rest would hardly be better.
    """
    rows = [found.rows[index] for index in spread_evenly(len(found.rows), N_TRIED)]
    mixtures = RatedMixtures(rows, found.setting, sample_rate)
    complaints, rates = [], []
    for index, row in enumerate(rows):
        try:
            _, rate = mixtures.read(index)
        except DECODING_ERRORS as error:
            complaints.append(explain_error(error))
            continue
        if "mixture_path" not in row:
            return 0
        rates.append(rate)
    if rates:
        return max(sorted(set(rates)), key=rates.count)
    raise UserError(
        f"{text}: none of {len(complaints)} mixtures, evenly spread, can be used: {complaints[0]}; "
        "the files of a mixture have the same name in mix/, s1/, s2/, are mono WAV or FLAC, and of "
        "equal lengths and rates."
    )


def _name_set(found: MixtureList, text: str) -> str:
    if found.kind == "recipe":
        return text
    noisy = " (mix_both)" if tell_type(found.rows, found.setting) == "mix_both" else ""
    if found.kind == "audio":
        return "/".join(found.source.resolve().parts[-2:]).lstrip("/") + noisy
    return re.sub(r"[^\w.-]+", "_", found.source.stem) + noisy


def tell_type(rows: list[dict[str, str]], setting: Setting) -> str:
    """``mix_clean``, ``mix_both`` or ``mix``: of a table as it is rendered, of audio by folder."""
    path = next((row["mixture_path"] for row in rows if "mixture_path" in row), "")
    return Path(path).parent.name if path else setting.kind
