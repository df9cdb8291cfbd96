"""Separated files of any system as a system that is compared: found, checked, and read."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from separation.audio.headers import read_header, read_samples
from separation.compare.comparison import ModelInfo
from separation.compare.options import parse_estimates
from separation.datasets.evaluation_sets import EvalSet
from separation.errors import MissingInputError, UserError
from separation.evaluation.estimators import Estimator
from separation.files import hash_value, stamp_file
from separation.jobs import spread_evenly
from separation.mixtures.existing import LENGTH_TOLERANCE_S
from separation.mixtures.gather.open import LAYOUTS, describe_folder, gather, gather_splits
from separation.mixtures.gather.record import Gathered, list_sources
from separation.mixtures.signals import Mixture
from separation.mixtures.table import MixtureRow
from separation.models.inference import fit_length
from separation.text import list_first

logger = logging.getLogger(__name__)
N_TRIED = 20  # files whose headers tell the rate


@dataclass(frozen=True, kw_only=True)
class SeparatedFiles:
    """What ``--estimates NAME=DIR`` names, before it is known which sets it is for.

    Attributes:
        name: of the system.
        path: folder or table.
        gathered: its files by mixture; those of a folder within it by the folder's name.
        sample_rate: Hz, that most of them have.
    """

    name: str
    path: Path
    gathered: Mapping[str, Gathered]
    sample_rate: int


@dataclass(frozen=True, kw_only=True)
class EstimateSystem:
    """Separated files, with those of each mixture of the sets that are scored.

    Attributes:
        files: by name of the set and mixture.
        n_fitted: by name of the set, files that were cut or padded so far.
    """

    separated: SeparatedFiles
    files: Mapping[str, Mapping[str, Sequence[str]]]
    n_fitted: Counter[str] = field(default_factory=Counter)

    @property
    def info(self) -> ModelInfo:
        own = self.separated
        counts = {len(paths) for by_mixture in self.files.values() for paths in by_mixture.values()}
        layout = next(iter(own.gathered.values())).layout
        return ModelInfo(
            name=own.name,
            sha256="",
            sample_rate=own.sample_rate,
            n_src=max(counts),
            notes=(f"separated files, read from {own.path} ({layout}).",),
        )

    @property
    def key(self) -> str:
        return hash_value(["estimates", self.separated.sample_rate])

    def open(self, eval_set: EvalSet) -> Estimator:
        files = self.files[eval_set.name]

        def estimate(mixture: Mixture) -> np.ndarray:
            paths = files.get(mixture.mixture_id)
            if not paths:
                raise UserError(f"{self.separated.path} has no files of it")
            signals, n_fitted = read_estimates(paths, mixture)
            self.n_fitted[eval_set.name] += n_fitted
            return signals

        return estimate

    def stamp(self, eval_set: EvalSet, row: MixtureRow) -> list[Any]:
        paths = self.files[eval_set.name].get(row.mixture_id, ())
        return [stamp_file(Path(path)) for path in paths]


def gather_estimates(text: str, roots: Sequence[Path] = ()) -> SeparatedFiles:
    """What ``NAME=DIR`` stands for; the headers of some files are read.

    Raises:
        MissingInputError: it is not there, or holds no separated files.
        UserError: none of its files can be read.
    """
    name, path = parse_estimates(text)
    if not path.exists():
        raise MissingInputError(f"--estimates {text}: {path} is not there; check the path.")
    sets = {str(path): gathered for gathered in gather(path, roots)[:1]}
    if path.is_dir() and not sets:  # a folder a set, as --save-estimates writes them
        sets = gather_splits(path, roots)
    if not sets:
        holds = f"; it holds {describe_folder(path)}" if path.is_dir() else ""
        raise MissingInputError(
            f"--estimates {text}: holds no separated files of mixtures in a layout that is known: "
            f"{LAYOUTS}{holds}."
        )
    return SeparatedFiles(name=name, path=path, gathered=sets, sample_rate=_find_rate(text, sets))


def _find_rate(text: str, sets: Mapping[str, Gathered]) -> int:
    paths = [
        path
        for gathered in sets.values()
        for parts in gathered.mixtures.values()
        for path in list_sources(parts)[:1]
    ]
    headers = [read_header(Path(paths[index])) for index in spread_evenly(len(paths), N_TRIED)]
    rates = [header.sample_rate for header in headers if header.sample_rate]
    if not rates:
        raise UserError(
            f"--estimates {text}: none of {len(headers)} files, evenly spread, can be read: "
            f"{paths[0]}: {headers[0].fault}; write them again as WAV or FLAC."
        )
    return max(sorted(set(rates)), key=rates.count)


def match_estimates(separated: SeparatedFiles, sets: Sequence[EvalSet]) -> EstimateSystem:
    """The separated files of every mixture of every set.

    A mixture's files are found by its ID, or by the name of the mixture's own file. Mixtures
    without files are named now and have no scores.

    Raises:
        UserError: a set for none of whose mixtures there are files.
    """
    files = {eval_set.name: _match_set(separated, eval_set) for eval_set in sets}
    return EstimateSystem(separated=separated, files=files)


def _match_set(separated: SeparatedFiles, eval_set: EvalSet) -> dict[str, list[str]]:
    gathered = _choose_folder(separated, eval_set)
    names = {row.mixture_id: _find_name(row, gathered) for row in eval_set.rows}
    files = {own: list_sources(gathered.mixtures[name]) for own, name in names.items() if name}
    missing = [mixture_id for mixture_id in names if not files.get(mixture_id)]
    label = f"--estimates {separated.name}={separated.path}"
    if not any(files.values()):
        raise UserError(
            f"{label}: has no files of any of the {len(names)} mixtures of {eval_set.name}: they "
            f"are called {list_first(list(names))}, the separated ones "
            f"{list_first(list(gathered.mixtures))}; give the set that was separated, or name "
            "the files after its mixtures."
        )
    if missing:
        logger.warning(
            "%s: %d of %d mixtures of %s have no separated files and will have no scores: %s",
            label,
            len(missing),
            len(names),
            eval_set.name,
            list_first(missing),
        )
    return files


def _choose_folder(separated: SeparatedFiles, eval_set: EvalSet) -> Gathered:
    """Of a folder a set, the one that holds the most of this set's mixtures."""

    def count(gathered: Gathered) -> int:
        return sum(bool(_find_name(row, gathered)) for row in eval_set.rows)

    return max(separated.gathered.values(), key=count)


