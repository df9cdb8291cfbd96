"""A recipe's mixtures, opened: the fixed ones of a split, and those that training takes."""

from pathlib import Path

from separation.corpora.pack import ExactPack, PackedAudio
from separation.corpora.table import Utterance, drop_low_rates, read_table
from separation.errors import UserError
from separation.experiment.experiment import Experiment
from separation.mixtures.dataset import MixtureDataset, ReadOptions
from separation.mixtures.dynamic.host import DynamicMixtures, ListedSegments
from separation.mixtures.source_files import Corpora
from separation.mixtures.table import read_mixture_table


def read_usable(experiment: Experiment) -> list[Utterance]:
    """The corpus table, without what is left out for its sample rate."""
    return _read_usable(experiment, experiment.data.table)


def read_usable_noise(experiment: Experiment) -> list[Utterance]:
    """The noise corpus's table likewise; empty where no noise is used."""
    return _read_usable(experiment, experiment.data.noise_table) if experiment.noisy else []


def _read_usable(experiment: Experiment, table: Path) -> list[Utterance]:
    conf = experiment.conf
    rate = conf.audio.sample_rate
    return drop_low_rates(read_table(table), rate, skip_bad=conf.corpus.skip_bad)


def open_corpora(experiment: Experiment) -> Corpora:
    """The files that the mixture tables' paths stand for."""
    exact, inputs = experiment.data.exact, experiment.inputs
    pack = ExactPack(exact) if experiment.conf.audio.exact_pack and exact.is_dir() else None
    return Corpora(inputs.speech_root, inputs.noise_root if experiment.noisy else None, pack)


def open_split(experiment: Experiment, split: str) -> MixtureDataset:
    """The fixed mixtures of one split, rendered when they are asked for."""
    table, options = experiment.data.mixture_table(split), choose_read_options(experiment)
    return MixtureDataset(
        read_mixture_table(table, allow_repeats=True),
        options,
        name=split,
        form="recipe",
        source=table,
        own_rate=options.sample_rate,
    )


def choose_read_options(experiment: Experiment) -> ReadOptions:
    """How the rows of the recipe's mixture tables become signals."""
    return ReadOptions(
        corpora=None if experiment.origin == "existing" else open_corpora(experiment),
        sample_rate=experiment.conf.audio.sample_rate,
        mode=experiment.conf.mixtures.mode,
        kind="mix_both" if experiment.noisy else "",
    )


def open_training(experiment: Experiment) -> DynamicMixtures | ListedSegments:
    """What the training draws its segments from: packed speakers, or the fixed training list.

    Raises:
        UserError: the fixed list is asked for but there is none.
    """
    conf = experiment.conf
    n_samples = round(conf.training.segment_s * conf.audio.sample_rate)
    if not experiment.mixes_dynamically:
        if not experiment.has_train_list:
            raise UserError(
                "training.dynamic_mixing=false needs a training list: set mixtures.n_train, or "
                "metadata.rules=librimix."
            )
        mixtures, crop = open_split(experiment, "train"), conf.training.random_crop
        return ListedSegments(mixtures, n_samples, conf.training.seed, random_crop=crop)
    packed = experiment.data.packed(conf.audio.sample_rate)
    speech, noise = _open_pack(read_usable(experiment), packed), None
    if experiment.noisy:
        noise = _open_pack(read_usable_noise(experiment), packed / "noise")
    speeds = (conf.training.speed_min, conf.training.speed_max)
    return DynamicMixtures(
        speech,
        n_samples,
        conf.mixtures,
        conf.training.seed,
        noise,
        speeds,
        speaker_weight=conf.training.speaker_weight,
        speaker_groups=conf.training.speaker_groups,
        equalize_db=conf.training.equalize_db,
    )


def _open_pack(rows: list[Utterance], folder: Path) -> PackedAudio:
    """The training speakers of a table."""
    return PackedAudio(folder, sorted({row.speaker for row in rows if row.split == "train"}))
