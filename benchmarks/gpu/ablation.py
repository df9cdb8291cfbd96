"""What each rung of the ladder is worth: ablation.json, its table and its waterfall plot.

    .venv/bin/python -m benchmarks.gpu.ablation FILE.json [--png FILE.png]

prints the table of a result and draws its plot anew.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from benchmarks.gpu.rungs import LAST, NAMES, RECIPE, find_rung
from separation.errors import MissingInputError, UserError
from separation.experiment.experiment import Experiment
from separation.files import read_json, write_json, write_text

SETS = {
    "adults": "adults never heard",
    "children": "children never heard",
    "seen": "speakers of (a), heard by all",
    "librispeech": "LibriSpeech readers",
}
UNSEEN = "adults"


def describe_rung(name: str, experiment: Experiment, scores: dict[str, Any]) -> dict[str, Any]:
    """A finished rung's result: scores, training, and what it had of data and time."""
    conf = experiment.conf
    curves = experiment.folder.read_curves()
    steps, last = int(curves[-1]["step"]), curves[-1]
    mixtures = steps * conf.training.batch_size
    speech = [row for row in _read_training(experiment) if row.split == "train"]
    field = conf.model.receptive_field()
    return {
        "rung": name,
        "label": find_rung(name).label
        if name != LAST
        else f"on with the weights of {_describe_start(conf)}",
        "scores": scores,
        "dev_si_sdr": -min(float(row["dev_loss"]) for row in curves),
        "train_si_sdr": -float(last["train_loss"]),
        "steps": steps,
        "mixtures_seen": mixtures,
        "hours_seen": mixtures * conf.training.segment_s / 3600,
        "minutes": float(last["elapsed_s"]) / 60,
        "speech_hours": sum(row.duration_s for row in speech) / 3600,
        "train_speakers": len({row.speaker for row in speech}),
        "sample_rate": conf.audio.sample_rate,
        "field_s": field / conf.audio.sample_rate if field else None,
        "run": experiment.folder.read_run(),
        "conf": conf.section("splits", "mixtures", "audio", "model", "training"),
    }


def _describe_start(conf: Any) -> str:
    return f"({Path(conf.training.init_from).parent.name})"


def _read_training(experiment: Experiment) -> list:
    from separation.corpora.table import read_table

    return read_table(experiment.data.table)


def collect_ablation(work: Path) -> dict[str, Any]:
    """All finished rungs in order, and why others are not there."""
    found, failed = [], {}
    for name in NAMES:
        result = read_json(work / "results" / f"{name}.json")
        failure = read_json(work / "results" / f"{name}.failed.json")
        if result is not None:
            found.append(result | {"folder": str(work / "exp" / RECIPE / name)})
        elif failure is not None:
            failed[name] = failure["why"]
    return {"rungs": found, "failed": failed}


def write_outputs(ablation: dict[str, Any], out: Path) -> str:
    """``ablation.json``, ``.md``, ``.png`` and the two best models; returns the table."""
    kept = [
        {key: value for key, value in rung.items() if key != "folder"} for rung in ablation["rungs"]
    ]
    write_json(out / "ablation.json", ablation | {"rungs": kept})
    table = format_ablation(ablation)
    write_text(out / "ablation.md", table + "\n")
    draw_waterfall(ablation, out / "ablation.png")
    _write_models(ablation["rungs"], out)
    return table


def _write_models(rungs: list[dict[str, Any]], out: Path) -> None:
    """The best model by dev score, and the best of the small ones, with float16 weights."""
    from benchmarks.gpu.ladder_scores import save_half

    small = min(rung["conf"]["model"]["n_filters"] for rung in rungs)
    groups = {
        "best_small": [r for r in rungs if r["conf"]["model"]["n_filters"] == small],
        "best_large": [r for r in rungs if r["conf"]["model"]["n_filters"] > small],
    }
    for name, group in groups.items():
        there = [r for r in group if (Path(r["folder"]) / "best_model.pth").is_file()]
        if there:
            best = max(there, key=lambda rung: rung["dev_si_sdr"])
            save_half(Path(best["folder"]) / "best_model.pth", out / f"{name}_f16.pth")


