"""The model that comes with the package, ``shipped``: where it lies and how it scored.

``benchmarks/ship_model.py`` writes the files of this folder: the weights (float16, in Asteroid's
format), the scores of these very weights, and the card made from both. Light imports only.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

NAME = "shipped"
FOLDER = Path(__file__).resolve().parent
MODEL, SCORES, CARD = (FOLDER / name for name in ("model.pth", "scores.json", "README.md"))


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """Recordings that the model was trained on, as licence notices name them."""

    title: str
    homepage: str
    author: str
    licence: str
    licence_link: str


LANGUAGES = ("en",)  # of its training's speech
LICENCE, LICENCE_LINK = "CC BY 4.0", "https://creativecommons.org/licenses/by/4.0/"
TRAINED_ON = (
    Corpus(
        title="speechocean762",
        homepage="https://www.openslr.org/101",
        author="Junbo Zhang et al.",
        licence=LICENCE,
        licence_link=LICENCE_LINK,
    ),
    Corpus(
        title="LibriSpeech",
        homepage="https://www.openslr.org/12",
        author="Vassil Panayotov et al.",
        licence=LICENCE,
        licence_link=LICENCE_LINK,
    ),
)


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A mean with its 95 % interval; None where there is none."""

    mean: float
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True, kw_only=True)
class TestSet:
    """Scores on mixtures of speakers that the model never heard.

    Attributes:
        name: who speaks, such as ``adults``.
        table: fingerprint of the mixture table's text.
        audio: fingerprint of the samples that were scored.
        n_mixtures: all were scored.
        means: by metric, in dB, but for STOI; intervals draw mixtures.
        by_speakers: SI-SDRi, with an interval that draws speakers; ``n`` counts them.
        oracle: mean SI-SDRi of the ideal ratio mask.
    """

    name: str
    table: str
    audio: str
    n_mixtures: int
    means: dict[str, Interval]
    by_speakers: Interval
    oracle: float


@dataclass(frozen=True, kw_only=True)
class ShippedModel:
    """What scores.json holds.

    Attributes:
        model: name of the architecture.
        arguments: of its class.
        n_parameters: numbers in the file.
        size: of the file, in bytes.
        sha256: of the file, hex.
        commit: of the code that scored it.
        device: that scored it.
        training: how it was trained, in Markdown.
        test_sets: the first one's scores are those that commands quote.
    """

    model: str
    arguments: dict[str, Any]
    n_parameters: int
    size: int
    sha256: str
    commit: str
    device: str
    training: str
    test_sets: tuple[TestSet, ...]

    @property
    def sample_rate(self) -> int:
        """Hz."""
        return int(self.arguments["sample_rate"])

    @property
    def n_src(self) -> int:
        """Number of speakers."""
        return int(self.arguments["n_src"])

    @property
    def quality(self) -> str:
        """The first test set's score in one phrase."""
        first = self.test_sets[0]
        gain = first.by_speakers
        within = "" if gain.low is None else f" [{gain.low:.1f}, {gain.high:.1f}]"
        return f"{gain.mean:.1f} dB SI-SDRi{within} on {gain.n} speakers it never heard"


@cache
def read_shipped(path: Path = SCORES) -> ShippedModel:
    """The record of the shipped model."""
    record = json.loads(path.read_text(encoding="utf-8"))
    record["test_sets"] = tuple(_read_test_set(own) for own in record["test_sets"])
    return ShippedModel(**record)


def _read_test_set(record: dict[str, Any]) -> TestSet:
    means = {name: Interval(**own) for name, own in record["means"].items()}
    return TestSet(**record | {"means": means, "by_speakers": Interval(**record["by_speakers"])})


def find_difference(model: str, arguments: dict[str, Any]) -> str:
    """What keeps a model of this architecture from starting with the shipped weights; or nothing.

    Args:
        model: name of the architecture.
        arguments: of its class; the sample rate is not compared.
    """
    own = read_shipped()
    if model != own.model:
        return f"it is a {own.model}, the recipe's a {model}"
    for name, value in arguments.items():
        if name != "sample_rate" and name in own.arguments and own.arguments[name] != value:
            return f"its {name} is {own.arguments[name]}, the recipe's {value}"
    return ""


def describe_named(name: str) -> str:
    """What records say of a model that somebody named: of the shipped one also how good it is."""
    return describe_shipped() if name == NAME else name


def describe_shipped() -> str:
    """One line for people who may not have chosen it: what it is and how good."""
    own = read_shipped()
    return f"{NAME}, a {own.model} of {own.n_src} speakers at {own.sample_rate} Hz; {own.quality}"
