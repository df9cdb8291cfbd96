"""The command ``export``: a model as an ONNX or TorchScript file."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from separation.files import check_writable
from separation.options import MODEL_HELP, add_trust

if TYPE_CHECKING:
    from separation.models.exported import Format

FORMATS = ("onnx", "torchscript")
SUFFIXES = {"onnx": ".onnx", "torchscript": ".ts"}


@dataclass(frozen=True, kw_only=True)
class Options:
    """Which model becomes which file.

    Attributes:
        model: whatever ``separate --model`` takes.
        form: the file's format.
        out: the file; None: the model's name in the working directory.
        trust: unpickle a checkpoint freely.
    """

    model: str
    form: "Format" = "onnx"
    out: Path | None = None
    trust: bool = False


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of :class:`Options`."""
    add = parser.add_argument
    add("model", metavar="MODEL", help=MODEL_HELP)
    add("--format", dest="form", choices=FORMATS, default="onnx", help="of the file (onnx)")
    add("--out", type=Path, metavar="FILE", help="the file (the model's name, here)")
    add_trust(parser)


def run(options: Options) -> None:
    """Write the file, and print where it is and how near it is to the model.

    Raises:
        UserError: the model or the packages are not there, or the format cannot hold the model.
    """
    from separation.models.checkpoint.load import open_model
    from separation.models.exported import CHECKED_S, export_model, find_packages

    find_packages(options.form)
    out = options.out or Path(name_file(options.model) + SUFFIXES[options.form])
    check_writable(out.parent, "choose another --out")
    loaded = open_model(options.model, trust=options.trust)
    largest = export_model(loaded.model, loaded.sample_rate, out, options.form)
    print(
        f"{out}: mixture (1, time) at {loaded.sample_rate} Hz to estimates "
        f"(1, {loaded.n_src}, time), any length; within {largest:.1e} of the largest output of "
        f"{options.model} at {', '.join(map(str, CHECKED_S))} s"
    )
    if options.form == "onnx":
        print(f"use it: .venv/bin/python -m separation separate RECORDING --model {out}")


def name_file(model: str) -> str:
    """A file's name, without suffix, for a model's name or path."""
    path = Path(model)
    return path.stem if path.is_file() else path.name.replace("@", "_")
