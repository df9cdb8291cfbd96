"""A mixture table rendered to a tree of WAV files in LibriMix's layout.

A journal in the tree holds one line for every finished mixture, written after its files, so
that a killed run goes on where it was; the CSV files come last.
"""

import logging
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import soundfile

from separation.audio.resample import count_resampled
from separation.errors import UserError
from separation.files import format_rows, hash_text, write_text
from separation.jobs import Journal, run_jobs
from separation.mixtures.check_files import check_files
from separation.mixtures.render import render_row
from separation.mixtures.signals import Rendered, list_signals, name_sources
from separation.mixtures.source_files import Corpora
from separation.mixtures.table import MixtureRow, SourceRef, format_table, list_noises, list_sources
from separation.safe_paths import place_inside

logger = logging.getLogger(__name__)

WAV_HEADER_BYTES = 44


@dataclass(frozen=True, kw_only=True)
class Tree:
    """A WAV tree to be made from one mixture table.

    Attributes:
        folder: ``.../Libri2Mix``; holds ``wav8k/min/<split>/<signal>/<mixture_ID>.wav``.
        split: ``test``, ``train-100``, ...
        rates: Hz, multiples of 1000.
        modes: of ``min`` and ``max``.
        types: of ``mix_clean``, ``mix_both`` and ``mix_single``; ``mix`` for wsj0-mix.
    """

    folder: Path
    split: str
    rates: tuple[int, ...]
    modes: tuple[str, ...]
    types: tuple[str, ...]

    def branch(self, rate: int, mode: str) -> Path:
        return self.folder / f"wav{rate // 1000}k" / mode

    def outputs(self) -> list[tuple[int, str]]:
        return [(rate, mode) for rate in self.rates for mode in self.modes]

    def wav(self, rate: int, mode: str, signal: str, mixture_id: str) -> Path:
        return place_inside(self.branch(rate, mode) / self.split / signal, mixture_id, ".wav")


def render_tree(
    rows: list[MixtureRow], corpora: Corpora, tree: Tree, n_jobs: int, *, absolute: bool = False
) -> None:
    """Render every row to every output of ``tree``; goes on where an earlier run was cut.

    Args:
        rows: one mixture table.
        corpora: its roots.
        n_jobs: processes.
        absolute: paths in the CSV files are absolute, as Asteroid's own recipe expects, in place
            of relative to the folder that holds ``tree.folder``.

    Raises:
        UserError: unusable sources (all are listed) or too little disk, before anything is made.
    """
    key = hash_text(format_table(rows))
    journal = Journal(tree.folder / f".render_{tree.split}.jsonl", key)
    todo = [row for row in rows if _list_missing(tree, row, journal.done.get(row.mixture_id))]
    if len(todo) < len(rows):
        logger.info("%s: %d of %d mixtures are there", tree.split, len(rows) - len(todo), len(rows))
    if todo:
        _check_inputs(todo, corpora, tree, n_jobs)
        _make_folders(tree, rows[0].n_src)
        work = partial(_render_files, corpora=corpora, tree=tree)
        results = run_jobs(
            work, todo, n_jobs, total=len(todo), label=tree.split, unit="mixture", chunk=4
        )
        for row, result in zip(todo, results, strict=True):
            journal.add(row.mixture_id, _merge(journal.done.get(row.mixture_id), result))
    journal.close()
    _write_tables(rows, tree, journal.done, absolute)


def _list_missing(tree: Tree, row: MixtureRow, done: dict[str, Any] | None) -> list[str]:
    """Outputs of a row that are not wholly there, such as ``8000/min``."""
    missing = []
    for rate, mode in tree.outputs():
        entry = (done or {}).get(f"{rate}/{mode}")
        if entry is None or not set(tree.types) <= set(entry["snrs_db"]):
            missing.append(f"{rate}/{mode}")
            continue
        size = WAV_HEADER_BYTES + 2 * entry["length"]
        signals = list_signals(row.n_src, tree.types)
        paths = [tree.wav(rate, mode, signal, row.mixture_id) for signal in signals]
        if not all(path.is_file() and path.stat().st_size == size for path in paths):
            missing.append(f"{rate}/{mode}")
    return missing


def _merge(before: dict[str, Any] | None, new: dict[str, Any]) -> dict[str, Any]:
    """Results of earlier runs for other outputs and types stay."""
    merged = dict(before or {})
    for output, entry in new.items():
        snrs = merged.get(output, {}).get("snrs_db", {}) | entry["snrs_db"]
        merged[output] = entry | {"snrs_db": snrs}
    return merged


