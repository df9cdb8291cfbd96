"""From an experiment's files to the figures of a diagnosis; what is not there is left out."""

import math
from collections.abc import Sequence
from pathlib import Path

from separation.config.schema import Conf
from separation.diagnosis.clipping import measure_clipped_share
from separation.diagnosis.compared import read_compared
from separation.diagnosis.figures import (
    DataFigures,
    Epoch,
    Figures,
    ModelFigures,
    OverfitFigures,
    TrainingFigures,
    ValidationFigures,
)
from separation.diagnosis.published import TRAINING_SETS, TrainingSet, name_list
from separation.diagnosis.scores import measure_baseline, measure_tests
from separation.diagnosis.signals import measure_band, measure_sums
from separation.errors import UserError
from separation.experiment.experiment import Experiment
from separation.files import hash_value, read_json
from separation.mixtures.table import MixtureRow, read_mixture_table

AUDIT = "audit.json"  # of stage 1, beside the corpus table
ENDLESS_MIN = 100000.0  # conf/default.yml's training.budget_min: epochs decide


def collect_figures(
    experiment: Experiment,
    *,
    compared: Sequence[Path] = (),
    validated: Path | None = None,
    against_db: float | None = None,
) -> Figures:
    """Everything that a diagnosis looks at.

    Args:
        experiment: of one call, or opened from its folder.
        compared: files ``comparison.json``; those that do not hold this model say nothing.
        validated: a ``validation.json``.
        against_db: the figure that the user compares with.

    Raises:
        UserError: a file of the experiment is broken.
    """
    training = read_training(experiment)
    data = measure_data(experiment, training)
    return Figures(
        experiment=str(experiment.folder.path) if training else experiment.recipe,
        data=data,
        model=measure_model(experiment.conf),
        training=training,
        band=measure_band(experiment),
        sums=measure_sums(experiment),
        overfit=read_overfit(experiment),
        tests=measure_tests(experiment),
        baseline=measure_baseline(experiment),
        compared=read_compared(compared, experiment.folder),
        validation=read_validation(validated),
        against_db=against_db,
    )


def read_training(experiment: Experiment) -> TrainingFigures | None:
    """The curves; None before the first epoch."""
    rows = experiment.folder.read_curves()
    if not rows:
        return None
    conf = experiment.conf.training
    epochs = tuple(_read_epoch(row) for row in rows)
    best = max(range(len(epochs)), key=lambda place: _rank(epochs[place].dev_db))
    is_si_sdr = conf.loss == "si_sdr" and not conf.loss_ceiling
    return TrainingFigures(
        epochs=epochs,
        lr=conf.lr,
        schedule=conf.schedule,
        annealed=conf.schedule == "cosine" or conf.anneal_share > 0,
        may_go_on="epochs" in conf.may_change,
        planned_epochs=conf.epochs,
        budget_min=conf.budget_min if conf.budget_min < ENDLESS_MIN else None,
        ended_itself=0 < conf.early_stop <= len(epochs) - 1 - best,
        # SepReformer's training loss is of its early estimates too
        compares=not conf.loss_ceiling and experiment.conf.model.name != "SepReformer",
        is_si_sdr=is_si_sdr,
        batch_size=conf.batch_size,
        clip=conf.clip,
        clipped_share=measure_clipped_share(experiment.folder.path / "tensorboard", conf.clip),
        began_from=conf.init_from,
    )


def _rank(value: float) -> float:
    return value if math.isfinite(value) else -math.inf


def _read_epoch(row: dict[str, str]) -> Epoch:
    try:
        return Epoch(
            number=int(row["epoch"]),
            step=int(row["step"]),
            train_db=-float(row["train_loss"]),
            dev_db=-float(row["dev_loss"]),
            dev_gain_db=float(row["dev_si_sdri"]) if row.get("dev_si_sdri") else None,
            lr=float(row["lr"]),
            skipped=int(row.get("skipped") or 0),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"curves.csv: epoch {row.get('epoch')} cannot be read ({error}); remove the line."
        ) from error


def measure_data(experiment: Experiment, training: TrainingFigures | None) -> DataFigures:
    """Who and what training hears: from the tables of stages 1 and 2, or else from the plan."""
    conf = experiment.conf
    speakers, utterances, speech_h = _measure_speakers(experiment)
    listed, listed_h = _measure_list(experiment)
    dev = experiment.data.mixture_table("dev")
    return DataFigures(
        mix=experiment.recipe.split("/")[0],
        sample_rate=conf.audio.sample_rate,
        n_src=conf.mixtures.n_src,
        noisy=conf.mixtures.task == "sep_noisy",
        origin=experiment.origin,
        dynamic=experiment.mixes_dynamically,
        segment_s=conf.training.segment_s,
        speakers=speakers,
        utterances=utterances,
        speech_h=speech_h,
        listed=listed,
        listed_h=listed_h,
        trained=_count_trained(conf, training, listed, utterances),
        is_plan=training is None,
        dev_table=str(dev) if dev.is_file() else "",
    )


