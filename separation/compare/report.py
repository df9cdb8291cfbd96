"""Report of a comparison: comparison.md, comparison.json and one self-contained comparison.html."""

import logging
from collections.abc import Callable, Mapping
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from separation.compare.comparison import Comparison, ModelInfo, ScoredSet
from separation.compare.summary import (
    ClippingCost,
    Figures,
    ModelPair,
    SetFigures,
    compute_figures,
    figures_to_json,
)
from separation.config.schema import FLOOR, ORACLES
from separation.evaluation.headline import FEW_SPEAKERS, Headline
from separation.evaluation.score_rows import ScoreRow
from separation.evaluation.summary import N_NAMED, format_interval
from separation.files import write_json, write_text
from separation.metrics.problems import PROBLEMS
from separation.mixtures.signals import Mixture
from separation.models.inference import match_level
from separation.reports.breakdown import show_breakdowns
from separation.reports.cards import Ceiling, ScoreCard
from separation.reports.page import (
    Block,
    Page,
    Part,
    Table,
    blocks_to_html,
    blocks_to_markdown,
    fold,
    format_page,
)
from separation.reports.players import choose_length, list_signals, show_signals
from separation.reports.words import Words
from separation.text import explain_error, list_first

logger = logging.getLogger(__name__)
Render = Callable[[str, str, str], tuple[Mixture, np.ndarray]]
WORDS = Words("en")
TITLE = "Comparison of models"
LABELS = {
    "si_sdr": "SI-SDR",
    "sdr": "SDR",
    "sir": "SIR",
    "sar": "SAR",
    "stoi": "STOI",
    "pesq": "PESQ",
}
NOT_DB = ("stoi", "pesq")
ROLES = {
    FLOOR: "mixture (floor)",
    "ibm": "IBM (oracle)",
    "irm": "IRM (oracle)",
    "wfm": "WFM (oracle)",
}


def write_comparison(
    folder: Path, comparison: Comparison, render: Render, n_worst: int = 3
) -> list[Path]:
    """Write ``comparison.md``, ``comparison.json`` and ``comparison.html`` into a folder.

    Args:
        folder: of the report.
        comparison: every set with its rows.
        render: (name of set, estimator, mixture_ID) -> the mixture and the estimator's outputs
            ``(n_src, time)`` in the model's own order, both at the rate of that row's
            ``n_samples``; called for the players only.
        n_worst: mixtures shown of every model and set.

    Returns:
        the three paths.

    Raises:
        ValueError: a value is not finite.
    """
    figures = compute_figures(comparison, n_worst)
    parts = list_parts(figures)
    paths = [folder / f"comparison.{suffix}" for suffix in ("md", "json", "html")]
    write_text(paths[0], blocks_to_markdown(parts))
    write_json(paths[1], figures_to_json(figures))
    write_text(paths[2], _format_page(figures, render))
    return paths


def _format_page(figures: Figures, render: Render) -> str:
    """The page: how good each model is, what is to be known, then the rest, with players."""
    metric = name_metric(figures.metric)
    sets = [own.scored for own in figures.sets]
    body = _show_first_screen(figures) + blocks_to_html(_list_details(figures))
    about = blocks_to_html([Block("list", _list_about(figures))])
    body += _show_players(figures, render) + fold("What produced this", about)
    page = Page(
        title=TITLE,
        origin=f"{len(figures.comparison.models)} models, {len(sets)} test sets",
        window=f"{TITLE}: {metric} on {', '.join(own.name for own in sets)}",
        body=body,
        footer="One file; nothing in it is loaded from elsewhere.",
    )
    return format_page(page)