def _check_inputs(rows: list[MixtureRow], corpora: Corpora, tree: Tree, n_jobs: int) -> None:
    """All files usable, all names different, enough disk."""
    files = [(corpora.speech / path, channel) for path, channel in list_sources(rows)]
    if "noise" in list_signals(2, tree.types):
        if corpora.noise is None:
            raise UserError(
                f"{', '.join(tree.types)} need WHAM's noise: add --corpus wham=DIR, or ask for "
                "--types mix_clean alone."
            )
        files += [(corpora.noise / path, channel) for path, channel in list_noises(rows)]
    sizes = check_files(files, n_jobs, f"check {tree.split}")
    _refuse_low_rates(sizes, max(tree.rates))
    needed = sum(_count_bytes(row, corpora.speech, sizes, tree) for row in rows)
    tree.folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(tree.folder).free
    if free < needed:
        raise UserError(
            f"--out {tree.folder}: {free / 1e9:.1f} GB free where {needed / 1e9:.1f} GB are "
            "needed; choose another disk, or fewer --rates, --modes or --types."
        )
    logger.info("%s: %d mixtures, %.2f GB to write", tree.split, len(rows), needed / 1e9)


def _refuse_low_rates(sizes: dict[Path, tuple[int, int]], sample_rate: int) -> None:
    """Raising a recording's rate would leave its upper band empty: a silent lie in every score."""
    low = sorted(path for path, (_, rate) in sizes.items() if rate < sample_rate)
    if low:
        raise UserError(
            f"--rates {sample_rate}: {len(low)} recordings have less ({low[0]}: "
            f"{sizes[low[0]][1]} Hz, the first); ask for no more than they have, or leave them out."
        )


def _count_bytes(
    row: MixtureRow, root: Path, sizes: dict[Path, tuple[int, int]], tree: Tree
) -> int:
    """Bytes that a row's files take."""
    known = [_measure(source, root, sizes) for source in row.sources]
    n_signals = len(list_signals(row.n_src, tree.types))
    total = 0
    for rate, mode in tree.outputs():
        counts = [count_resampled(n_samples, own_rate, rate) for n_samples, own_rate in known]
        length = min(counts) if mode == "min" else max(counts)
        total += n_signals * (WAV_HEADER_BYTES + 2 * length)
    return total


def _measure(source: SourceRef, root: Path, sizes: dict[Path, tuple[int, int]]) -> tuple[int, int]:
    """Samples and rate in Hz of a source, whole or a piece."""
    found = [sizes[root / path] for path in source.paths]
    return source.n_samples or sum(n_samples for n_samples, _ in found), found[0][1]


def _make_folders(tree: Tree, n_src: int) -> None:
    for rate, mode in tree.outputs():
        (tree.branch(rate, mode) / "metadata").mkdir(parents=True, exist_ok=True)
        for signal in list_signals(n_src, tree.types):
            (tree.branch(rate, mode) / tree.split / signal).mkdir(parents=True, exist_ok=True)


def _render_files(row: MixtureRow, corpora: Corpora, tree: Tree) -> dict[str, Any]:
    """Render one row and write its files; what the CSV files need to know of it."""
    rendered = render_row(row, corpora, tree.rates, tree.modes, tree.types, with_snrs=True)
    result = {}
    for (rate, mode), output in rendered.items():
        _write_signals(output, row.mixture_id, tree, rate, mode)
        length = len(output.signals["s1"])
        result[f"{rate}/{mode}"] = {"length": length, "snrs_db": output.snrs_db}
    return result


def _write_signals(output: Rendered, mixture_id: str, tree: Tree, rate: int, mode: str) -> None:
    for signal, samples in output.signals.items():
        soundfile.write(tree.wav(rate, mode, signal, mixture_id), samples, rate, "PCM_16")


def _write_tables(rows: list[MixtureRow], tree: Tree, done: dict[str, Any], absolute: bool) -> None:
    """``mixture_<split>_<type>.csv`` and ``metrics_<split>_<type>.csv`` of every branch."""
    base = Path() if absolute else tree.folder.resolve().parent
    for rate, mode in tree.outputs():
        metadata = tree.branch(rate, mode) / "metadata"
        for kind in tree.types:
            parts = _name_parts(rows[0].n_src, kind)
            mixtures, metrics = [], []
            for row in rows:
                name = row.mixture_id
                entry = done[name][f"{rate}/{mode}"]
                paths = {
                    part: (tree.wav(rate, mode, folder, name).resolve())
                    for part, folder in {"mixture": kind, **parts}.items()
                }
                if not absolute:
                    paths = {part: path.relative_to(base) for part, path in paths.items()}
                columns = {f"{part}_path": str(path) for part, path in paths.items()}
                mixtures.append({"mixture_ID": name, **columns, "length": entry["length"]})
                snrs = zip(parts, entry["snrs_db"][kind], strict=True)
                metrics.append({"mixture_ID": name} | {f"{part}_SNR": snr for part, snr in snrs})
            write_text(metadata / f"mixture_{tree.split}_{kind}.csv", format_rows(mixtures))
            write_text(metadata / f"metrics_{tree.split}_{kind}.csv", format_rows(metrics))


def _name_parts(n_src: int, kind: str) -> dict[str, str]:
    """``{column prefix: folder}`` of what a mixture type is the sum of."""
    sources = {f"source_{number}": name for number, name in enumerate(name_sources(n_src), 1)}
    if kind == "mix_single":
        sources = {"source_1": "s1"}
    return sources | ({} if kind in ("mix_clean", "mix") else {"noise": "noise"})
