"""RESULTS.md of an experiment: the score table and what produced it."""

from separation.environment import format_run
from separation.evaluation.summary import (
    SCORES_HEAD,
    Headlines,
    Summary,
    list_score_cells,
)
from separation.experiment.experiment import Experiment
from separation.experiment.fingerprints import compare_fingerprints
from separation.experiment.folder import RunRecord
from separation.reports.headlines import read_headlines
from separation.reports.page import Block, Part, Table, blocks_to_markdown
from separation.reports.sanity import list_sanity_notes
from separation.reports.words import Words
from separation.text import format_table_row, list_first

N_NAMED = 5  # mixtures of one problem in a sentence


def format_results(experiment: Experiment, summary: Summary, run: RunRecord) -> str:
    """RESULTS.md: the score table and what produced it."""
    words = Words(experiment.conf.report.language)
    headlines = read_headlines(experiment.folder, summary)
    sets = [f"{name}: {words.say(f'set.{name}')}" for name in experiment.test_splits]
    about = [words.say("tables.note"), words.say("results.sets", sets="; ".join(sets))]
    about += [*describe_intervals(headlines, words), describe_gap(summary, words)]
    curve = experiment.folder.read_curves()[-1]
    minutes = float(curve["elapsed_s"]) / 60
    row = format_row(experiment, summary, run, f"{minutes:.0f} min, {curve['step']} steps")
    notes = list_sanity_notes(experiment, summary) + describe_problems(summary, words)
    parts: list[Part] = [
        Block("h1", experiment.conf.report.title),
        make_score_table(summary, headlines, words),
        Block("text", [line for line in about if line]),
        *(Block("text", note) for note in notes),
        Block("list", _list_origin(experiment, summary, run, words)),
        Block("text", words.say("results.row")),
        Block("text", row),
    ]
    return blocks_to_markdown(parts)


def make_score_table(summary: Summary, headlines: Headlines, words: Words) -> Table:
    """Test sets x estimators in the language of the report; the model's rows are marked."""
    cells = list_score_cells(summary, headlines)
    marked = [number for number, row in enumerate(cells) if row[1] == "model"]
    none = words.say("range.none")  # as format_interval says in English
    shown = [[cell.replace("no interval", none) for cell in row[2:]] for row in cells]
    names = [[row[0], name_estimator(row[1], words)] for row in cells]
    rows = [[*name, *cells] for name, cells in zip(names, shown, strict=True)]
    return Table([words.say(f"table.{name}") for name in SCORES_HEAD], rows, marked)


def name_estimator(name: str, words: Words) -> str:
    """``model``, ``mixture (floor)``, ``IRM (oracle)``."""
    if words.knows(f"estimator.{name}"):
        return words.say(f"estimator.{name}")
    return words.say("estimator.oracle", name=name.upper())


def describe_intervals(headlines: Headlines, words: Words) -> list[str]:
    """What the model's intervals draw, a sentence a test set."""
    return [
        f"{test_set}: {words.describe_drawn(means['si_sdri'])}"
        for (test_set, name), means in headlines.items()
        if name == "model" and "si_sdri" in means
    ]


def describe_problems(summary: Summary, words: Words) -> list[str]:
    """One sentence a problem of every set and estimator: how many mixtures, and which."""
    return [
        words.say(
            "problem",
            split=test_set,
            estimator=name,
            problem=problem,
            n=len(ids),
            listed=list_first(ids, N_NAMED),
        )
        for test_set, estimators in summary.scores.items()
        for name, groups in estimators.items()
        for problem, ids in groups["all"].problems.items()
    ]


def _list_origin(
    experiment: Experiment, summary: Summary, run: RunRecord, words: Words
) -> list[str]:
    """Recipe, commit, seed, device, fingerprints, versions, and how to run it again."""
    curve, tag = experiment.folder.read_curves()[-1], experiment.folder.tag
    about, compared = summary.about, compare_fingerprints(experiment)
    prints = ", ".join(
        f"{split} `{value}`" + (f" ({compared[split]})" if split in compared else "")
        for split, value in run["fingerprints"].items()
    )
    audio = ", ".join(f"{name} `{about[f'audio_{name}']}`" for name in experiment.test_splits)
    versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
    made = {name: run[name] for name in ("recipe", "commit", "seed")}
    minutes = f"{float(curve['elapsed_s']) / 60:.1f}"
    return [
        words.say("results.recipe", **made, tag=tag, config=run["conf_fingerprint"]),
        words.say("results.length", minutes=minutes, steps=curve["step"], device=run["device"]),
        words.say("results.mixtures", prints=prints),
        words.say("results.audio", rate=experiment.conf.audio.sample_rate, audio=audio),
        words.say("results.checkpoint", sha256=about["checkpoint_sha256"]),
        f"Python {run['python']}, {versions}",
        words.say("results.again", command=format_run(*experiment.list_options())),
    ]


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


def describe_gap(summary: Summary, words: Words) -> str:
    """One sentence on voices heard in training and others; empty where there is no such pair."""
    means = [summary.find_mean(split, "model", "si_sdri") for split in ("test_seen", "test_unseen")]
    seen, unseen = (own.mean if own else None for own in means)
    if seen is None or unseen is None:
        return ""
    gap = {"seen": f"{seen:.2f}", "unseen": f"{unseen:.2f}", "gap": f"{seen - unseen:.2f}"}
    return words.say("gap", **gap)
