"""A comparison's figures as blocks of text and tables."""

from typing import Any

from separation.compare.comparison import FLOOR, ORACLES
from separation.evaluation.summary import format_count, format_interval, list_first
from separation.reports.breakdown import show_breakdowns
from separation.reports.page import Block, make_table

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


def name_metric(metric: str) -> str:
    """As people write it.

    >>> name_metric("si_sdri"), name_metric("stoi")
    ('SI-SDRi', 'STOI')
    """
    stem = metric if metric in LABELS else metric.removesuffix("i")
    return LABELS[stem] + ("" if stem == metric else "i")


def unit_of(metric: str) -> str:
    """`` dB`` with its space, or nothing."""
    return "" if metric.removesuffix("i") in NOT_DB or metric in NOT_DB else " dB"


def write_blocks(summed: dict[str, Any]) -> list[Block]:
    """The whole report but its players, from what ``comparison_summary.sum_up`` gives."""
    metric = summed["metric"]
    blocks = [Block("h1", "Comparison of models")]
    notes = [*summed["notes"], *_tell_missing(summed)]
    if notes:
        blocks += [Block("h2", "Notes and warnings"), Block("list", notes)]
    blocks += [Block("h2", "How good"), Block("list", tell_how_good(summed))]
    blocks += [Block("h2", "Scores"), *_show_scores(summed)]
    blocks += [Block("h2", "Test sets"), _show_sets(summed), Block("h2", "Models")]
    blocks += [_show_models(summed), *_show_paired(summed)]
    for own in summed["sets"]:
        if own["breakdowns"]:
            title = f"Where it is bad: {own['name']}, {name_metric(metric)}"
            blocks += [Block("h2", title), *show_breakdowns(own["breakdowns"])]
    blocks += [*_show_problems(summed), *_show_clipping(summed), *_show_worst(summed)]
    about = [f"{key}: {_tell_value(value)}" for key, value in summed["about"].items()]
    return [*blocks, Block("h2", "What produced this"), Block("list", about)] if about else blocks


