"""What each stage does. Heavy imports stay inside, where the work is really done."""

import logging
import os
import platform
import shutil
import subprocess
import time
from importlib import metadata
from pathlib import Path
from typing import Any

from separation.errors import MissingInputError, UserError
from separation.files import hash_value, read_json, read_rows, write_json, write_text
from separation.stages import FIXED_SPLITS, ROOT, STAGES, Experiment, hash_file

logger = logging.getLogger(__name__)

NEEDED_DISK_GB = 1.0
PACKAGES = ("torch", "pytorch-lightning", "asteroid", "numpy", "scipy", "soundfile", "g722")


def run_stage(experiment: Experiment, stage: str) -> None:
    """Run one stage unless it is done; say which; mark it done last."""
    number = STAGES.index(stage)
    if stage == "preflight":
        check_machine(experiment)
    experiment.refuse_other_config()
    experiment.require(*NEEDS[stage])
    if experiment.is_done(stage):
        print(
            f"stage {number} {stage}: done already ({experiment.marker(stage).parent})", flush=True
        )
    else:
        print(f"stage {number} {stage}: running", flush=True)
        began = time.monotonic()
        outputs = RUNNERS[stage](experiment)
        experiment.mark_done(stage, outputs)
        print(f"stage {number} {stage}: done in {time.monotonic() - began:.0f} s", flush=True)
    if stage == "report":
        print_scores(experiment)


def check_machine(experiment: Experiment) -> None:
    """Check versions, disk, folders and corpus before anything long starts.

    Raises:
        UserError: what is missing, and how to get it.
    """
    missing = [name for name in PACKAGES if not _version(name)]
    if missing:
        raise UserError(
            f"the active Python environment lacks {', '.join(missing)}: deactivate it and bash "
            "run.sh makes one, or run pip install -r requirements.txt && pip install --no-deps "
            "-r requirements-nodeps.txt in it."
        )
    for folder in (experiment.data, experiment.folder):
        _check_writable(folder)
    free_gb = shutil.disk_usage(experiment.data).free / 1e9
    if free_gb < NEEDED_DISK_GB:
        raise UserError(
            f"{experiment.data}: {free_gb:.1f} GB free where {NEEDED_DISK_GB} GB are needed; "
            "free some or choose another disk with --data DIR."
        )


def _check_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".probe").touch()
        (folder / ".probe").unlink()
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be written ({error.strerror}); choose another with --data or --exp."
        ) from error


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def run_preflight(experiment: Experiment) -> list[Path]:
    """Stage 0: download what is missing, look at what is there."""
    source = experiment.conf.corpus.source
    script = ROOT / "local" / f"download_{source}.sh"
    if source not in experiment.corpus_roots and script.is_file():
        packages = _list_packages(source)
        print(f"  fetching {len(packages)} packages into {experiment.corpus_root}", flush=True)
        command = ["bash", str(script), str(experiment.corpus_root), *packages]
        if subprocess.run(command, check=False).returncode:
            raise MissingInputError(f"the download of {source} failed, see above.")
    count = len(experiment.recordings)
    speakers = len({row.speaker for row in experiment.recordings})
    print(f"  corpus {source}: {count} recordings of {speakers} speakers", flush=True)
    return []


def _list_packages(source: str) -> tuple[str, ...]:
    import importlib

    return importlib.import_module(f"local.prepare_{source}").PACKAGES


def run_corpus(experiment: Experiment) -> list[Path]:
    """Stage 1: the corpus table, with splits."""
    from separation.corpus import format_table, scan_recordings
    from separation.splits import assign_splits

    conf = experiment.conf
    found = scan_recordings(
        experiment.recordings, experiment.corpus_root, conf.corpus, experiment.n_jobs
    )
    utterances = assign_splits(found, conf.splits)
    write_text(experiment.table, format_table(utterances))
    print(_format_corpus(utterances), flush=True)
    return [experiment.table]


