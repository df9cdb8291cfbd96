"""Ships a model: float16 weights, scores on speakers never heard, and the card, in one command.

    .venv/bin/python -m benchmarks.ship_model MODEL --test-set NAME=TABLE --training NOTES.md

MODEL is whatever ``separate --model`` takes. NAME says in few words who speaks in TABLE, a mixture
table of speakers that no training of this model heard (--corpus speech=DIR says where its files
lie); the option may be repeated, and commands quote the first one's scores. NOTES.md says how it
was trained, and becomes that section of the card. What is scored is the float16 file itself, on the
CPU; then model.pth, scores.json and README.md of separation/models/shipped (--out) are replaced.
Scores lie in --work (exp/ship_model): a call that is cut goes on.
"""

import argparse
import dataclasses
import shutil
from pathlib import Path
from typing import Any

import torch

from separation.compare.command import run as compare
from separation.compare.options import Options
from separation.environment import ROOT
from separation.files import hash_file, read_json, write_json, write_text
from separation.models.asteroid import pack_model, save_tensors
from separation.models.checkpoint.load import open_model
from separation.models.shipped import (
    CARD,
    FOLDER,
    LICENCE,
    MODEL,
    SCORES,
    TRAINED_ON,
    Interval,
    ShippedModel,
    TestSet,
)
from separation.options import ALL_CORES
from separation.text import format_table

METRICS = ("si_sdr", "sdr", "stoi")
SHOWN = ("si_sdr", "si_sdri", "sdr", "sdri", "stoi")
LARGEST_MB = 3.2
TEMPLATE = Path(__file__).with_suffix(".md")


def write_weights(checkpoint: str, path: Path) -> None:
    """A checkpoint's weights as float16 in Asteroid's format, plain values only."""
    package = pack_model(open_model(checkpoint).model)
    weights = {name: value.half() for name, value in package["state_dict"].items()}
    save_tensors(package | {"state_dict": weights}, path)
    size_mb = path.stat().st_size / 1e6
    if size_mb > LARGEST_MB:
        raise SystemExit(f"{checkpoint}: {size_mb:.1f} MB; what ships has {LARGEST_MB} MB at most.")


def score(model: Path, tables: dict[str, str], corpora: list[str], n_jobs: int, work: Path) -> Any:
    """``comparison.json`` of a model on all tables, with the ideal ratio mask beside it."""
    options = Options(
        models=[str(model)],
        test_sets=list(tables.values()),
        out=work / "scores",
        metrics=METRICS,
        oracles=("irm",),
        corpora=corpora,
        n_jobs=n_jobs,
        device="cpu",
        n_worst=0,
    )
    if compare(options):
        raise SystemExit(f"{work}: not every mixture was scored, so nothing is shipped.")
    return read_json(work / "scores" / "comparison.json")


def read_test_set(name: str, scored: dict[str, Any], model: str) -> TestSet:
    """One test set of ``comparison.json``."""
    means = scored["estimators"][model]["all"]
    return TestSet(
        name=name,
        table=scored["fingerprint"],
        audio=next(iter(scored["audio"].values())),
        n_mixtures=scored["n_mixtures"],
        means={metric: Interval(**means[metric]) for metric in SHOWN},
        by_speakers=Interval(**scored["speaker_intervals"][model]),
        oracle=scored["estimators"]["irm"]["all"]["si_sdri"]["mean"],
    )


def describe(model: Path, comparison: Any, names: list[str], training: str) -> ShippedModel:
    """The record of a model's file and its scores."""
    package = torch.load(model, weights_only=True)
    return ShippedModel(
        model=package["model_name"],
        arguments=package["model_args"],
        n_parameters=sum(value.numel() for value in package["state_dict"].values()),
        size=model.stat().st_size,
        sha256=hash_file(model),
        commit=comparison["about"]["commit"],
        device=comparison["about"]["device"],
        training=training.strip(),
        test_sets=tuple(
            read_test_set(name, scored, str(model))
            for name, scored in zip(names, comparison["sets"], strict=True)
        ),
    )


def format_interval(value: Interval, decimals: int = 2) -> str:
    """A mean with its interval."""
    if value.low is None or value.high is None:
        return f"{value.mean:.{decimals}f}"
    return f"{value.mean:.{decimals}f} [{value.low:.{decimals}f}, {value.high:.{decimals}f}]"


def format_scores(test_sets: tuple[TestSet, ...]) -> str:
    """The card's table of scores."""
    head = ["speakers never heard", "mixtures", "SI-SDRi, by mixtures", "SI-SDRi, by speakers"]
    rows = [
        [
            f"{own.by_speakers.n}: {own.name}",
            own.n_mixtures,
            format_interval(own.means["si_sdri"]),
            format_interval(own.by_speakers),
            format_interval(own.means["sdri"]),
            format_interval(own.means["stoi"], 3),
            f"{own.oracle:.2f}",
            f"`{own.table}`, `{own.audio}`",
        ]
        for own in test_sets
    ]
    return format_table([*head, "SDRi", "STOI", "SI-SDRi of IRM", "table, audio"], rows)


def format_corpora() -> str:
    """What the model was trained on, with licences."""
    return "\n".join(
        f"- [{own.title}]({own.homepage}) by {own.author}, [{own.licence}]({own.licence_link})"
        for own in TRAINED_ON
    )


def format_card(own: ShippedModel) -> str:
    """README.md beside the weights: benchmarks/ship_model.md, filled in."""
    return TEMPLATE.read_text(encoding="utf-8").format(
        own=own,
        millions=own.n_parameters / 1e6,
        size_mb=own.size / 1e6,
        highest_hz=own.sample_rate / 2,
        arguments=", ".join(f"{key}={value}" for key, value in sorted(own.arguments.items())),
        scores=format_scores(own.test_sets),
        corpora=format_corpora(),
        licence=LICENCE,
    )


def split_name(text: str) -> tuple[str, str]:
    """Name and table of ``NAME=TABLE``."""
    name, _, table = text.partition("=")
    if not name or not table:
        raise argparse.ArgumentTypeError(f"{text}: write it as NAME=TABLE.")
    return name, table


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("checkpoint")
    parser.add_argument("--test-set", type=split_name, action="append", required=True)
    parser.add_argument("--corpus", action="append", default=[])
    parser.add_argument("--training", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=ROOT / "exp" / "ship_model")
    parser.add_argument("--out", type=Path, default=FOLDER)
    parser.add_argument("--nj", type=int, default=ALL_CORES)
    return parser.parse_args()


def main() -> None:
    """Write the float16 file, score it, and put it in place with its scores and card."""
    options = parse_arguments()
    training = options.training.read_text(encoding="utf-8")
    tables = dict(options.test_set)
    options.work.mkdir(parents=True, exist_ok=True)
    candidate = options.work / MODEL.name
    write_weights(options.checkpoint, candidate)
    comparison = score(candidate, tables, options.corpus, options.nj, options.work)
    shipped = describe(candidate, comparison, list(tables), training)
    places = [options.out / path.name for path in (MODEL, SCORES, CARD)]
    shutil.copyfile(candidate, places[0])
    write_json(places[1], dataclasses.asdict(shipped))
    write_text(places[2], format_card(shipped))
    print("\n".join(map(str, places)), shipped.quality, sep="\n")


if __name__ == "__main__":
    main()
