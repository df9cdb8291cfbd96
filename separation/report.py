"""The report: RESULTS.md and one self-contained report.html."""

import base64
import io
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import yaml

from separation.doubts import tell_baseline, tell_overfit
from separation.estimators import make_model_estimator
from separation.files import read_json, read_rows, write_text
from separation.model import load_model
from separation.plots import plot_curves, plot_histogram, plot_spectrogram
from separation.render import Mixture
from separation.separate import match_level
from separation.stages import Experiment
from separation.summary import format_scores

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse}td,th{border:1px solid #ccc;padding:.25em .6em;text-align:left}
.signals{display:flex;flex-wrap:wrap;gap:8px}figure{margin:0}figcaption{font-size:12px}
audio{width:340px;height:30px;display:block}pre{background:#f5f5f5;padding:1em;overflow:auto}
"""
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
    summary = read_json(experiment.folder / "evaluation" / "summary.json")
    run = read_json(experiment.folder / "run.json")
    results = experiment.folder / "RESULTS.md"
    page = experiment.folder / "report.html"
    write_text(results, format_results(experiment, summary, run))
    write_text(page, _format_page(experiment, summary, run))
    return [results, page]


def format_results(experiment: Experiment, summary: dict[str, Any], run: dict[str, Any]) -> str:
    """RESULTS.md: the score table and what produced it."""
    curve = read_rows(experiment.folder / "curves.csv")
    minutes = float(curve[-1]["elapsed_s"]) / 60
    about, compared = summary["about"], experiment.compare_fingerprints()
    prints = ", ".join(
        f"{split} `{value}`" + (f" ({compared[split]})" if split in compared else "")
        for split, value in run["fingerprints"].items()
    )
    audio = ", ".join(f"{name} `{about[f'audio_{name}']}`" for name in experiment.test_splits)
    versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
    sets = "; ".join(f"{name} {TEST_SETS[name]}" for name in experiment.test_splits)
    doubts = "\n\n".join(tell_doubts(experiment, summary))
    return f"""# {experiment.conf.report.title}

{format_scores(summary)}

SI-SDR with zero-mean signals, SDR of BSS Eval v3; dB, means over mixtures with 95 % bootstrap
intervals. Sets: {sets}.
{tell_gap(summary)}

{doubts}

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


def format_row(
    experiment: Experiment, summary: dict[str, Any], run: dict[str, Any], trained: str
) -> str:
    """This result as a row of a data set's table of results: what, on what, by what."""
    split = experiment.test_splits[-1]
    model = summary["scores"][split].get("model")
    scores = [model["all"][name]["mean"] for name in ("si_sdri", "sdri")] if model else []
    cells = [
        run["recipe"],
        f"{experiment.kind} {split}, {experiment.conf.audio.sample_rate} Hz",
        " / ".join(f"{score:.2f}" for score in scores) or "–",
        f"`{run['fingerprints'][split]}`",
        f"`{summary['about'][f'audio_{split}']}`",
        trained,
        f"seed {run['seed']}",
        run["commit"],
        run["device"],
    ]
    return "| " + " | ".join(cells) + " |"


def tell_gap(summary: dict[str, Any]) -> str:
    """One sentence on what the difference of the two test sets says."""
    scores = summary["scores"]
    if any("model" not in scores.get(name, {}) for name in ("test_seen", "test_unseen")):
        return ""
    pair = ("test_seen", "test_unseen")
    seen, unseen = (scores[name]["model"]["all"]["si_sdri"]["mean"] for name in pair)
    return (
        f"The model improves voices it knows by {seen:.2f} dB and voices it never heard by "
        f"{unseen:.2f} dB: {seen - unseen:.2f} dB do not carry over to new voices."
    )


def tell_doubts(experiment: Experiment, summary: dict[str, Any]) -> list[str]:
    """What speaks for or against trusting the scores, one sentence each."""
    sentences = (tell_overfit(experiment), tell_baseline(experiment, summary))
    return [sentence for sentence in sentences if sentence]


def _format_page(experiment: Experiment, summary: dict[str, Any], run: dict[str, Any]) -> str:
    title = escape(experiment.conf.report.title)
    parts = [
        f"<h1>{title}</h1>",
        _table_to_html(format_scores(summary)),
        f"<p>{escape(tell_gap(summary))}</p>",
        *(f"<p>{escape(sentence)}</p>" for sentence in tell_doubts(experiment, summary)),
        "<h2>Training</h2>",
        f'<img alt="training curves" src="{plot_curves(_read_curves(experiment))}">',
    ]
    if "model" in experiment.conf.evaluation.estimators:
        parts += ["<h2>SI-SDRi of single mixtures</h2>", _show_histogram(experiment)]
        parts += [_show_examples(experiment, split) for split in experiment.test_splits]
    parts += ["<h2>What produced this</h2>", f"<pre>{escape(yaml.safe_dump(run))}</pre>"]
    parts.append(f"<pre>{escape(yaml.safe_dump(experiment.conf.as_dict(), sort_keys=False))}</pre>")
    body = "\n".join(parts)
    head = f'<meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{body}</body></html>\n'


def _read_curves(experiment: Experiment) -> list[dict[str, str]]:
    return read_rows(experiment.folder / "curves.csv")


def _read_scores(experiment: Experiment, split: str) -> list[dict[str, str]]:
    return read_rows(experiment.folder / "evaluation" / split / "model.csv")


def _show_histogram(experiment: Experiment) -> str:
    gains = {
        split: [float(row["si_sdri"]) for row in _read_scores(experiment, split)]
        for split in experiment.test_splits
    }
    return f'<img alt="histogram of SI-SDRi" src="{plot_histogram(gains)}">'


def _show_examples(experiment: Experiment, split: str) -> str:
    """Best, median and worst mixture of a set, to see and hear."""
    ranked = sorted(_read_scores(experiment, split), key=lambda row: float(row["si_sdri"]))
    chosen = {"best": ranked[-1], "median": ranked[len(ranked) // 2], "worst": ranked[0]}
    mixtures = experiment.mixtures(split)
    places = {row["mixture_ID"]: place for place, row in enumerate(mixtures.rows)}
    import torch

    estimator = make_model_estimator(load_model(experiment.checkpoint), torch.device("cpu"))
    rate = experiment.conf.audio.sample_rate
    parts = [f"<h2>{escape(split)}: {escape(TEST_SETS[split])}</h2>"]
    for name, score in chosen.items():
        mixture = mixtures[places[score["mixture_ID"]]]
        order = [int(index) for index in score["permutation"].split()]
        estimates = match_level(mixture.mixture, estimator(mixture)[order])
        gain, voices = float(score["si_sdri"]), _name_voices(mixture)
        parts.append(f"<h3>{name}: {gain:.2f} dB, {escape(score['mixture_ID'])}, {voices}</h3>")
        parts.append(_show_signals(mixture, estimates, rate))
    return "\n".join(parts)


def _name_voices(mixture: Mixture) -> str:
    numbers = range(1, len(mixture.sources) + 1)
    return escape(" and ".join(mixture.row.get(f"speaker_{number}_ID", "?") for number in numbers))


def _show_signals(mixture: Mixture, estimates: np.ndarray, rate: int) -> str:
    signals = [("mixture", mixture.mixture)]
    signals += [(f"reference {i}", source) for i, source in enumerate(mixture.sources, 1)]
    signals += [(f"estimate {i}", estimate) for i, estimate in enumerate(estimates, 1)]
    figures = [
        f'<figure><figcaption>{label}</figcaption><img alt="spectrogram of {label}" '
        f'src="{plot_spectrogram(samples, rate)}">'
        f'<audio controls preload="none" src="{_encode_audio(samples, rate)}"></audio></figure>'
        for label, samples in signals
    ]
    return f'<div class="signals">{"".join(figures)}</div>'


def _encode_audio(samples: np.ndarray, rate: int) -> str:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format="WAV", subtype="PCM_16")
    return "data:audio/wav;base64," + base64.b64encode(buffer.getvalue()).decode()


def _table_to_html(markdown: str) -> str:
    lines = [line.strip("| ").split(" | ") for line in markdown.splitlines()]
    head = "".join(f"<th>{escape(cell)}</th>" for cell in lines[0])
    rows = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in line) + "</tr>"
        for line in lines[2:]
    )
    return f"<table><tr>{head}</tr>{rows}</table>"