def _measure_speakers(experiment: Experiment) -> tuple[int | None, int | None, float | None]:
    """Speakers, utterances and hours of the recordings that training draws from."""
    audit = read_json(experiment.data.path / AUDIT)
    if audit is not None and "train" in audit["splits"]:
        train = audit["splits"]["train"]
        return train["speakers"], train["utterances"], train["hours"]
    rows_of_list = _read_list(experiment)
    if rows_of_list:
        speakers = {source.speaker for row in rows_of_list for source in row.sources} - {""}
        paths = {source.path for row in rows_of_list for source in row.sources}
        return len(speakers) or None, len(paths), None
    published = _find_published(experiment)
    splits = experiment.conf.splits
    n_speakers = splits.n_train_speakers or (published.speakers if published else None)
    each = splits.n_train_utterances
    return n_speakers, n_speakers * each if n_speakers and each else None, None


def _find_published(experiment: Experiment) -> TrainingSet | None:
    """The published set that a recipe trains on, while nothing of it was read."""
    mix, conf = experiment.recipe.split("/")[0], experiment.conf
    origin = experiment.origin
    name = name_list(mix, conf.metadata.train if origin == "published" else origin)
    return next((own for own in TRAINING_SETS if own.name == name), None)


def _read_list(experiment: Experiment) -> list[MixtureRow]:
    table = experiment.data.mixture_table("train")
    if not experiment.has_train_list or not table.is_file():
        return []
    return read_mixture_table(table, allow_repeats=True)


def _measure_list(experiment: Experiment) -> tuple[int | None, float | None]:
    """Mixtures of the fixed training list, and their hours."""
    conf = experiment.conf
    rows = _read_list(experiment)
    fixed_s = conf.mixtures.train_length_s
    if rows:
        stated = [row.length for row in rows if row.length]
        if fixed_s:
            return len(rows), len(rows) * fixed_s / 3600
        if len(stated) == len(rows):
            return len(rows), sum(stated) / conf.audio.sample_rate / 3600
        return len(rows), None
    published = _find_published(experiment)
    if experiment.origin == "published" and published and conf.mixtures.n_src == 2:
        return published.mixtures, published.hours
    planned = conf.mixtures.n_train
    return (planned, planned * fixed_s / 3600 or None) if planned else (None, None)


def _count_trained(
    conf: Conf, training: TrainingFigures | None, listed: int | None, utterances: int | None
) -> int | None:
    """Mixtures of all steps: done, or planned where no clock ends them."""
    if training is not None:
        return training.last.step * conf.training.batch_size
    epoch = conf.training.epoch_mixtures or listed or (utterances or 0) // conf.mixtures.n_src
    if not epoch or conf.training.budget_min < ENDLESS_MIN:
        return None
    return epoch * conf.training.epochs


def measure_model(conf: Conf) -> ModelFigures:
    """Receptive field and size; without torch."""
    model, rate = conf.model, conf.audio.sample_rate
    return ModelFigures(
        name=model.name,
        sample_rate=rate,
        parameters=count_parameters(conf),
        kernel=getattr(model, "kernel_size", None),
        stride=getattr(model, "stride", None),
        kernel_rate=getattr(model, "kernel_rate", 0),
        field=model.receptive_field(),
        blocks=getattr(model, "n_blocks", None),
        repeats=getattr(model, "n_repeats", None),
    )


def count_parameters(conf: Conf) -> int | None:
    """Parameters of Asteroid's Conv-TasNet with global norms, from its config; None of others."""
    own = conf.model
    if own.name != "ConvTasNet":
        return None
    filters, bottleneck, hidden, skip = (
        getattr(own, name) for name in ("n_filters", "bn_chan", "hid_chan", "skip_chan")
    )
    taps = getattr(own, "conv_kernel_size")  # noqa: B009
    bases = 2 * filters * getattr(own, "kernel_size")  # noqa: B009
    block = bottleneck * hidden + hidden + 1 + 2 * hidden  # convolution, activation, norm
    block += hidden * taps + hidden + 1 + 2 * hidden
    block += hidden * bottleneck + bottleneck + (hidden * skip + skip if skip else 0)
    n_out, last = conf.mixtures.n_src * filters, skip or bottleneck
    n_blocks = getattr(own, "n_blocks") * getattr(own, "n_repeats")  # noqa: B009
    ends = 2 * filters + filters * bottleneck + bottleneck + 1 + last * n_out + n_out
    return int(bases + ends + n_blocks * block)


def read_overfit(experiment: Experiment) -> OverfitFigures | None:
    """The verdict of ``overfit``; None where it was not tried."""
    verdict = read_json(experiment.folder.overfit)
    if verdict is None:
        return None
    return OverfitFigures(
        passed=bool(verdict["passed"]),
        sentence=str(verdict["sentence"]),
        same_model=verdict.get("model") == hash_value(experiment.conf.section("model")),
    )


def read_validation(path: Path | None) -> ValidationFigures | None:
    """The outcome of ``validate``.

    Raises:
        UserError: the file is no such outcome.
    """
    if path is None:
        return None
    report = read_json(path)
    try:
        counts: dict[str, int] = {}
        for own in report["sets"]:
            for check, found in own["checks"].items():
                if found and found["count"] and check not in report["allowed"]:
                    counts[check] = counts.get(check, 0) + found["count"]
        return ValidationFigures(
            n_mixtures=sum(own["mixtures"] for own in report["sets"]),
            n_concerned=report["mixtures_concerned"],
            faults=tuple(sorted(counts.items(), key=lambda pair: -pair[1])),
        )
    except (KeyError, TypeError) as error:
        raise UserError(f"{path}: is no validation.json of `validate`.") from error
