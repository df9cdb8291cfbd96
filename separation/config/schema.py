"""The sections of a recipe's config as typed, frozen records that refuse contradictions."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from separation.config.model import ModelConf
from separation.config.training import TrainingConf
from separation.errors import UserError, check_choice
from separation.files import hash_value
from separation.metrics.names import METRICS


@dataclass(frozen=True)
class CorpusConf:
    """Which recordings, and which of them are good enough."""

    source: str  # local/<source>.py lists the utterances; also the name in --corpus
    roots: list  # NAME=DIR, as --corpus
    channel: str  # mono (refuse stereo) | first | mean
    noise: str  # local/<noise>.py, of sep_noisy: wham | noise (any folder)
    mirror: str  # where stage 0 downloads from, for corpora that have several places
    min_duration_s: float  # shorter recordings are left out
    skip_bad: bool  # leave bad and missing files out in place of stopping

    def __post_init__(self) -> None:
        check_choice("corpus.channel", self.channel, ("mono", "first", "mean"))


@dataclass(frozen=True)
class SplitsConf:
    """Who is never heard in training, and how much of the others is held out."""

    by: str  # prompts | speakers | subset
    unseen_speakers: list  # fixed by name; empty: drawn by a keyed hash
    n_unseen: int  # how many to draw where none is named
    dev_share: float
    test_share: float
    n_dev_speakers: int  # by speakers: half women, half men; 0: dev_share of each sex
    n_test_speakers: int
    n_train_speakers: int  # of the training speakers, women and men in turn; 0: all
    n_train_utterances: int  # of each training speaker; 0: all
    seed: int

    def __post_init__(self) -> None:
        check_choice("splits.by", self.by, ("prompts", "speakers", "subset"))
        for name in ("n_dev_speakers", "n_test_speakers"):
            if getattr(self, name) < 0 or getattr(self, name) % 2:
                raise UserError(f"splits.{name}={getattr(self, name)}: half women, half men; even.")
        for name in ("n_train_speakers", "n_train_utterances"):
            if getattr(self, name) < 0:
                raise UserError(f"splits.{name}={getattr(self, name)} should be 0 (all) or more.")
        if not 0 < self.dev_share + self.test_share < 0.8:
            raise UserError("splits.dev_share + splits.test_share must lie between 0 and 0.8.")

    def fixed_splits(self) -> tuple[str, ...]:
        """The splits of fixed mixtures that this kind of division gives."""
        return ("dev", "test_seen", "test_unseen") if self.by == "prompts" else ("dev", "test")


@dataclass(frozen=True)
class MetadataConf:
    """Where the lists of mixtures come from."""

    draw: bool  # draw them by our rules; false: read the published lists
    lists: str  # none | librimix | wsj0mix: local/<lists>.py
    train: str  # which published list to train on, such as train-100
    rules: str  # of a draw: teams | librimix

    def __post_init__(self) -> None:
        check_choice("metadata.rules", self.rules, ("teams", "librimix"))
        if not self.draw and self.lists == "none":
            raise UserError("metadata.draw=false needs published lists: set metadata.lists.")


@dataclass(frozen=True)
class MixturesConf:
    """The fixed mixtures, and the levels of all mixtures."""

    n_src: int
    task: str  # sep_clean | sep_noisy
    mode: str  # min | max
    n_train: int  # of a fixed training list; 0: each utterance once (rules librimix)
    n_dev: int
    n_test: int  # in each of the two test sets
    balance_sexes: bool  # of dev and test: as many same-sex as different-sex mixtures
    min_utterance_s: float  # shorter utterances only serve dynamic mixing
    loudness_min_lufs: float
    loudness_max_lufs: float
    noise_loudness_min_lufs: float
    noise_loudness_max_lufs: float
    peak_max: float  # a mixture above this is scaled down to it
    train_length_s: float  # of the fixed training mixtures; 0: as long as their utterances
    train_level_by: str  # in training: loudness (each its own) | difference (between the sources)
    train_level_difference_min_db: float
    train_level_difference_max_db: float
    seed: int

    def __post_init__(self) -> None:
        check_choice("mixtures.train_level_by", self.train_level_by, ("loudness", "difference"))
        if self.train_level_difference_min_db > self.train_level_difference_max_db:
            raise UserError(
                "mixtures.train_level_difference_min_db is above train_level_difference_max_db."
            )
        if self.train_length_s < 0:
            raise UserError(f"mixtures.train_length_s={self.train_length_s} is below 0.")
        if self.loudness_min_lufs > self.loudness_max_lufs:
            raise UserError("mixtures.loudness_min_lufs is above mixtures.loudness_max_lufs.")
        if self.noise_loudness_min_lufs > self.noise_loudness_max_lufs:
            raise UserError("mixtures.noise_loudness_min_lufs is above noise_loudness_max_lufs.")
        check_choice("mixtures.n_src", self.n_src, (2, 3))
        check_choice("mixtures.task", self.task, ("sep_clean", "sep_noisy"))
        check_choice("mixtures.mode", self.mode, ("min", "max"))


@dataclass(frozen=True)
class AudioConf:
    sample_rate: int  # Hz, of mixtures and model
    exact_pack: bool  # keep a lossless copy of the lists' sources, faster to render from

    def __post_init__(self) -> None:
        if not 4000 <= self.sample_rate <= 48000:
            raise UserError(f"audio.sample_rate={self.sample_rate} is not within 4000..48000 Hz.")


@dataclass(frozen=True)
class EvaluationConf:
    estimators: list  # of model, mixture, ibm, irm, wfm
    stft_window_s: float  # of the oracle mask
    stft_hop_s: float
    metrics: list  # of METRICS
    sixteen_bit: bool  # also SI-SDR of the estimates as 16-bit files hold them
    check_mixtures: int  # on which the scorer is compared with mir_eval in every run

    def __post_init__(self) -> None:
        for name in self.metrics:
            check_choice("evaluation.metrics", name, METRICS)
        if "si_sdr" not in self.metrics or "sdr" not in self.metrics:
            raise UserError("evaluation.metrics: si_sdr and sdr are always among them.")
        for name in self.estimators:
            check_choice("evaluation.estimators", name, ("mixture", "model", "ibm", "irm", "wfm"))


@dataclass(frozen=True)
class ReportConf:
    title: str


@dataclass(frozen=True)
class Conf:
    corpus: CorpusConf
    splits: SplitsConf
    metadata: MetadataConf
    mixtures: MixturesConf
    audio: AudioConf
    model: ModelConf
    training: TrainingConf
    evaluation: EvaluationConf
    report: ReportConf

    def section(self, *names: str) -> dict[str, Any]:
        """The named sections as plain values."""
        return {name: dataclasses.asdict(getattr(self, name)) for name in names}

    def as_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def fingerprint(self, *names: str) -> str:
        return hash_value(self.section(*names))