def _tell_value(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {own}" for key, own in value.items() if own != "")
    return str(value)


def _tell_missing(summed: dict[str, Any]) -> list[str]:
    """A sentence for every estimator that has no values for some mixtures of a set."""
    return [
        f"{own['name']}, {name}: {format_count(groups['all'])} mixtures have values; the others "
        "are named under Problems and are in no mean."
        for own in summed["sets"]
        for name, groups in own["estimators"].items()
        if groups["all"]["n_scored"] < groups["all"]["n_mixtures"]
    ]


def tell_how_good(summed: dict[str, Any]) -> list[str]:
    """One sentence a model and set: the way from the mixture to the best oracle, the published."""
    return [
        _tell_model(own, model, summed["metric"])
        for own in summed["sets"]
        for model in summed["models"]
        if model["name"] in own["estimators"]
    ]


def _tell_model(own: dict[str, Any], model: dict[str, Any], metric: str) -> str:
    name, unit = model["name"], unit_of(metric)
    value = own["estimators"][name]["all"].get(metric)
    if value is None:
        return f"{name} on {own['name']}: no mixture could be scored."
    told = f"{name} on {own['name']}: {name_metric(metric)} {format_interval(value)}{unit}"
    ceiling = own["ceilings"][name]
    if ceiling is not None and value["mean"] < 0:
        told += ", worse than the unprocessed mixture"
    elif ceiling is not None:
        told += (
            f", {100 * ceiling['share']:.0f} % of the way from the mixture to the best oracle mask "
            f"({ceiling['oracle'].upper()}, {ceiling['ceiling']:.2f}{unit})"
        )
    return f"{told}{_tell_published(own, model['published'], value['mean'], metric)}."


def _tell_published(
    own: dict[str, Any], published: dict[str, Any] | None, mean: float, metric: str
) -> str:
    score = published["scores"].get(metric) if published else None
    if published is None or score is None:
        return ""
    unit = unit_of(metric)
    if published["set"] in own["standard"]:
        return f"; published on this very set: {score:.2f}{unit}, off by {mean - score:+.2f}{unit}"
    return (
        f"; published, on its own set: {published['set']}: {score:.2f}{unit}, not "
        "comparable with a score on another set"
    )


def _show_scores(summed: dict[str, Any]) -> list[Block]:
    """A table a metric, estimators x sets: the improvements first."""
    wanted = [f"{name}i" for name in summed["metrics"] if name != "sar"] + summed["metrics"]
    blocks = [
        Block(
            "text",
            "Means over mixtures with 95 % bootstrap intervals over mixtures. Published values were"
            " measured by others on the set named beside them.",
        )
    ]
    for metric in wanted:
        rows = _list_score_rows(summed, metric)
        if rows:
            head = [name_metric(metric) + (", dB" if unit_of(metric) else "")]
            head += [own["name"] for own in summed["sets"]]
            blocks.append(make_table([*head, "published, on its own set"], rows))
    return [*blocks, *_show_speaker_intervals(summed)]


def _list_score_rows(summed: dict[str, Any], metric: str) -> list[list[str]]:
    published = {model["name"]: model["published"] for model in summed["models"]}
    decimals = 3 if metric.startswith("stoi") else 2
    rows = []
    for name in (FLOOR, *published, *ORACLES):
        values = [
            own["estimators"].get(name, {}).get("all", {}).get(metric) for own in summed["sets"]
        ]
        if any(values):
            entry = published.get(name)
            score = entry["scores"].get(metric) if entry else None
            shown = f"{score:.{decimals}f} ({entry['set']})" if entry and score else "–"
            cells = [format_interval(value, decimals) for value in values]
            rows.append([ROLES.get(name, name), *cells, shown])
    return rows


def _show_sets(summed: dict[str, Any]) -> Block:
    head = ["test set", "kind", "type", "mode", "Hz", "speakers", "mixtures"]
    head += ["table's fingerprint", "audio's fingerprint", "published set"]
    rows = [
        [
            own["name"],
            own["kind"],
            own["type"] or "–",
            own["mode"] or "–",
            str(own["sample_rate"]),
            str(own["n_src"]),
            _count_mixtures(own),
            own["fingerprint"] or "–",
            "; ".join(f"{value} at {rate} Hz" for rate, value in own["audio"].items()) or "–",
            "; ".join(own["standard"]) or "–",
        ]
        for own in summed["sets"]
    ]
    return make_table(head, rows)


def _count_mixtures(own: dict[str, Any]) -> str:
    limited = own["n_whole"] > own["n_mixtures"]
    return f"{own['n_mixtures']} of {own['n_whole']}" if limited else str(own["n_mixtures"])


def _show_models(summed: dict[str, Any]) -> Block:
    head = ["model", "Hz", "speakers", "sha256", "published as", "licence"]
    rows = [
        [
            model["name"],
            str(model["sample_rate"]),
            str(model["n_src"]),
            model["sha256"][:16],
            (model["published"] or {}).get("name", "–"),
            (model["published"] or {}).get("licence", "–"),
        ]
        for model in summed["models"]
    ]
    return make_table(head, rows)


def _show_paired(summed: dict[str, Any]) -> list[Block]:
    pairs = [(own["name"], pair) for own in summed["sets"] for pair in own["paired"]]
    if not pairs:
        return []
    label = name_metric(summed["metric"])
    rows = [
        [
            name,
            f"{pair['a']} − {pair['b']}",
            format_interval(pair),
            "–" if pair["p_value"] is None else f"{pair['p_value']:.4f}",
            f"{pair['wins']} / {pair['ties']} / {pair['losses']}",
            str(pair["n"]),
        ]
        for name, pair in pairs
    ]
    head = ["test set", "models", f"{label} [95 %]", "p", "wins / ties / losses", "mixtures"]
    text = (
        "First minus second on the same mixtures; p of the sign-flip test on the mean, for one "
        "pair, not corrected for the number of pairs. Mixtures that share speakers are taken for "
        "independent."
    )
    title = Block("h2", f"Paired differences, {label}")
    return [title, Block("text", text), make_table(head, rows)]


def _show_speaker_intervals(summed: dict[str, Any]) -> list[Block]:
    told = [
        f"{own['name']}, {name}: {format_interval(value)} over {value['n']} speakers."
        for own in summed["sets"]
        for name, value in own["speaker_intervals"].items()
        if value["low"] is not None
    ]
    text = f"{name_metric(summed['metric'])} with an interval that draws speakers, not mixtures:"
    return [Block("text", text), Block("list", told)] if told else []


def _show_problems(summed: dict[str, Any]) -> list[Block]:
    from separation.metrics.score import PROBLEMS

    rows = [
        [own["name"], name, problem, str(len(ids)), list_first(ids)]
        for own in summed["sets"]
        for name, groups in own["estimators"].items()
        for problem, ids in groups["all"]["problems"].items()
    ]
    if not rows:
        return [Block("h2", "Problems"), Block("text", "None.")]
    told = sorted({row[2] for row in rows} & PROBLEMS.keys())
    blocks = [
        Block("h2", "Problems"),
        make_table(["test set", "estimator", "problem", "mixtures", "which"], rows),
    ]
    meanings = [f"{name}: {PROBLEMS[name]}" for name in told]
    return [*blocks, Block("list", meanings)] if meanings else blocks


def _show_clipping(summed: dict[str, Any]) -> list[Block]:
    told = [
        f"{own['name']}, {name}: {format_interval(cost['cost'], 3)} dB of SI-SDR are lost, "
        f"{cost['n_clipped']} mixture(s) clip, the worst {cost['worst']['mixture_ID']} with "
        f"{cost['worst']['cost']:.2f} dB."
        for own in summed["sets"]
        for name, cost in own["sixteen_bit"].items()
    ]
    title = Block("h2", "What writing 16-bit files costs")
    return [title, Block("list", told)] if told else []


def _show_worst(summed: dict[str, Any]) -> list[Block]:
    metric = summed["metric"]
    rows = [
        [own["name"], name, row["mixture_ID"], f"{row[metric]:.2f}", *_describe_worst(row)]
        for own in summed["sets"]
        for name, worst in own["worst"].items()
        for row in worst
    ]
    head = ["test set", "model", "mixture", name_metric(metric), "speakers", "what it is like"]
    title = Block("h2", "The worst mixtures of each model")
    return [title, make_table(head, rows)] if rows else []


def _describe_worst(row: dict[str, Any]) -> list[str]:
    units = {"duration_s": " s", "level_difference_db": " dB level difference"}
    told = [row["pair"]] if "pair" in row else []
    told += [f"{row[key]:.1f}{unit}" for key, unit in units.items() if key in row]
    told += [f"{100 * row['overlap']:.0f} % overlap"] if "overlap" in row else []
    told += [row["problems"]] if "problems" in row else []
    return [", ".join(row["speakers"]) or "–", ", ".join(told)]