def _find_name(row: MixtureRow, gathered: Gathered) -> str:
    """What a mixture is called among the separated files; empty where it has none."""
    names = [row.mixture_id, Path(row.mixture_path).stem, Path(row.mixture_id).stem]
    return next((name for name in names if name in gathered.mixtures), "")


def read_estimates(paths: Sequence[str], mixture: Mixture) -> tuple[np.ndarray, int]:
    """Separated files of one mixture as ``(n_src, time)``; how many were cut or padded to fit.

    Raises:
        UserError: names the file that cannot be used, and why.
    """
    if len(paths) != len(mixture.sources):
        raise UserError(
            f"{len(paths)} separated files where the mixture has {len(mixture.sources)} sources: "
            f"{list_first(list(paths))}"
        )
    signals, n_fitted, n_samples = [], 0, len(mixture.mixture)
    for path in paths:
        samples, header = read_samples(Path(path))
        faults = header.list_faults(sample_rate=mixture.sample_rate)
        off = abs(len(samples) - n_samples)
        if not faults and off > LENGTH_TOLERANCE_S * mixture.sample_rate:
            faults = {"length": f"has {len(samples)} samples where the mixture has {n_samples}"}
        if faults:
            raise UserError("; ".join(f"{path}: {fault}" for fault in faults.values()))
        n_fitted += off > 0
        signals.append(fit_length(samples[None], n_samples)[0])
    return np.stack(signals), n_fitted
