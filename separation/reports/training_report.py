"""Report of an experiment: RESULTS.md and one self-contained report.html."""

from html import escape
from pathlib import Path

import yaml

from separation.evaluation.breakdown import measure_breakdown, rank_worst
from separation.evaluation.estimators import make_model_estimator
from separation.evaluation.intervals import pick_values
from separation.evaluation.score_rows import ScoreRow, read_scores
from separation.evaluation.summary import (
    SCORES_HEAD,
    Summary,
    describe_problems,
    format_scores,
    list_score_cells,
)
from separation.experiment.experiment import Experiment
from separation.experiment.fingerprints import compare_fingerprints
from separation.experiment.folder import RunRecord
from separation.experiment.mixtures import open_split
from separation.files import write_text
from separation.mixtures.signals import Mixture
from separation.models.checkpoint.load import load_model
from separation.models.inference import match_level
from separation.plots import plot_curves, plot_histogram
from separation.reports.breakdown import show_breakdowns
from separation.reports.page import Block, Part, Table, blocks_to_html, format_page, show_signals
from separation.reports.sanity import list_sanity_notes
from separation.text import format_table_row

N_WORST = 5
TEST_SETS = {
    "test_seen": "(a) speakers heard in training, prompts not",
    "test_unseen": "(b) speakers never heard",
    "test": "speakers never heard in training",
}


def write_report(experiment: Experiment) -> list[Path]:
    """Write ``RESULTS.md`` and ``report.html`` into the experiment folder.

    Returns:
        the two paths.
    """
    folder = experiment.folder
    summary, run = folder.read_summary(), folder.read_run()
    assert summary is not None and run is not None, f"{folder.path} is not evaluated"
    write_text(folder.results, format_results(experiment, summary, run))
    write_text(folder.report, _format_page(experiment, summary, run))
    return [folder.results, folder.report]


def format_results(experiment: Experiment, summary: Summary, run: RunRecord) -> str:
    """RESULTS.md: the score table and what produced it."""
    curve = experiment.folder.read_curves()
    minutes = float(curve[-1]["elapsed_s"]) / 60
    about, compared = summary.about, compare_fingerprints(experiment)
    prints = ", ".join(
        f"{split} `{value}`" + (f" ({compared[split]})" if split in compared else "")
        for split, value in run["fingerprints"].items()
    )
    audio = ", ".join(f"{name} `{about[f'audio_{name}']}`" for name in experiment.test_splits)
    versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
    sets = "; ".join(f"{name} {TEST_SETS[name]}" for name in experiment.test_splits)
    notes = "\n\n".join(list_sanity_notes(experiment, summary) + describe_problems(summary))
    return f"""# {experiment.conf.report.title}

{format_scores(summary)}

SI-SDR with zero-mean signals, SDR of BSS Eval v3; dB, means over mixtures with 95 % bootstrap
intervals. Sets: {sets}.
{describe_gap(summary)}

{notes}

- recipe {run["recipe"]}, commit {run["commit"]}, seed {run["seed"]},
  config {run["conf_fingerprint"]}
- {minutes:.1f} minutes of training, {curve[-1]["step"]} steps, on {run["device"]}
- mixtures: {prints}
- rendered audio at {experiment.conf.audio.sample_rate} Hz: {audio}
- checkpoint sha256 {about["checkpoint_sha256"]}
- Python {run["python"]}, {versions}

As a row of the results table in egs/{run["recipe"].split("/")[0]}/README.md:

{format_row(experiment, summary, run, f"{minutes:.0f} min, {curve[-1]['step']} steps")}
"""


def format_row(experiment: Experiment, summary: Summary, run: RunRecord, trained: str) -> str:
    """This result as a row of a data set's table of results: what, on what, by what."""
    split = experiment.test_splits[-1]
    scores = [summary.find_mean(split, "model", metric) for metric in ("si_sdri", "sdri")]
    cells = [
        run["recipe"],
        f"{experiment.kind} {split}, {experiment.conf.audio.sample_rate} Hz",
        " / ".join(f"{score.mean:.2f}" for score in scores if score) or "–",
        f"`{run['fingerprints'][split]}`",
        f"`{summary.about[f'audio_{split}']}`",
        trained,
        f"seed {run['seed']}",
        run["commit"],
        run["device"],
    ]
    return format_table_row(cells)


