"""Runs with one known fault each, and a sound one: what ``diagnose`` has to find.

    .venv/bin/python -m benchmarks.diagnosis.plant SPEECH WORK [--runs few rate ...]

SPEECH is a folder with ``utterances.csv`` (speaker, path, sex, split, duration_s) and 16 kHz
recordings. Each run is a real training of a very small Conv-TasNet by the stages of a recipe, some
CPU-seconds long, with one thing made wrong. What is kept of it, without weights and nearly without
audio, goes to tests/data/diagnosis. Nothing here is shared with ``separation/diagnosis``.
"""

import argparse
import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import resample_poly

from benchmarks.diagnosis.record import KEPT, keep
from separation.experiment.open import open_experiment
from separation.stages.run import run_stage
from separation.stages.table import STAGES

RECIPE, RATE = "folder/ConvTasNet", 16000
FEW_SPEAKERS, FEW_UTTERANCES = 5, 2
TRAIN, DEV, TEST = 60, 8, 16  # speakers
UTTERANCES = {"train": 3, "dev": 3, "test": 3}
LISTED = 16  # fixed mixtures of the run that is overfitted
MIXTURES = {"train": 60, "dev": 12, "test": 24}  # of the run whose targets are permuted
LENGTH_S = 2.0
PACKED_SPEAKERS, PACKED_S = 6, 1.5  # of the packed audio that is kept of the run at a wrong rate

COMMON = {
    "audio.sample_rate": RATE,
    "corpus.min_duration_s": 0.5,
    "mixtures.min_utterance_s": 1.5,
    "mixtures.n_dev": 16,
    "mixtures.n_test": 32,
    "model.n_filters": 64,
    "model.kernel_size": 80,
    "model.stride": 40,
    "model.bn_chan": 32,
    "model.hid_chan": 64,
    "model.skip_chan": 32,
    "training.segment_s": 1.0,
    "training.batch_size": 8,
    "training.compile": "off",
    "training.precision": "fp32",
    "training.early_stop": 0,
    "training.examples_every": 0,
    "training.lr": 0.002,
    "training.warmup_steps": 10,
    "training.schedule": "constant",
    "evaluation.check_mixtures": 0,
}


FINE_TUNED = {  # from the shipped model, whose shape this is
    "audio.sample_rate": 8000,
    "model.n_filters": 128,
    "model.kernel_size": 64,
    "model.stride": 32,
    "model.bn_chan": 128,
    "model.hid_chan": 256,
    "model.skip_chan": 128,
    "training.init_from": "shipped",
    "training.lr": 0.001,
    "training.batch_size": 4,
    "training.epochs": 10,
    "training.epoch_mixtures": 48,
}


@dataclass(frozen=True)
class Run:
    """A training with one fault.

    Attributes:
        corpus: name of the folder of speech below WORK, or ``permuted``.
        settings: keys beside :data:`COMMON`.
    """

    corpus: str
    settings: dict[str, object]


RUNS = {
    "diverged": Run(
        "many",
        {
            "training.lr": 0.3,
            "training.clip": 0.0,
            "training.warmup_steps": 0,
            "training.epochs": 5,
            "training.epoch_mixtures": 160,
        },
    ),
    "permuted": Run(
        "permuted",
        {"training.dynamic_mixing": False, "training.epochs": 4, "training.epoch_mixtures": 80},
    ),
    "rate": Run("narrow", {"training.epochs": 3, "training.epoch_mixtures": 80}),
    "overfitted": Run(
        "many",
        FINE_TUNED
        | {
            "training.dynamic_mixing": False,
            "mixtures.n_train": LISTED,
            "mixtures.train_length_s": 1.0,
        },
    ),
    "few": Run("few", FINE_TUNED),
}


def make_corpora(speech: Path, work: Path) -> None:
    """Folders of speech with an ``utterances.csv`` each, and mixtures with permuted targets."""
    with open(speech / "utterances.csv", encoding="utf-8", newline="") as handle:
        rows = [row for row in csv.DictReader(handle) if float(row["duration_s"]) >= 1.6]
    chosen = choose_rows(rows)
    link_corpus(speech, work / "many", chosen)
    few = sorted({row["speaker"] for row in chosen if row["split"] == "train"})[:FEW_SPEAKERS]
    kept: dict[str, int] = {}
    less = []
    for row in chosen:
        kept[row["speaker"]] = kept.get(row["speaker"], 0) + 1
        if row["split"] != "train" or (
            row["speaker"] in few and kept[row["speaker"]] <= FEW_UTTERANCES
        ):
            less.append(row)
    link_corpus(speech, work / "few", less)
    narrow_corpus(speech, work / "narrow", chosen)
    permute_targets(speech, work / "permuted", chosen)


