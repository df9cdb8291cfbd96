"""Training sets and scores that were published, to set a run beside."""

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PAPER = "Luo and Mesgarani 2019"
PAPER_H = 2200  # of mixtures: 100 epochs of 20,000 of 4 s
PAPER_SEGMENT_S = 4.0
SMALL, BEST = "small", "best"  # Conv-TasNet's configurations, as recipes call them
SMALL_FIELD_S, BEST_FIELD_S = 1.28, 1.53  # their receptive fields, at 8 kHz


@dataclass(frozen=True)
class TrainingSet:
    """A training set of two speakers.

    Attributes:
        name: as the field calls it.
        mixtures: of its list; None where they are made on the fly.
        hours: of the list in min mode; None likewise.
        speakers: that train.
    """

    name: str
    mixtures: int | None
    hours: float | None
    speakers: int


# LibriMix b898ca3, pywsj0-mix 6ca4c92, and egs/aishell3mix/README.md
TRAINING_SETS = (
    TrainingSet("WSJ0-2mix", 20000, 30.0, 101),
    TrainingSet("Libri2Mix train-100", 13900, 43.3, 251),
    TrainingSet("Libri2Mix train-360", 50800, 158.0, 921),
    TrainingSet("AISHELL-3-mix v1", None, None, 182),
)


@dataclass(frozen=True, kw_only=True)
class PublishedScore:
    """A mean SI-SDRi on a test set of two speakers.

    Attributes:
        system: model, and who trained it.
        source: where it stands.
        model: ``model.name`` of the same network here; empty where there is none.
        configuration: ``small`` or ``best`` of Conv-TasNet's; else empty.
        test_set: without its rate.
        train: the training list, where a set has several.
        sample_rate: Hz.
        noisy: whether the mixtures hold noise.
        si_sdri_db: the score.
    """

    system: str
    source: str
    model: str = ""
    configuration: str = ""
    test_set: str
    train: str = ""
    sample_rate: int = 8000
    noisy: bool = False
    si_sdri_db: float

    @property
    def full_set(self) -> str:
        """Test set, training list and noise in one name."""
        parts = [self.test_set, self.train, "noisy" if self.noisy else ""]
        return " ".join(part for part in parts if part)


WSJ0, LIBRI = "WSJ0-2mix", "Libri2Mix"
CARDS, TABLES = "model card", "arXiv 2406.05983"
SCORES = (
    PublishedScore(
        system="Conv-TasNet",
        source=PAPER,
        model="ConvTasNet",
        configuration=SMALL,
        test_set=WSJ0,
        si_sdri_db=13.0,
    ),
    PublishedScore(
        system="Conv-TasNet",
        source=PAPER,
        model="ConvTasNet",
        configuration=BEST,
        test_set=WSJ0,
        si_sdri_db=15.3,
    ),
    PublishedScore(
        system="Conv-TasNet (Asteroid)",
        source=CARDS,
        model="ConvTasNet",
        configuration=BEST,
        test_set=WSJ0,
        si_sdri_db=16.2,
    ),
    PublishedScore(
        system="Conv-TasNet (Asteroid)",
        source="Asteroid",
        model="ConvTasNet",
        configuration=BEST,
        test_set=LIBRI,
        train="train-100",
        si_sdri_db=13.0,
    ),
    PublishedScore(
        system="Conv-TasNet (Asteroid)",
        source=CARDS,
        model="ConvTasNet",
        configuration=BEST,
        test_set=LIBRI,
        train="train-360",
        si_sdri_db=14.8,
    ),
    PublishedScore(
        system="Conv-TasNet (Asteroid)",
        source=CARDS,
        model="ConvTasNet",
        configuration=BEST,
        test_set=LIBRI,
        train="train-360",
        sample_rate=16000,
        si_sdri_db=15.2,
    ),
    PublishedScore(
        system="Conv-TasNet (Asteroid)",
        source=CARDS,
        model="ConvTasNet",
        configuration=BEST,
        test_set=LIBRI,
        train="train-360",
        noisy=True,
        si_sdri_db=11.9,
    ),
    PublishedScore(
        system="DPRNN", source=TABLES, test_set=LIBRI, train="train-100", si_sdri_db=16.1
    ),
    PublishedScore(
        system="SepFormer",
        source="arXiv 2408.03440",
        test_set=LIBRI,
        train="train-360",
        si_sdri_db=20.4,
    ),
    PublishedScore(
        system="SepReformer-T",
        source=TABLES,
        model="SepReformer",
        test_set=LIBRI,
        train="train-100",
        si_sdri_db=19.7,
    ),
    PublishedScore(
        system="SepReformer-T", source=TABLES, model="SepReformer", test_set=WSJ0, si_sdri_db=22.4
    ),
)


@cache
def _read_lists() -> dict[str, dict[str, str]]:
    path = Path(__file__).with_name("published_lists.toml")
    return tomllib.loads(path.read_text(encoding="utf-8"))


def name_list(mix: str, part: str) -> str:
    """What the field calls a data set's list, or its set ``drawn`` from a corpus; empty: nothing.

    >>> name_list("librimix", "train-100"), name_list("folder", "test")
    ('Libri2Mix train-100', '')
    """
    return _read_lists().get(mix, {}).get(part, "")