def describe_gap(summary: Summary) -> str:
    """One sentence on voices heard in training and others; empty where there is no such pair."""
    means = [summary.find_mean(split, "model", "si_sdri") for split in ("test_seen", "test_unseen")]
    seen, unseen = (own.mean if own else None for own in means)
    if seen is None or unseen is None:
        return ""
    return (
        f"The model improves voices it knows by {seen:.2f} dB and voices it never heard by "
        f"{unseen:.2f} dB: {seen - unseen:.2f} dB do not carry over to new voices."
    )


def _format_page(experiment: Experiment, summary: Summary, run: RunRecord) -> str:
    head: list[Part] = [
        Block("h1", experiment.conf.report.title),
        Table(SCORES_HEAD, list_score_cells(summary)),
        Block("text", describe_gap(summary)),
        Block("text", list_sanity_notes(experiment, summary) + describe_problems(summary)),
        Block("h2", "Training"),
    ]
    ratio = experiment.conf.training.loss.upper().replace("_", "-")
    curves = plot_curves(experiment.folder.read_curves(), ratio)
    parts = [blocks_to_html(head), f'<img alt="training curves" src="{curves}">']
    if "model" in experiment.conf.evaluation.estimators:
        parts += _show_mixtures(experiment)
    parts += ["<h2>What produced this</h2>", f"<pre>{escape(yaml.safe_dump(run))}</pre>"]
    parts.append(f"<pre>{escape(yaml.safe_dump(experiment.conf.as_dict(), sort_keys=False))}</pre>")
    return format_page(experiment.conf.report.title, "\n".join(parts))


def _show_mixtures(experiment: Experiment) -> list[str]:
    """Histogram, break-downs and examples of the sets in which the model has scores."""
    scores = {split: _read_scores(experiment, split) for split in experiment.test_splits}
    scored = {split: rows for split, rows in scores.items() if pick_values(rows, "si_sdri")}
    if not scored:
        return []
    gains = {split: list(pick_values(rows, "si_sdri").values()) for split, rows in scored.items()}
    image = f'<img alt="histogram of SI-SDRi" src="{plot_histogram(gains)}">'
    breakdowns = {split: measure_breakdown(rows, "si_sdri") for split, rows in scored.items()}
    where = [
        Block("h2", "Where it is bad"),
        Block("text", "SI-SDRi in dB, mean [95 %] of the number of mixtures."),
        *show_breakdowns(breakdowns),
        Block("list", [_list_worst(split, rows) for split, rows in scored.items()]),
    ]
    parts = ["<h2>SI-SDRi of single mixtures</h2>", image, blocks_to_html(where)]
    return parts + [_show_examples(experiment, split, rows) for split, rows in scored.items()]


def _read_scores(experiment: Experiment, split: str) -> list[ScoreRow]:
    return read_scores(experiment.folder.scores(split, "model"))


def _list_worst(split: str, rows: list[ScoreRow]) -> str:
    worst = rank_worst(rows, "si_sdri", N_WORST)
    listed = ", ".join(f"{row.mixture_id} {row.values['si_sdri']:.2f}" for row in worst)
    return f"{split}, the worst: {listed}."


def _show_examples(experiment: Experiment, split: str, rows: list[ScoreRow]) -> str:
    """Best, median and worst mixture of a set, to see and hear."""
    ranked = rank_worst(rows, "si_sdri", len(rows))
    chosen = {"best": ranked[-1], "median": ranked[len(ranked) // 2], "worst": ranked[0]}
    mixtures = open_split(experiment, split)
    places = {row.mixture_id: place for place, row in enumerate(mixtures.rows)}
    import torch

    estimator = make_model_estimator(load_model(experiment.folder.checkpoint), torch.device("cpu"))
    rate = experiment.conf.audio.sample_rate
    parts = [f"<h2>{escape(split)}: {escape(TEST_SETS[split])}</h2>"]
    for name, score in chosen.items():
        mixture = mixtures[places[score.mixture_id]]
        ordered = estimator(mixture)[list(score.permutation)]
        estimates = match_level(mixture.mixture, ordered)
        gain = f"{score.values['si_sdri']:.2f} dB"
        heading = f"{name}: {gain}, {score.mixture_id}, {_name_voices(mixture)}"
        parts.append(f"<h3>{escape(heading)}</h3>")
        parts.append(show_signals(mixture, estimates, rate))
    return "\n".join(parts)


def _name_voices(mixture: Mixture) -> str:
    return " and ".join(source.speaker or "?" for source in mixture.row.sources)
