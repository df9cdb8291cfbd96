"""What a diagnosis looks at: plain numbers, so that a check can be tried without any training."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from separation.evaluation.intervals import MeanInterval


@dataclass(frozen=True, kw_only=True)
class DataFigures:
    """Whom and what a training hears.

    Attributes:
        mix: the data set, as its folder below egs/ is called.
        sample_rate: Hz.
        n_src: speakers in a mixture.
        noisy: whether the mixtures hold noise.
        origin: where mixtures come from, as an experiment has it.
        dynamic: whether every step's mixtures are new.
        segment_s: length of a training mixture.
        speakers, utterances: that train; None where that is not known yet.
        speech_h: hours of their recordings.
        listed: mixtures of the fixed training list; None where there is none.
        listed_h: hours of these.
        trained: mixtures of all steps, each counted as often as it came.
        is_plan: whether ``trained`` is what the config asks for, and nothing was trained yet.
        dev_table: path of the dev mixtures' table; empty before stage 2.
    """

    mix: str = "folder"
    sample_rate: int = 8000
    n_src: int = 2
    noisy: bool = False
    origin: str = "drawn"
    dynamic: bool = True
    segment_s: float = 4.0
    speakers: int | None = None
    utterances: int | None = None
    speech_h: float | None = None
    listed: int | None = None
    listed_h: float | None = None
    trained: int | None = None
    is_plan: bool = False
    dev_table: str = ""

    @property
    def trained_h(self) -> float | None:
        """Hours of mixtures of all steps."""
        return None if self.trained is None else self.trained * self.segment_s / 3600

    @property
    def distinct(self) -> int | None:
        """Different mixtures that training hears."""
        if self.dynamic or self.listed is None:
            return self.trained if self.dynamic else None
        return self.listed if self.trained is None else min(self.listed, self.trained)

    @property
    def repeats(self) -> float | None:
        """How often each fixed mixture comes; None where mixtures are new each time."""
        if self.dynamic or not self.listed or self.trained is None:
            return None
        return self.trained / self.listed


@dataclass(frozen=True, kw_only=True)
class ModelFigures:
    """The network.

    Attributes:
        name: ``model.name``.
        sample_rate: Hz, at which it works.
        parameters: None where they were not counted.
        kernel, stride: samples of a window, and from one to the next; None where it has none.
        kernel_rate: Hz that these were given for; 0: as they stand.
        field: receptive field in samples; None where it has no end or is not known.
        blocks, repeats: of a Conv-TasNet; None elsewhere.
    """

    name: str = "ConvTasNet"
    sample_rate: int = 8000
    parameters: int | None = None
    kernel: int | None = None
    stride: int | None = None
    kernel_rate: int = 0
    field: int | None = None
    blocks: int | None = None
    repeats: int | None = None

    @property
    def field_s(self) -> float | None:
        """Receptive field in seconds."""
        return None if self.field is None else self.field / self.sample_rate

    @property
    def field_frames(self) -> int | None:
        """Receptive field in frames of the encoder."""
        if self.field is None or self.kernel is None or self.stride is None:
            return None
        return (self.field - self.kernel) // self.stride + 1


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """An epoch of training: a row of curves.csv with its losses as ratios in dB.

    Attributes:
        number: from 0.
        step: steps of the whole run so far.
        train_db, dev_db: mean ratio of training and dev mixtures, SI-SDR by default; infinite or
            NaN where the loss was.
        dev_gain_db: SI-SDRi on dev; None in the oldest files.
        lr: learning rate of the last step.
        skipped: steps so far whose loss or gradient was not finite.
    """

    number: int
    step: int
    train_db: float
    dev_db: float
    dev_gain_db: float | None = None
    lr: float = 1e-3
    skipped: int = 0


@dataclass(frozen=True, kw_only=True)
class TrainingFigures:
    """How training went, and how it was set.

    Attributes:
        epochs: in order.
        lr: the base rate.
        schedule: ``training.schedule``.
        annealed: whether the rate was planned to fall to its end.
        may_go_on: whether the same command with more epochs goes on.
        planned_epochs: ``training.epochs``.
        budget_min: ``training.budget_min``; None where it is endless.
        ended_itself: whether early stopping ended it.
        compares: whether the training loss is of the same kind as dev's.
        is_si_sdr: whether losses are SI-SDR.
        batch_size: mixtures of a step.
        clip: largest norm of the gradient; 0: none.
        clipped_share: of the steps that were looked at, those whose gradient was clipped; None
            where nothing was logged.
        began_from: checkpoint that weights were taken from; empty: none.
    """

    epochs: tuple[Epoch, ...]
    lr: float = 1e-3
    schedule: str = "plateau"
    annealed: bool = False
    may_go_on: bool = True
    planned_epochs: int = 100
    budget_min: float | None = None
    ended_itself: bool = False
    compares: bool = True
    is_si_sdr: bool = True
    batch_size: int = 4
    clip: float = 5.0
    clipped_share: float | None = None
    began_from: str = ""

    @property
    def last(self) -> Epoch:
        return self.epochs[-1]

    @property
    def best(self) -> Epoch:
        """The epoch whose weights were kept."""
        return max(self.epochs, key=lambda epoch: (epoch.dev_db == epoch.dev_db, epoch.dev_db))

    @property
    def gap_db(self) -> float | None:
        """Training less dev at the end; None where the two do not compare."""
        return self.last.train_db - self.last.dev_db if self.compares else None

    @property
    def gap_growth_db(self) -> float | None:
        """By how much the gap is above its smallest."""
        if not self.compares:
            return None
        gaps = [epoch.train_db - epoch.dev_db for epoch in self.epochs]
        return gaps[-1] - min(gaps)


@dataclass(frozen=True, kw_only=True)
class BandFigures:
    """How far up recordings have anything.

    Attributes:
        sample_rate: Hz, of the recipe.
        edges_hz: of each recording that was looked at, the frequency above which there is
            nothing.
        levels_db: mean level of all by frequency, ``(Hz, dB)``, the highest at 0 dB.
    """

    sample_rate: int
    edges_hz: tuple[float, ...]
    levels_db: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, kw_only=True)
class SumFigures:
    """Whether references are parts of their mixtures.

    Attributes:
        split: that was looked at.
        likenesses: correlation of each mixture with the sum of its references.
        noisy: whether mixtures hold more than that.
    """

    split: str
    likenesses: tuple[float, ...]
    noisy: bool = False


@dataclass(frozen=True, kw_only=True)
class OverfitFigures:
    """What overfitting to a few mixtures gave; ``same_model`` is false for another model's."""

    passed: bool
    sentence: str
    same_model: bool = True


