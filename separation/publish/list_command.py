"""The command ``models``: the shipped and the published models, for people and as JSON."""

import argparse
import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from separation.models.published import PublishedModel, find_cached, list_named

SCORES = {"si_sdr": "SI-SDR", "si_sdri": "SI-SDRi", "sdr": "SDR", "sdri": "SDRi", "stoi": "STOI"}


@dataclass(frozen=True, kw_only=True)
class Options:
    """In which form the list is printed."""

    as_json: bool = False


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of :class:`Options`."""
    parser.add_argument(
        "--json", action="store_true", dest="as_json", help="print the list as JSON"
    )


def run(options: Options) -> None:
    """Print the list with what is cached here; no network is asked."""
    entries = [describe_model(entry) for entry in list_named()]
    print(json.dumps(entries, indent=2) if options.as_json else format_models(entries))


def describe_model(entry: PublishedModel) -> dict[str, Any]:
    """All that is known of a model; ``cached`` is its file here, or empty."""
    cached = find_cached(entry)
    own = {"url": entry.url, "names": entry.names, "cached": str(cached or "")}
    return dataclasses.asdict(entry) | own


def format_models(entries: list[dict[str, Any]]) -> str:
    """A table as text: scores as published (dB, but for STOI), on the test set of the card."""
    head = ("name", "Hz", "n_src", "task", *SCORES.values(), "test set", "licence", "where")
    rows = [head, *(_format_row(entry) for entry in entries)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    other = [f"  {e['zenodo_name']} = {e['name']}" for e in entries if e["zenodo_name"]]
    return "\n".join(
        [
            *lines,
            "Names on Zenodo:",
            *other,
            "Scores are those of the models' cards, each on its own test set. Any of these names, "
            "a path or a URL is a --model; separate takes the first where none is given.",
        ]
    )


def _format_row(entry: dict[str, Any]) -> tuple[str, ...]:
    where = "Hub" if entry["hub"] else "comes with the package"
    where += ", Zenodo " + entry["zenodo"] if entry["zenodo"] else ""
    scores = (f"{entry['scores'][name]:.{3 if name == 'stoi' else 2}f}" for name in SCORES)
    return (
        *(entry["name"], str(entry["sample_rate"]), str(entry["n_src"]), entry["task"], *scores),
        *(
            entry["test_set"],
            entry["licence"],
            where + (", cached" if entry["hub"] and entry["cached"] else ""),
        ),
    )