def format_ablation(ablation: dict[str, Any]) -> str:
    """The table as Markdown: SI-SDRi in dB with 95 % intervals, a row a rung."""
    rungs = ablation["rungs"]
    sets = [name for name in SETS if any(name in rung["scores"] for rung in rungs)]
    header = ["rung", *(SETS[name] for name in sets), "dev SI-SDR", "training SI-SDR"]
    header += ["mixtures seen", "hours", "minutes", "steps"]
    lines = [header, ["---"] * len(header)]
    for rung in rungs:
        cells = [f"({rung['rung']}) {rung['label']}"]
        cells += [_format_score(rung["scores"].get(name)) for name in sets]
        cells += [f"{rung['dev_si_sdr']:.2f}", f"{rung['train_si_sdr']:.2f}"]
        cells += [f"{rung['mixtures_seen']:,}", f"{rung['hours_seen']:.1f}"]
        lines.append([*cells, f"{rung['minutes']:.1f}", f"{rung['steps']:,}"])
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    failed = [f"- ({name}) failed: {why}" for name, why in ablation["failed"].items()]
    return "\n".join([table, *([""] if failed else []), *failed])


def _format_score(groups: dict[str, Any] | None) -> str:
    if groups is None:
        return "–"
    value = groups["all"]["si_sdri"]
    return f"{value['mean']:.2f} [{value['low']:.2f}, {value['high']:.2f}]"


def draw_waterfall(ablation: dict[str, Any], path: Path) -> None:
    """A bar a rung, from the score of the one before to its own, with 95 % intervals.

    Bars and intervals are of unseen adults; marks show speakers heard in training, and training.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rungs = ablation["rungs"]
    figure, axis = plt.subplots(figsize=(1.6 + 1.1 * len(rungs), 4), layout="constrained")
    before = 0.0
    for place, rung in enumerate(rungs):
        score = rung["scores"][UNSEEN]["all"]["si_sdri"]
        rise = score["mean"] - before
        axis.bar(place, rise, bottom=before, color="tab:green" if rise >= 0 else "tab:red")
        spread = [[score["mean"] - score["low"]], [score["high"] - score["mean"]]]
        axis.errorbar(place, score["mean"], spread, color="black", capsize=4)
        axis.annotate(f"{rise:+.2f}", (place, score["high"]), ha="center", va="bottom")
        before = score["mean"]
    _draw_marks(axis, rungs)
    axis.set_xticks(range(len(rungs)), [f"({rung['rung']})" for rung in rungs])
    axis.set_ylabel(f"SI-SDRi (dB), {SETS[UNSEEN]}")
    axis.axhline(0, color="black", lw=0.8)
    axis.grid(axis="y", alpha=0.3)
    axis.legend(fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="png", dpi=110)
    plt.close(figure)


def _draw_marks(axis: Any, rungs: list[dict[str, Any]]) -> None:
    seen = [
        (place, rung["scores"]["seen"]["all"]["si_sdri"]["mean"])
        for place, rung in enumerate(rungs)
        if "seen" in rung["scores"]
    ]
    if seen:
        axis.plot(*zip(*seen, strict=True), "D", color="tab:blue", label=SETS["seen"])
    training = [rung["train_si_sdr"] for rung in rungs]
    axis.plot(range(len(rungs)), training, "x", color="gray", label="training SI-SDR")


def main(arguments: list[str] | None = None) -> int:
    """Print the table of a result; draw its plot where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("result", type=Path)
    parser.add_argument("--png", type=Path)
    args = parser.parse_args(arguments)
    try:
        ablation = read_json(args.result)
        if ablation is None:
            raise MissingInputError(f"{args.result}: no such result; check the path.")
        print(format_ablation(ablation))
        if args.png is not None:
            draw_waterfall(ablation, args.png)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