def _format_corpus(utterances: list) -> str:
    lines = []
    for split in ("train", *FIXED_SPLITS):
        rows = [row for row in utterances if row.split == split]
        minutes = sum(row.duration_s for row in rows) / 60
        speakers = sorted({f"{row.speaker} ({row.sex or '?'})" for row in rows})
        lines.append(f"  {split}: {len(rows)} utterances, {minutes:.1f} min, {', '.join(speakers)}")
    return "\n".join(lines)


def run_metadata(experiment: Experiment) -> list[Path]:
    """Stage 2: the fixed mixture tables and their fingerprints."""
    from separation.corpus import read_table
    from separation.draw import draw_mixtures, format_mixtures
    from separation.splits import check_disjoint

    utterances = read_table(experiment.table)
    check_disjoint(utterances)
    mixtures = experiment.conf.mixtures
    outputs = []
    for split in FIXED_SPLITS:
        count = mixtures.n_dev if split == "dev" else mixtures.n_test
        rows = draw_mixtures(utterances, split, count, mixtures)
        write_text(experiment.mixture_table(split), format_mixtures(rows))
        outputs.append(experiment.mixture_table(split))
    for split, fingerprint in experiment.read_fingerprints().items():
        count = len(read_rows(experiment.mixture_table(split)))
        print(f"  {split}: {count} mixtures, fingerprint {fingerprint}", flush=True)
    return outputs


def run_audio(experiment: Experiment) -> list[Path]:
    """Stage 3: pack the training utterances at the recipe's rate."""
    from separation.corpus import read_table
    from separation.pack import pack_speakers

    key_file = experiment.packed / "key.json"
    if read_json(key_file) != experiment.key("audio"):
        shutil.rmtree(experiment.packed, ignore_errors=True)
        write_json(key_file, experiment.key("audio"))
    table = read_table(experiment.table)
    rate = experiment.conf.audio.sample_rate
    _refuse_low_rates(table, rate)
    rows = [row for row in table if row.split == "train"]
    pack_speakers(rows, experiment.corpus_root, experiment.packed, rate, experiment.n_jobs)
    return sorted(experiment.packed.iterdir())


def _refuse_low_rates(table: list, sample_rate: int) -> None:
    """Raising a recording's rate would leave its upper band empty: a silent lie in every score."""
    low = [row for row in table if row.sample_rate < sample_rate]
    if low:
        raise UserError(
            f"{len(low)} recordings have a lower sample rate than audio.sample_rate={sample_rate} "
            f"({low[0].path}: {low[0].sample_rate} Hz, the first): set audio.sample_rate="
            f"{min(row.sample_rate for row in low)}, or leave them out."
        )


def run_train(experiment: Experiment) -> list[Path]:
    """Stage 4: train, or go on training."""
    from separation.corpus import read_table
    from separation.pack import PackedAudio
    from separation.training import train

    conf = experiment.conf
    _refuse_other_data(experiment)
    experiment.save_conf()
    device = choose_device(experiment.device)
    write_json(experiment.folder / "run.json", describe_run(experiment, device))
    speakers = {row.speaker for row in read_table(experiment.table) if row.split == "train"}
    audio = PackedAudio(experiment.packed, sorted(speakers))
    field_s = conf.model.receptive_field() / conf.audio.sample_rate
    print(f"  receptive field {field_s:.2f} s, device {device}", flush=True)
    train(conf, audio, load_mixtures(experiment, "dev"), experiment.folder, device)
    return [experiment.checkpoint, experiment.folder / "curves.csv", experiment.folder / "conf.yml"]


def _refuse_other_data(experiment: Experiment) -> None:
    saved = read_json(experiment.folder / "run.json")
    key = experiment.key("train")
    if saved is not None and saved["key"] != key:
        raise UserError(
            f"{experiment.folder} was begun on other recordings or mixtures; choose a new --tag."
        )


