"""The command ``render``: from the command line to :mod:`separation.mixtures.wav_tree`."""

import argparse
from pathlib import Path

from separation.corpora.plugin import choose_roots
from separation.errors import UserError
from separation.experiment.roots import parse_corpus
from separation.files import check_writable
from separation.jobs import keep_freed_memory
from separation.mixtures.published_lists import find_list_reader
from separation.mixtures.render import MODES, TYPES
from separation.mixtures.source_files import Corpora
from separation.mixtures.table import (
    count_sources,
    list_noises,
    name_dataset,
    name_split,
    read_mixture_table,
)
from separation.mixtures.wav_tree import Tree, render_tree


def render_tables(args: argparse.Namespace) -> None:
    """Render every table given; all are read and checked before the first is rendered.

    Raises:
        UserError: options that do not fit, a broken table, a missing corpus.
    """
    keep_freed_memory()
    roots = dict(parse_corpus(text) for text in args.corpus)
    _check_options(args)
    out = args.out.resolve()
    check_writable(out, "choose another with --out")
    speech, noise = choose_roots(roots, "render")
    jobs = [(*_open_table(table, speech, out, args), table) for table in args.tables]
    corpora = Corpora(speech, noise)
    for rows, tree, _ in jobs:
        _check_noise(rows, tree, corpora)
    for rows, tree, _ in jobs:
        render_tree(rows, corpora, tree, args.nj, absolute=args.absolute_paths)
        for rate, mode in tree.outputs():
            print(tree.branch(rate, mode) / tree.split, flush=True)


def _check_options(args: argparse.Namespace) -> None:
    for mode in args.modes:
        if mode not in MODES:
            raise UserError(f"--modes {mode}: choose of {', '.join(MODES)}.")
    for kind in args.types:
        if kind not in TYPES:
            raise UserError(f"--types {kind}: choose of {', '.join(TYPES)}.")
    for rate in args.rates:
        if rate % 1000 or not 4000 <= rate <= 48000:
            raise UserError(f"--rates {rate}: give Hz, whole thousands, such as 8000 16000.")
    if args.nj < 1:
        raise UserError(f"--nj {args.nj}: at least 1 process.")


def _open_table(
    table: Path, speech: Path, out: Path, args: argparse.Namespace
) -> tuple[list[dict[str, str]], Tree]:
    """Rows of a table, and the tree that its name stands for."""
    outputs = (tuple(args.rates), tuple(args.modes))
    if lists := find_list_reader(table):
        n_src, condition = lists.parse_name(table)
        rows = lists.read_list(table.parent, n_src, condition, speech)
        return rows, Tree(out / f"{n_src}speakers", condition, *outputs, ("mix",))
    rows = read_mixture_table(table)
    if "mixture_path" in rows[0]:
        raise UserError(f"{table}: names audio that exists already; there is nothing to render.")
    dataset = name_dataset(table, count_sources(rows[0]))
    types = ("mix",) if "source_1_level" in rows[0] else tuple(args.types)
    return rows, Tree(out / dataset, name_split(table), *outputs, types)


def _check_noise(rows: list[dict[str, str]], tree: Tree, corpora: Corpora) -> None:
    if not set(tree.types) - {"mix_clean", "mix"}:
        return
    if not list_noises(rows):
        raise UserError(f"{tree.split}: the table names no noise; ask for --types mix_clean alone.")
    if corpora.noise is None:
        raise UserError(
            f"--types {' '.join(tree.types)}: noise is needed; add --corpus wham=DIR, or ask for "
            "--types mix_clean alone."
        )