@dataclass(frozen=True)
class Trait:
    """What failures have in common.

    Attributes:
        code: of the trait.
        value: a name or bound that belongs to it.
        share: of the failures that have it.
        share_all: of all mixtures.
    """

    code: Literal["same_sex", "level", "overlap_full", "overlap_little", "short", "speaker"]
    value: str
    share: float
    share_all: float


@dataclass(frozen=True, kw_only=True)
class TestFigures:
    """The model on one test set, dB.

    Attributes:
        name: of the set.
        n_mixtures: with a score.
        n_speakers: 0 where they are not known.
        gain: SI-SDRi, with the interval that draws speakers where there is one.
        input_db: mean SI-SDR of the mixture; None where it was not scored.
        oracle_db: SI-SDRi of the best oracle mask; None where none was scored.
        worse, swapped, merged, twice: shares of mixtures that are worse than unprocessed, whose
            outputs change places, hold two voices, or the same voice.
        traits: what these have in common and others have less often.
    """

    name: str
    n_mixtures: int
    n_speakers: int = 0
    gain: MeanInterval
    input_db: float | None = None
    oracle_db: float | None = None
    worse: float = 0.0
    swapped: float = 0.0
    merged: float = 0.0
    twice: float = 0.0
    traits: tuple[Trait, ...] = ()


@dataclass(frozen=True, kw_only=True)
class BaselineFigures:
    """The same network over a fixed STFT, on the same mixtures.

    Attributes:
        split: that both were scored on.
        tag: of its experiment.
        ours, theirs: SI-SDRi.
        our_steps, their_steps: of training; 0 where that is not known.
    """

    split: str
    tag: str
    ours: MeanInterval
    theirs: MeanInterval
    our_steps: int = 0
    their_steps: int = 0


@dataclass(frozen=True, kw_only=True)
class ComparedFigures:
    """A published checkpoint beside this model, by ``compare``.

    Attributes:
        name: of the published one.
        test_set: on which both were scored.
        ours, theirs: SI-SDRi there; None where one has none.
        difference: ours less theirs on the same mixtures, with its interval.
        published_db: SI-SDRi of its card.
        published_set: on which that was.
        is_published_set: whether ``test_set`` is that very set.
    """

    name: str
    test_set: str
    ours: float
    theirs: float
    difference: MeanInterval
    published_db: float
    published_set: str
    is_published_set: bool


@dataclass(frozen=True, kw_only=True)
class ValidationFigures:
    """Faults that ``validate`` named.

    Attributes:
        n_mixtures: that were checked.
        n_concerned: that have one.
        faults: number of mixtures by check, the most frequent first.
    """

    n_mixtures: int
    n_concerned: int
    faults: tuple[tuple[str, int], ...]


@dataclass(frozen=True, kw_only=True)
class Figures:
    """All that is looked at; what there is not is None or empty.

    Attributes:
        experiment: its folder, or the recipe.
        data, model, training: see there; ``training`` is None before the first epoch.
        band, sums: of the audio, where it could be read.
        overfit, tests, baseline, compared, validation: results of stages and tools.
        against_db: the figure that the user compares with, ``diagnose --against``.
    """

    experiment: str
    data: DataFigures
    model: ModelFigures
    training: TrainingFigures | None = None
    band: BandFigures | None = None
    sums: SumFigures | None = None
    overfit: OverfitFigures | None = None
    tests: Mapping[str, TestFigures] = field(default_factory=dict)
    baseline: BaselineFigures | None = None
    compared: tuple[ComparedFigures, ...] = ()
    validation: ValidationFigures | None = None
    against_db: float | None = None
