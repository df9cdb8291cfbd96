"""A trained rung scored on the ladder's test sets, and its result."""

from pathlib import Path

from separation.ablate.plan import SPLIT, Run
from separation.ablate.result import METRIC, RungResult, TestScores, write_result
from separation.config.schema import Conf
from separation.corpora.table import Utterance, read_table
from separation.device import choose_device
from separation.errors import UserError
from separation.evaluation.estimators import make_model_estimator
from separation.evaluation.runner import Scoring, evaluate_set
from separation.evaluation.score_rows import describe_unscored
from separation.experiment.experiment import Experiment
from separation.experiment.mixtures import choose_read_options, open_split
from separation.files import fingerprint_file, hash_text_file
from separation.jobs import keep_freed_memory
from separation.mixtures.dataset import MixtureDataset
from separation.mixtures.table import read_mixture_table
from separation.models.checkpoint.load import load_model

METRICS = ("si_sdr",)  # what ladders compare; stage 5 measures the rest


def score_run(run: Run) -> None:
    """Score ``best_model.pth`` on every test set, going on where it was cut; write the result.

    Raises:
        UserError: a mixture could not be scored.
    """
    keep_freed_memory()
    experiment = run.experiment
    checkpoint = experiment.folder.checkpoint
    model = load_model(checkpoint)
    estimator = make_model_estimator(model, choose_device(experiment.device))
    key = fingerprint_file(checkpoint)
    tests = {}
    for name, text in run.find_tests().items():
        mixtures = open_test(experiment, name, text)
        mixtures.keep(experiment.n_jobs, f"render {name}")
        path = experiment.folder.path / "ladder_tests" / f"{name}.csv"
        scoring = Scoring(metrics=METRICS, n_jobs=experiment.n_jobs, n_checked=0)
        scored = evaluate_set(mixtures, estimator, path, scoring, name, key)
        if unscored := scored.unscored():
            raise UserError("; ".join(describe_unscored({name: unscored})))
        tests[name] = TestScores(
            fingerprint=hash_text_file(mixtures.source),
            values=tuple(round(row.values[METRIC], 4) for row in scored.rows),
            speakers=tuple(row.speakers for row in scored.rows),
        )
    n_parameters = sum(parameter.numel() for parameter in model.parameters())
    write_result(run.result, describe_result(run, n_parameters, tests))


def open_test(experiment: Experiment, name: str, text: str) -> MixtureDataset:
    """A test set at the rung's rate: a mixture table of its corpora, or one of the recipe's own."""
    if text.startswith(SPLIT):
        return open_split(experiment, text.removeprefix(SPLIT))
    rows = read_mixture_table(Path(text))
    return MixtureDataset(rows, choose_read_options(experiment), name=name, source=Path(text))


def describe_result(run: Run, n_parameters: int, tests: dict[str, TestScores]) -> RungResult:
    """The result of a training that is done and scored."""
    experiment, conf = run.experiment, run.experiment.conf
    saved, curves = experiment.folder.read_run(), experiment.folder.read_curves()
    assert saved is not None and curves, f"{experiment.folder.path} is not trained"
    last, best = curves[-1], min(curves, key=lambda row: float(row["dev_loss"]))
    steps = int(last["step"])
    mixtures = steps * conf.training.batch_size
    utterances, field = list_training(experiment), conf.model.receptive_field()
    return RungResult(
        ladder=run.ladder.name,
        rung=run.rung.name,
        label=run.rung.label,
        before=run.rung.before,
        seed=run.seed,
        recipe=run.ladder.recipe,
        overrides=list(run.options.overrides),
        key=run.key,
        commit=saved["commit"],
        device=saved["device"],
        versions=saved["versions"],
        steps=steps,
        batch_size=conf.training.batch_size,
        minutes=round(float(last["elapsed_s"]) / 60, 2),
        audio_s_per_s=float(last["audio_s_per_s"]),
        hours=round(mixtures * conf.training.segment_s / 3600, 3),
        mixtures=mixtures,
        distinct_mixtures=count_distinct(experiment, mixtures),
        utterances=len(utterances),
        speakers=len({row.speaker for row in utterances}),
        speech_hours=round(sum(row.duration_s for row in utterances) / 3600, 3),
        parameters=n_parameters,
        sample_rate=conf.audio.sample_rate,
        field_s=_measure_field(conf, field),
        train_si_sdr=-float(last["train_loss"]),
        dev_si_sdr=-float(best["dev_loss"]),
        dev_si_sdri=float(best["dev_si_sdri"]),
        tests=tests,
    )


def _measure_field(conf: Conf, field: int | None) -> float | None:
    return round(field / conf.audio.sample_rate, 3) if field else None


def list_training(experiment: Experiment) -> list[Utterance]:
    """The utterances that are trained on; of a fixed list those that it names."""
    rows = [row for row in read_table(experiment.data.table) if row.split == "train"]
    if experiment.mixes_dynamically:
        return rows
    table = experiment.data.mixture_table("train")
    listed = read_mixture_table(table, allow_repeats=True)
    named = {path for row in listed for source in row.sources for path in source.paths}
    return [row for row in rows if row.path in named]


def count_distinct(experiment: Experiment, mixtures: int) -> int:
    """Of so many training mixtures, those that differ: drawn ones all do."""
    if experiment.mixes_dynamically:
        return mixtures
    table = experiment.data.mixture_table("train")
    return min(mixtures, len(read_mixture_table(table, allow_repeats=True)))
