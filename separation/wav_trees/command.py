"""The command ``render``: mixture tables -> WAV trees in LibriMix's layout."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from separation.files import check_writable, hold_folder
from separation.mixtures.kinds import MODES, TYPES
from separation.options import (
    ALL_CORES,
    ClusterOptions,
    add_cluster,
    add_corpora,
    add_jobs,
    add_out,
    one_of,
    parse_corpus,
    sample_rate,
)


@dataclass(frozen=True, kw_only=True)
class Options(ClusterOptions):
    """Which tables are rendered to what.

    Attributes:
        tables: mixture tables: LibriMix's CSV, ours, or wsj0-mix's .txt.
        corpora: ``NAME=DIR``, each: one corpus of speech, and ``wham`` or ``noise``.
        out: folder of the trees.
        rates: Hz, whole thousands.
        modes: of ``min`` and ``max``.
        types: of ``mix_clean``, ``mix_both`` and ``mix_single``.
        absolute_paths: in the tables of the tree, as Asteroid's own recipe expects.
        n_jobs: processes.
    """

    tables: Sequence[Path]
    corpora: Sequence[str] = ()
    out: Path
    rates: Sequence[int] = (8000,)
    modes: Sequence[str] = ("min",)
    types: Sequence[str] = ("mix_clean",)
    absolute_paths: bool = False
    n_jobs: int = ALL_CORES


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of :class:`Options`."""
    add = parser.add_argument
    add(
        "tables",
        nargs="+",
        type=Path,
        metavar="METADATA",
        help="mixture table: LibriMix's CSV, one of stage 2, or wsj0-mix's .txt",
    )
    add_corpora(parser, "root of the paths in a table: one corpus of speech, and wham or noise")
    add_out(parser, "folder of the trees, such as DIR/Libri2Mix/wav8k/min/test/s1", required=True)
    add("--rates", nargs="+", type=thousands, metavar="HZ", help="sample rates (8000)")
    add(
        "--modes",
        nargs="+",
        type=one_of(*MODES),
        metavar="|".join(MODES),
        help="cut to the shortest source, or padded to the longest (min)",
    )
    add(
        "--types",
        nargs="+",
        type=one_of(*TYPES),
        metavar="TYPE",
        help=f"of {', '.join(TYPES)}: without noise, with it, one speaker with it (mix_clean)",
    )
    add(
        "--absolute-paths",
        action="store_true",
        help="write whole paths into the tree's tables, as Asteroid's own recipe expects",
    )
    add_jobs(parser)
    add_cluster(parser)


def thousands(text: str) -> int:
    """The type of ``--rates``: a branch of a tree is named by kHz.

    >>> thousands("16000")
    16000
    """
    try:
        rate = sample_rate(text)
    except argparse.ArgumentTypeError:
        rate = 0
    if rate == 0 or rate % 1000:
        raise argparse.ArgumentTypeError(f"{text}: give Hz, whole thousands, such as 8000 16000.")
    return rate


def run(options: Options) -> None:
    """Render every table; prints the folders that hold the audio.

    Raises:
        UserError: options that do not fit, a broken table, a missing corpus.
    """
    out = options.out.resolve()
    check_writable(out, "choose another with --out")
    from separation.cluster import use_cluster
    from separation.corpora.plugin import choose_roots
    from separation.jobs import keep_freed_memory
    from separation.mixtures.source_files import Corpora
    from separation.wav_trees.tables import open_tables
    from separation.wav_trees.tree import render_tree

    keep_freed_memory()
    corpora = Corpora(*choose_roots(dict(map(parse_corpus, options.corpora)), "render"))
    tables = open_tables(
        options.tables,
        corpora,
        out,
        rates=options.rates,
        modes=options.modes,
        types=options.types,
    )
    roots = [parse_corpus(text)[1] for text in options.corpora]
    with use_cluster(options.cluster, [out], roots), hold_folder(out, "render"):
        for table in tables:  # all were checked before the first is rendered
            tree = table.tree
            render_tree(table.rows, corpora, tree, options.n_jobs, absolute=options.absolute_paths)
            for rate, mode in tree.outputs():
                print(tree.branch(rate, mode) / tree.split, flush=True)