def choose_device(name: str) -> Any:
    """``auto``, ``cpu`` or ``cuda`` as a torch device; refuses a CUDA that is not there."""
    import torch

    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: torch sees no CUDA device; use --device cpu or auto.")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def describe_run(experiment: Experiment, device: Any) -> dict[str, Any]:
    """What produced a result: versions, commit, device, seed, data."""
    git = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    return {
        "recipe": experiment.recipe,
        "key": experiment.key("train"),
        "commit": commit or "unknown",
        "device": _name_device(device),
        "seed": experiment.conf.training.seed,
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
        "fingerprints": experiment.read_fingerprints(),
        "conf_fingerprint": hash_value(experiment.conf.as_dict()),
    }


def _name_device(device: Any) -> str:
    if device.type == "cuda":
        import torch

        return torch.cuda.get_device_name(device)
    return f"CPU {platform.machine()}, {len(os.sched_getaffinity(0))} cores"


def load_mixtures(experiment: Experiment, split: str) -> list:
    """Render a fixed split, in parallel."""
    from concurrent.futures import ProcessPoolExecutor
    from functools import partial

    from tqdm import tqdm

    from separation.render import render_row

    rows = read_rows(experiment.mixture_table(split))
    rate = experiment.conf.audio.sample_rate
    render = partial(render_row, root=experiment.corpus_root, sample_rate=rate)
    with ProcessPoolExecutor(max(1, experiment.n_jobs)) as pool:
        results = pool.map(render, rows, chunksize=8)
        return list(tqdm(results, total=len(rows), desc=f"render {split}", unit="mixture"))


def run_evaluate(experiment: Experiment) -> list[Path]:
    """Stage 5: every estimator on both test sets, one row a mixture."""
    from separation.evaluation import evaluate_set
    from separation.summary import write_summary

    folder = experiment.folder / "evaluation"
    key_file = folder / "key.json"
    if read_json(key_file) != experiment.key("evaluate"):
        shutil.rmtree(folder, ignore_errors=True)
        write_json(key_file, experiment.key("evaluate"))
    results: dict[str, dict[str, list]] = {}
    outputs = [folder / "summary.json"]
    for split in ("test_seen", "test_unseen"):
        mixtures = load_mixtures(experiment, split)
        for name in experiment.conf.evaluation.estimators:
            path = folder / split / f"{name}.csv"
            estimator = _make_estimator(experiment, name)
            results.setdefault(split, {})[name] = evaluate_set(
                mixtures, estimator, path, experiment.n_jobs, f"{split} {name}"
            )
            outputs.append(path)
    about = {"checkpoint_sha256": hash_file(experiment.checkpoint)} | experiment.read_fingerprints()
    write_summary(folder / "summary.json", results, about)
    return outputs


def _make_estimator(experiment: Experiment, name: str) -> Any:
    from separation import estimators

    conf = experiment.conf
    if name == "mixture":
        return estimators.estimate_mixture
    if name == "irm":
        return estimators.make_ratio_mask(conf.evaluation, conf.audio.sample_rate)
    from separation.model import load_model

    model = load_model(experiment.checkpoint)
    return estimators.make_model_estimator(model, choose_device(experiment.device))


def run_report(experiment: Experiment) -> list[Path]:
    """Stage 6: RESULTS.md and report.html."""
    from separation.report import write_report

    return write_report(experiment)


def print_scores(experiment: Experiment) -> None:
    """The score table and where the report lies, on stdout."""
    from separation.summary import format_scores

    summary = read_json(experiment.folder / "evaluation" / "summary.json")
    print(f"\n{format_scores(summary)}\n\nreport: {experiment.folder / 'report.html'}", flush=True)


NEEDS: dict[str, tuple[str, ...]] = {
    "preflight": (),
    "corpus": ("preflight",),
    "metadata": ("corpus",),
    "audio": ("corpus",),
    "train": ("metadata", "audio"),
    "evaluate": ("metadata", "train"),
    "report": ("evaluate",),
}
RUNNERS = {
    "preflight": run_preflight,
    "corpus": run_corpus,
    "metadata": run_metadata,
    "audio": run_audio,
    "train": run_train,
    "evaluate": run_evaluate,
    "report": run_report,
}