def choose_rows(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """The longest utterances of so many speakers of each split; dev's are training speakers."""
    by_speaker: dict[str, list[dict[str, str]]] = {}
    for row in sorted(rows, key=lambda row: -float(row["duration_s"])):
        by_speaker.setdefault(row["speaker"], []).append(row)
    names = {
        split: sorted(name for name, own in by_speaker.items() if own[0]["split"] == split)
        for split in ("train", "test")
    }
    chosen = {
        "dev": names["train"][:DEV],
        "train": names["train"][DEV : DEV + TRAIN],
        "test": names["test"][:TEST],
    }
    return [
        row | {"split": split}
        for split, speakers in chosen.items()
        for speaker in speakers
        for row in by_speaker[speaker][: UTTERANCES[split]]
    ]


def write_table(folder: Path, rows: list[dict[str, str]]) -> None:
    """The corpus's own table."""
    columns = ["speaker", "path", "sex", "split"]
    with open(folder / "utterances.csv", "w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def link_corpus(speech: Path, folder: Path, rows: list[dict[str, str]]) -> None:
    """A corpus of links."""
    for row in rows:
        link = folder / row["path"]
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(speech / row["path"])
    write_table(folder, rows)


def read(speech: Path, row: dict[str, str]) -> np.ndarray:
    samples, rate = soundfile.read(speech / row["path"], dtype="float32")
    assert rate == RATE
    return samples


def narrow_corpus(speech: Path, folder: Path, rows: list[dict[str, str]]) -> None:
    """The same recordings by way of 8 kHz, as telephone speech that was converted to 16 kHz."""
    written = []
    for row in rows:
        path = Path(row["path"]).with_suffix(".wav")
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        samples = resample_poly(resample_poly(read(speech, row), 1, 2), 2, 1)
        soundfile.write(folder / path, np.clip(samples, -1, 1), RATE, subtype="PCM_16")
        written.append(row | {"path": path.as_posix()})
    write_table(folder, written)


def permute_targets(speech: Path, folder: Path, rows: list[dict[str, str]]) -> None:
    """Mixtures whose references are those of the next mixture, as after a list sorted twice."""
    generator, n_samples = np.random.default_rng(0), round(LENGTH_S * RATE)
    for split, n_mixtures in MIXTURES.items():
        long = [row for row in rows if row["split"] == split and float(row["duration_s"]) > 2.1]
        pairs = [generator.choice(len(long), 2, replace=False) for _ in range(n_mixtures)]
        parts = [[read(speech, long[place])[:n_samples] for place in pair] for pair in pairs]
        for part in ("mix", "s1", "s2"):
            (folder / split / part).mkdir(parents=True, exist_ok=True)
        for number, sources in enumerate(parts):
            name = f"m{number:03d}.wav"
            write(folder / split / "mix" / name, 0.5 * (sources[0] + sources[1]))
            for k, source in enumerate(parts[(number + 1) % n_mixtures], 1):
                write(folder / split / f"s{k}" / name, 0.5 * source)


def write(path: Path, samples: np.ndarray) -> None:
    soundfile.write(path, np.clip(samples, -1, 1), RATE, subtype="PCM_16")


def train(name: str, work: Path) -> None:
    """Stages 0 to 5 of a run, as run.sh calls them, but in one process."""
    run = RUNS[name]
    exists = run.corpus == "permuted"
    corpus = "mixtures" if exists else "speech"
    settings = COMMON | run.settings | ({} if exists else {"splits.by": "subset"})
    print(name, flush=True)
    experiment = open_experiment(
        RECIPE,
        [f"{key}={_format(value)}" for key, value in settings.items()],
        tag=name,
        corpora=[f"{corpus}={work / run.corpus}"],
        data=work / "data" / find_data(name),
        exp=work / "exp",
        n_jobs=1,
        device="cpu",
    )
    for stage in STAGES[:-1]:
        run_stage(experiment, stage.name)


def _format(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def find_data(name: str) -> str:
    """Runs on the same recordings with the same lists share a data folder."""
    own = "mixtures.n_train" in RUNS[name].settings
    return name if own else RUNS[name].corpus


def keep_run(name: str, work: Path) -> None:
    """Keep what a diagnosis reads of a run."""
    data = work / "data" / find_data(name) / "folder"
    data = next((path for path in data.glob("existing-*")), data)
    keep(work / "exp" / RECIPE / name, data, name, RECIPE, data_name := find_data(name))
    if name == "rate":
        kept = KEPT / "data" / "folder" / data_name / f"packed_{RATE}"
        keep_pack(data / f"packed_{RATE}", kept)


def keep_pack(source: Path, target: Path) -> None:
    """The beginning of one packed utterance each of a few speakers."""
    target.mkdir(parents=True, exist_ok=True)
    for table in sorted(source.glob("*.csv"))[:PACKED_SPEAKERS]:
        with open(table, encoding="utf-8", newline="") as handle:
            row = next(iter(csv.DictReader(handle)))
        row["n_samples"] = str(min(int(row["n_samples"]), round(PACKED_S * RATE)))
        samples = np.fromfile(table.with_suffix(".i16"), "<i2")[: int(row["n_samples"])]
        samples.tofile(target / table.with_suffix(".i16").name)
        with open(target / table.name, "w", encoding="utf-8", newline="") as handle:
            writer = csv.DictWriter(handle, list(row), lineterminator="\n")
            writer.writeheader()
            writer.writerow(row)


def main() -> None:
    """Make the corpora once, then train and keep the runs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("speech", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--runs", nargs="+", choices=sorted(RUNS), default=list(RUNS))
    arguments = parser.parse_args()
    work = arguments.work.resolve()
    if not (work / "many").is_dir():
        make_corpora(arguments.speech.resolve(), work)
    for name in arguments.runs:
        train(name, work)
        keep_run(name, work)


if __name__ == "__main__":
    main()
