"""The sections of a recipe's config as typed, frozen records that refuse contradictions.

conf/default.yml explains every key; an annotation here says what it may hold.
"""

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from separation.config.training import TrainingConf
from separation.errors import UserError
from separation.files import hash_value
from separation.metrics.names import METRICS
from separation.models.architecture import ModelConf
from separation.records import (
    Bounds,
    Count,
    NotNegative,
    OneOf,
    Positive,
    check_fields,
    drop_later_fields,
)

Share = Annotated[float, Bounds(at_least=0, below=0.8)]
EvenCount = Annotated[int, Bounds(at_least=0, multiple_of=2, unit="(half women, half men)")]
SampleRate = Annotated[int, Bounds(at_least=4000, at_most=48000, unit="Hz")]
Loudness = Annotated[float, Bounds(at_least=-100, at_most=20, unit="LUFS")]
LevelDifference = Annotated[float, Bounds(at_least=-100, at_most=100, unit="dB")]
Window = Annotated[float, Bounds(above=0, at_most=10, unit="s")]
Metric = Annotated[str, OneOf(METRICS)]
FLOOR = "mixture"  # the estimator that gives the unprocessed mixture
ORACLES = ("ibm", "irm", "wfm")  # oracle masks, as ceilings
Estimator = Annotated[str, OneOf((FLOOR, "model", *ORACLES))]


@dataclass(frozen=True, kw_only=True)
class CorpusConf:
    """Which recordings, and which of them are good enough."""

    source: str
    roots: list
    channel: Literal["mono", "first", "mean"]
    noise: str
    mirror: str
    min_duration_s: NotNegative
    skip_bad: bool
    speaker_level: Count = 0
    speaker_pattern: str = ""
    allow_commands: bool = False
    archive_rate: Count = 0

    def __post_init__(self) -> None:
        check_fields(self, "corpus")


@dataclass(frozen=True, kw_only=True)
class SplitsConf:
    """Who is never heard in training, and how much of the others is held out."""

    by: Literal["prompts", "speakers", "subset"]
    unseen_speakers: list
    n_unseen: Count
    dev_share: Share
    test_share: Share
    n_dev_speakers: EvenCount
    n_test_speakers: EvenCount
    n_train_speakers: Count
    n_train_utterances: Count
    seed: int

    def __post_init__(self) -> None:
        check_fields(self, "splits")
        if not 0 < self.dev_share + self.test_share < 0.8:
            raise UserError("splits.dev_share + splits.test_share must lie between 0 and 0.8.")

    def fixed_splits(self) -> tuple[str, ...]:
        """The splits of fixed mixtures that this kind of division gives."""
        return ("dev", "test_seen", "test_unseen") if self.by == "prompts" else ("dev", "test")


@dataclass(frozen=True, kw_only=True)
class MetadataConf:
    """Where the lists of mixtures come from."""

    draw: bool
    lists: str
    train: str
    rules: Literal["teams", "librimix"]

    def __post_init__(self) -> None:
        check_fields(self, "metadata")
        if not self.draw and self.lists == "none":
            raise UserError("metadata.draw=false needs published lists: set metadata.lists.")


@dataclass(frozen=True, kw_only=True)
class MixturesConf:
    """The fixed mixtures, and the levels of all mixtures."""

    n_src: Literal[1, 2, 3, 4, 5]
    task: Literal["sep_clean", "sep_noisy"]
    mode: Literal["min", "max"]
    n_train: Count
    n_dev: Count
    n_test: Count
    balance_sexes: bool
    min_utterance_s: NotNegative
    loudness_min_lufs: Loudness
    loudness_max_lufs: Loudness
    noise_loudness_min_lufs: Loudness
    noise_loudness_max_lufs: Loudness
    peak_max: Positive
    train_length_s: NotNegative
    train_level_by: Literal["loudness", "difference"]
    train_level_difference_min_db: LevelDifference
    train_level_difference_max_db: LevelDifference
    max_utterance_s: NotNegative = 120.0
    seed: int

    def __post_init__(self) -> None:
        check_fields(self, "mixtures")
        if 0 < self.max_utterance_s < 2 * self.min_utterance_s:
            raise UserError(
                f"mixtures.max_utterance_s={self.max_utterance_s} must be 0, or at least twice "
                f"mixtures.min_utterance_s={self.min_utterance_s}."
            )
        ranges = {
            "loudness": "lufs",
            "noise_loudness": "lufs",
            "train_level_difference": "db",
        }
        for name, unit in ranges.items():
            low, high = f"{name}_min_{unit}", f"{name}_max_{unit}"
            if getattr(self, low) > getattr(self, high):
                raise UserError(f"mixtures.{low} is above mixtures.{high}.")


@dataclass(frozen=True, kw_only=True)
class AudioConf:
    """Sample rate of mixtures and model, and what is kept on disk."""

    sample_rate: SampleRate
    exact_pack: bool

    def __post_init__(self) -> None:
        check_fields(self, "audio")


@dataclass(frozen=True, kw_only=True)
class EvaluationConf:
    """What is scored, and how."""

    estimators: list[Estimator]
    stft_window_s: Window
    stft_hop_s: Window
    metrics: list[Metric]
    sixteen_bit: bool
    check_mixtures: Count

    def __post_init__(self) -> None:
        check_fields(self, "evaluation")
        if "si_sdr" not in self.metrics or "sdr" not in self.metrics:
            raise UserError("evaluation.metrics: si_sdr and sdr are always among them.")


@dataclass(frozen=True, kw_only=True)
class ReportConf:
    """What the report is called, and its language."""

    title: str
    language: Literal["en", "zh"] = "en"

    def __post_init__(self) -> None:
        check_fields(self, "report")


@dataclass(frozen=True, kw_only=True)
class Conf:
    """A recipe's resolved config."""

    corpus: CorpusConf
    splits: SplitsConf
    metadata: MetadataConf
    mixtures: MixturesConf
    audio: AudioConf
    model: ModelConf
    training: TrainingConf
    evaluation: EvaluationConf
    report: ReportConf

    def __post_init__(self) -> None:
        self.model.check_precision(self.training.precision)

    def as_dict(self) -> dict[str, dict[str, Any]]:
        """Every section and key as plain values: what an experiment's conf.yml holds."""
        return dataclasses.asdict(self)

    def section(self, *names: str) -> dict[str, dict[str, Any]]:
        """The named sections as plain values to be hashed.

        Keys that came later are left out where they change nothing, so what was made before
        there were such keys has the same hash.
        """
        return {name: drop_later_fields(getattr(self, name)) for name in names}

    def fingerprint(self, *names: str) -> str:
        """Hash of the named sections, see :meth:`section`; of all where none is named."""
        every = [field.name for field in dataclasses.fields(self)]
        return hash_value(self.section(*(names or every)))
