"""Every shipped configuration at full size as TorchScript and ONNX, compared with PyTorch.

    .venv/bin/python -m benchmarks.exporting [--only NAME]

Fresh weights; the lengths are those of separation/models/exported.py, none of them the example's.
Recipes of the same network are one row. Writes benchmarks/results/exporting.json, anew after each
row, and goes on where it was interrupted.
"""

import argparse
import dataclasses
import tempfile
from pathlib import Path
from typing import Any

import torch

from benchmarks.machine import find_commit
from separation.config.load import load_conf
from separation.config.recipes import list_recipes
from separation.errors import UserError
from separation.files import read_json, write_json
from separation.models.architecture import ModelConf
from separation.models.exported import CHECKED_S, TOLERANCE, Format, export_model
from separation.models.registry import build_model

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks" / "results" / "exporting.json"
FORMATS: tuple[Format, ...] = ("torchscript", "onnx")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Network:
    """What recipes build alike."""

    conf: ModelConf
    n_src: int
    sample_rate: int


def list_networks() -> dict[Network, list[str]]:
    """Every network with its recipes."""
    networks: dict[Network, list[str]] = {}
    for recipe in list_recipes(ROOT):
        conf = load_conf(ROOT, recipe, [])
        network = Network(
            conf=conf.model, n_src=conf.mixtures.n_src, sample_rate=conf.audio.sample_rate
        )
        networks.setdefault(network, []).append(recipe)
    return networks


def check(network: Network) -> dict[str, Any]:
    """Largest differences by format, as shares of the largest output; or why there is no file."""
    torch.manual_seed(0)
    model = build_model(network.conf, network.n_src, network.sample_rate).eval()
    row: dict[str, Any] = {"parameters": sum(own.numel() for own in model.parameters())}
    with tempfile.TemporaryDirectory() as folder:
        for form in FORMATS:
            path = Path(folder) / form
            try:
                row[form] = float(f"{export_model(model, network.sample_rate, path, form):.2g}")
                row[f"{form}_mb"] = round(path.stat().st_size / 1e6, 1)
                path.unlink()
            except UserError as error:
                row[form] = str(error)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="recipes that have this in their name")
    words = parser.parse_args()
    torch.set_num_threads(1)
    about = {"commit": find_commit(), "torch": torch.__version__, "lengths_s": CHECKED_S}
    rows = (read_json(RESULT) or {}).get("rows", {}) if RESULT.is_file() else {}
    for network, recipes in list_networks().items():
        if words.only in " ".join(recipes) and recipes[0] not in rows:
            described = {"model": network.conf.name, "n_src": network.n_src}
            described |= {"hz": network.sample_rate, "recipes": recipes}
            rows[recipes[0]] = described | check(network)
            print(recipes[0], rows[recipes[0]], flush=True)
            write_json(RESULT, {"about": about, "tolerance": TOLERANCE, "rows": rows})


if __name__ == "__main__":
    main()