def _show_first_screen(figures: Figures) -> str:
    """A card a test set with its models, the best first; beside it what the differences say."""
    cards = "".join(_make_card(own, figures.metric).to_html() for own in figures.sets)
    lines = [f"{own.scored.name}: {say_pair(pair)}" for own in figures.sets for pair in own.paired]
    notes = [*figures.notes, *_describe_missing(figures)]
    parts = [Block("h2", "Differences"), Block("list", lines)] if lines else []
    parts += [Block("h2", "How good"), Block("list", describe_quality(figures))]
    parts += [Block("h2", "Notes and warnings"), Block("list", notes)] if notes else []
    left = f'<section><div class="cards">{cards}</div></section>'
    return f'<div class="first">{left}<section>{blocks_to_html(parts)}</section></div>'


def _make_card(own: SetFigures, metric: str) -> ScoreCard:
    models = [name for name in own.headlines if name in own.ceilings]
    scores = [(name, own.headlines[name][metric]) for name in models]
    scores.sort(key=lambda score: -(score[1].interval.mean or 0.0))
    oracles = [ceiling for ceiling in own.ceilings.values() if ceiling is not None]
    best = max(oracles, key=lambda ceiling: ceiling.ceiling, default=None)
    return ScoreCard(
        title=own.scored.name,
        subtitle="",
        scores=scores,
        ceiling=Ceiling(best.oracle.upper(), best.ceiling) if best else None,
        metric=name_metric(metric),
        unit=name_unit(metric).strip(),
        words=WORDS,
    )


def say_pair(pair: ModelPair) -> str:
    """Two models beside each other, in a sentence that claims no more than the interval does."""
    if not pair.difference.n:
        return f"{pair.a} and {pair.b} have no mixture in common."
    few = 0 < pair.headline.n_speakers < FEW_SPEAKERS
    rough = f" (of only {pair.headline.n_speakers} speakers, so roughly)" if few else ""
    shown = f"{pair.a} − {pair.b} is {format_interval(pair.headline.interval)}"
    return f"{shown}: {describe_verdict(pair)}{rough}."


def name_metric(metric: str) -> str:
    """As people write it.

    >>> name_metric("si_sdri"), name_metric("stoi")
    ('SI-SDRi', 'STOI')
    """
    stem = metric if metric in LABELS else metric.removesuffix("i")
    return LABELS[stem] + ("" if stem == metric else "i")


def name_unit(metric: str) -> str:
    """`` dB`` with its space, or nothing."""
    return "" if metric.removesuffix("i") in NOT_DB or metric in NOT_DB else " dB"


def list_parts(figures: Figures) -> list[Part]:
    """The whole report but its players."""
    parts: list[Part] = [Block("h1", TITLE)]
    notes = [*figures.notes, *_describe_missing(figures)]
    if notes:
        parts += [Block("h2", "Notes and warnings"), Block("list", notes)]
    parts += [Block("h2", "How good"), Block("list", describe_quality(figures))]
    parts += _list_details(figures)
    about = _list_about(figures)
    return [*parts, Block("h2", "What produced this"), Block("list", about)] if about else parts


def _list_details(figures: Figures) -> list[Part]:
    """Scores, sets, models, differences, break-downs, problems, the worst mixtures."""
    metric = figures.metric
    parts: list[Part] = [Block("h2", "Scores"), *_show_scores(figures)]
    parts += [Block("h2", "Test sets"), _show_sets(figures), Block("h2", "Models")]
    parts += [_show_models(figures.comparison.models), *_show_paired(figures)]
    for own in figures.sets:
        if own.breakdowns:
            title = f"Where it is bad: {own.scored.name}, {name_metric(metric)}"
            parts += [Block("h2", title), *show_breakdowns(own.breakdowns)]
    return [*parts, *_show_problems(figures), *_show_clipping(figures), *_show_worst(figures)]


def _list_about(figures: Figures) -> list[str]:
    return [f"{key}: {_format_value(own)}" for key, own in figures.comparison.about.items()]


def _format_value(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {part}" for key, part in value.items() if part != "")
    return str(value)


def _describe_missing(figures: Figures) -> list[str]:
    """A sentence for every estimator that has no values for some mixtures of a set."""
    return [
        f"{own.scored.name}, {name}: {groups['all'].format_count()} mixtures have values; the "
        "others are named under Problems and are in no mean."
        for own in figures.sets
        for name, groups in own.estimators.items()
        if groups["all"].n_scored < groups["all"].n_mixtures
    ]


def describe_quality(figures: Figures) -> list[str]:
    """One sentence a model and set: the way from the mixture to the best oracle, the published."""
    return [
        _describe_model(own, model, figures.metric)
        for own in figures.sets
        for model in figures.comparison.models
        if model.name in own.estimators
    ]


def _describe_model(own: SetFigures, model: ModelInfo, metric: str) -> str:
    where, unit = f"{model.name} on {own.scored.name}", name_unit(metric)
    value = own.find_headline(model.name, metric)
    if value is None or value.interval.mean is None:
        return f"{where}: no mixture could be scored."
    mean = value.interval.mean
    text = f"{where}: {name_metric(metric)} {format_interval(value.interval)}{unit}"
    if metric != "sar":
        text += _compare_floor(value)
    ceiling = own.ceilings[model.name]
    if ceiling is not None and mean > 0:
        text += (
            f", {100 * ceiling.share:.0f} % of the way from the mixture to the best oracle mask "
            f"({ceiling.oracle.upper()}, {ceiling.ceiling:.2f}{unit})"
        )
    return f"{text}{_compare_published(own.scored, model, mean, metric)}."


def _compare_floor(gain: Headline) -> str:
    """What an improvement says of the model beside the mixture; nothing where it is above."""
    if gain.interval.low is None or gain.sign > 0:
        return ""
    if gain.sign < 0:
        return ", worse than the unprocessed mixture"
    return ", not clearly different from the unprocessed mixture (the interval holds zero)"


def _compare_published(scored: ScoredSet, model: ModelInfo, mean: float, metric: str) -> str:
    score = model.published.scores.get(metric) if model.published else None
    if score is None:
        return ""
    unit = name_unit(metric)
    if model.published_set in scored.standard:
        return f"; published on this very set: {score:.2f}{unit}, off by {mean - score:+.2f}{unit}"
    return (
        f"; published, on its own set: {model.published_set}: {score:.2f}{unit}, not "
        "comparable with a score on another set"
    )


def _show_scores(figures: Figures) -> list[Part]:
    """A table a metric, estimators x sets: the improvements first."""
    metrics = figures.comparison.metrics
    text = (
        "Means over mixtures with 95 % bootstrap intervals. Published values were measured by "
        "others on the set named beside them."
    )
    drawn = [f"{own.scored.name}: {_describe_drawn(own, figures.metric)}" for own in figures.sets]
    parts: list[Part] = [Block("text", text), Block("list", drawn)]
    for metric in [*(f"{name}i" for name in metrics if name != "sar"), *metrics]:
        rows = _list_score_rows(figures, metric)
        if rows:
            label = name_metric(metric) + (", dB" if name_unit(metric) else "")
            sets = [own.scored.name for own in figures.sets]
            parts.append(Table([label, *sets, "published, on its own set"], rows))
    return parts


def _describe_drawn(own: SetFigures, metric: str) -> str:
    """What the intervals of a set draw: the fewest speakers of any model there."""
    values = [headlines[metric] for headlines in own.headlines.values() if metric in headlines]
    if not values:
        return "no scores."
    return WORDS.describe_drawn(min(values, key=lambda value: value.n_speakers))


def _list_score_rows(figures: Figures, metric: str) -> list[list[str]]:
    models = {model.name: model for model in figures.comparison.models}
    decimals = 3 if metric.startswith("stoi") else 2
    rows = []
    for name in (FLOOR, *models, *ORACLES):
        values = [own.find_headline(name, metric) for own in figures.sets]
        if any(values):
            cells = [
                format_interval(value.interval if value else None, decimals) for value in values
            ]
            published = _format_published(models.get(name), metric, decimals)
            rows.append([ROLES.get(name, name), *cells, published])
    return rows


def _format_published(model: ModelInfo | None, metric: str, decimals: int) -> str:
    score = model.published.scores.get(metric) if model and model.published else None
    return f"{score:.{decimals}f} ({model.published_set})" if model and score else "–"


def _show_sets(figures: Figures) -> Table:
    head = ["test set", "kind", "type", "mode", "Hz", "speakers", "mixtures"]
    head += ["table's fingerprint", "audio's fingerprint", "published set"]
    return Table(head, [_list_set_cells(own.scored) for own in figures.sets])


def _list_set_cells(scored: ScoredSet) -> list[str]:
    limited = scored.n_whole > scored.n_mixtures
    count = f"{scored.n_mixtures} of {scored.n_whole}" if limited else str(scored.n_mixtures)
    prints = "; ".join(f"{value} at {rate} Hz" for rate, value in scored.audio.items())
    return [
        scored.name,
        scored.kind,
        scored.type or "–",
        scored.mode or "–",
        str(scored.sample_rate),
        str(scored.n_src),
        count,
        scored.fingerprint or "–",
        prints or "–",
        "; ".join(scored.standard) or "–",
    ]


def _show_models(models: list[ModelInfo]) -> Table:
    rows = [
        [
            model.name,
            str(model.sample_rate),
            str(model.n_src),
            model.sha256[:16],
            model.published.name if model.published else "–",
            model.published.licence if model.published else "–",
        ]
        for model in models
    ]
    return Table(["model", "Hz", "speakers", "sha256", "published as", "licence"], rows)


def _show_paired(figures: Figures) -> list[Part]:
    pairs = [(own.scored.name, pair) for own in figures.sets for pair in own.paired]
    if not pairs:
        return []
    label = name_metric(figures.metric)
    head = ["test set", "models", f"{label} [95 %]", "verdict", "p", "wins / ties / losses"]
    text = (
        "First minus second on the same mixtures, with the interval that draws speakers where "
        "they are known; where it holds zero, neither is called the better one. p is that of "
        "the sign-flip test on the mean for one pair; it is not corrected for the number of pairs "
        "and takes mixtures that share speakers for independent, so it is the weaker evidence."
    )
    title = Block("h2", f"Paired differences, {label}")
    rows = [[name, *_list_pair_cells(pair)] for name, pair in pairs]
    return [title, Block("text", text), Table([*head, "mixtures"], rows)]


def _list_pair_cells(pair: ModelPair) -> list[str]:
    own = pair.difference
    return [
        f"{pair.a} − {pair.b}",
        format_interval(pair.headline.interval),
        describe_verdict(pair),
        "–" if own.p_value is None else f"{own.p_value:.4f}",
        f"{own.wins} / {own.ties} / {own.losses}",
        str(own.n),
    ]


def describe_verdict(pair: ModelPair) -> str:
    """Which of two models is better, where the interval of their difference says it."""
    if not pair.difference.n:
        return "no mixture in common"
    if pair.headline.interval.low is None:
        drawn = "speakers" if pair.headline.draws_speakers else "mixtures"
        return f"open: too few {drawn} for an interval"
    if pair.headline.sign == 0:
        return "open: the interval holds zero"
    return f"{pair.a if pair.headline.sign > 0 else pair.b} is better"


def _show_problems(figures: Figures) -> list[Part]:
    rows = [
        [own.scored.name, name, problem, str(len(ids)), list_first(ids, N_NAMED)]
        for own in figures.sets
        for name, groups in own.estimators.items()
        for problem, ids in groups["all"].problems.items()
    ]
    if not rows:
        return [Block("h2", "Problems"), Block("text", "None.")]
    known = sorted({row[2] for row in rows} & PROBLEMS.keys())
    parts: list[Part] = [
        Block("h2", "Problems"),
        Table(["test set", "estimator", "problem", "mixtures", "which"], rows),
    ]
    meanings = [f"{name}: {PROBLEMS[name]}" for name in known]
    return [*parts, Block("list", meanings)] if meanings else parts


def _show_clipping(figures: Figures) -> list[Part]:
    lines = [
        f"{own.scored.name}, {name}: {_describe_clipping(cost)}"
        for own in figures.sets
        for name, cost in own.clipping.items()
    ]
    title = Block("h2", "What writing 16-bit files costs")
    return [title, Block("list", lines)] if lines else []


def _describe_clipping(cost: ClippingCost) -> str:
    return (
        f"{format_interval(cost.cost, 3)} dB of SI-SDR are lost, {cost.n_clipped} mixture(s) clip, "
        f"the worst {cost.worst_id} with {cost.worst_cost:.2f} dB."
    )


def _show_worst(figures: Figures) -> list[Part]:
    metric = figures.metric
    rows = [
        [own.scored.name, name, row.mixture_id, f"{row.values[metric]:.2f}", *_describe_row(row)]
        for own in figures.sets
        for name, worst in own.worst.items()
        for row in worst
    ]
    head = ["test set", "model", "mixture", name_metric(metric), "speakers", "what it is like"]
    title = Block("h2", "The worst mixtures of each model")
    return [title, Table(head, rows)] if rows else []


def _describe_row(row: ScoreRow) -> list[str]:
    """Speakers of a mixture, and what makes it hard."""
    likeness = [
        row.pair,
        "" if row.duration_s is None else f"{row.duration_s:.1f} s",
        ""
        if row.level_difference_db is None
        else f"{row.level_difference_db:.1f} dB level difference",
        "" if row.overlap is None else f"{100 * row.overlap:.0f} % overlap",
        " ".join(row.problems),
    ]
    return [", ".join(row.known_speakers) or "–", ", ".join(text for text in likeness if text)]


def _show_players(figures: Figures, render: Render) -> str:
    metric, pieces = figures.metric, []
    n_signals = sum(
        len(worst) * (1 + 2 * own.scored.n_src)
        for own in figures.sets
        for worst in own.worst.values()
    )
    for own in figures.sets:
        for model, worst in own.worst.items():
            title = f"{own.scored.name}, {model}: the worst, to see and hear"
            pieces += [f"<h2>{escape(title)}</h2>"] if worst else []
            for row in worst:
                value = f"{name_metric(metric)} {row.values[metric]:.2f}{name_unit(metric)}"
                about = f"{model} · {row.mixture_id}: {value}"
                pieces.append(_show_mixture(own.scored, model, row, render, (about, n_signals)))
    return "\n".join(pieces)


def _show_mixture(
    scored: ScoredSet, model: str, row: ScoreRow, render: Render, shown: tuple[str, int]
) -> str:
    """Players of one mixture; a sentence where it cannot be read or separated any more.

    Args:
        shown: its title, and how many signals there are on the page.
    """
    title, n_signals = shown
    try:
        mixture, estimates = render(scored.name, model, row.mixture_id)
        leveled = match_level(mixture.mixture, estimates[list(row.permutation)])
        rate = find_rate(row, scored.sample_rate)
        signals = list_signals(mixture, leveled, WORDS)
        return show_signals(title, signals, rate, choose_length(n_signals, rate), WORDS)
    except Exception as error:  # hours of scores must not be lost for a player
        text = explain_error(error)
        logger.warning("%s, %s, %s: no player: %s", scored.name, model, row.mixture_id, text)
        return f"<h3>{escape(title)}</h3><p>{escape(text)}</p>"


def find_rate(row: ScoreRow, sample_rate: int) -> int:
    """The rate in Hz at which a row was scored; a table is rendered at its model's rate.

    >>> find_rate(ScoreRow(mixture_id="m1", n_samples=16000, duration_s=1.0), 8000)
    16000
    """
    if row.n_samples and row.duration_s:
        return round(row.n_samples / row.duration_s)
    return sample_rate
