"""Time and memory of every stage as the corpus grows.

    .venv/bin/python -m benchmarks.growth --speech DIR [--hours 1 5 20] [--turns 3]

DIR has a folder of recordings for each speaker. The smallest corpus is made of hard links to some
of them, the others of that one several times over, so that all are alike: each further copy of a
speaker has a name and a gain of its own (Opus) or another first sample, since stage 1 leaves
copies out. They go through the stages of folder/ConvTasNet by the real command, one worker, one
thread: CPU seconds and the most memory of the largest process, least of several turns, since the
machines that this runs on change their speed by a quarter. Stage 4 runs three steps, so it shows
what a start costs; the test sets of stages 2, 5 and 6 grow with the corpus, ten mixtures an hour.
Writes benchmarks/results/growth.json and prints the tables of docs/scale.md.
"""

import argparse
import itertools
import logging
import os
import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import soundfile

from benchmarks.machine import RESULTS, describe_cpu
from separation.audio.containers import sum_ogg
from separation.files import write_json

STAGES = ("preflight", "corpus", "metadata", "audio", "train", "evaluate", "report")
MIXTURES_AN_HOUR = 10
FORMATS = (".flac", ".opus", ".wav")
GROWING = ("corpus", "metadata", "audio", "evaluate")  # the others cost the same at any size
SUM_AT, OPUS_HEAD, GAIN_AT = 22, 28, 44  # bytes of an Opus file's first page
GAIN_STEP = -26  # of 1/256 dB
LARGE = {"AISHELL-3": 85.6, "LibriMix train-360": 363.6, "10,000 hours": 10_000.0}  # hours
SETTINGS = (
    *("model.n_filters=32", "model.bn_chan=16", "model.hid_chan=24", "model.skip_chan=16"),
    *("model.n_blocks=3", "model.n_repeats=1", "training.compile=off", "training.epochs=1"),
    *("training.batch_size=4", "training.epoch_mixtures=12", "training.segment_s=1.0"),
)

Speaker = tuple[str, list[Path], float]  # name, recordings, hours


def list_speakers(speech: Path, hours: float) -> list[Speaker]:
    """Speakers of at least so many hours, drawn once."""
    speakers = []
    for folder in sorted(path for path in speech.iterdir() if path.is_dir()):
        paths = sorted(path for path in folder.rglob("*") if path.suffix in FORMATS)
        if paths:
            seconds = sum(soundfile.info(path).duration for path in paths)
            speakers.append((folder.name, paths, seconds / 3600))
    random.Random(0).shuffle(speakers)
    sums = itertools.accumulate(own for _, _, own in speakers)
    return speakers[: 1 + sum(total < hours for total in sums)]


def link_corpus(speakers: list[Speaker], folder: Path, n_copies: int) -> float:
    """A corpus of these speakers so many times over; its hours."""
    for copy in range(n_copies):
        for name, paths, _ in speakers:
            target = folder / f"{name}_c{copy}"
            target.mkdir(parents=True)
            for path in paths:
                write_copy(path, target / path.name, copy)
    return n_copies * sum(hours for _, _, hours in speakers)


def write_copy(path: Path, target: Path, copy: int) -> None:
    """A recording as it is, or in further copies with other samples of the same cost."""
    if copy == 0:
        os.link(path, target)
    elif path.suffix == ".opus":
        data = bytearray(path.read_bytes())
        end = OPUS_HEAD + len(b"OpusHead") + 11  # of the first page, RFC 7845
        data[GAIN_AT : GAIN_AT + 2] = (copy * GAIN_STEP).to_bytes(2, "little", signed=True)
        data[SUM_AT : SUM_AT + 4] = bytes(4)
        data[SUM_AT : SUM_AT + 4] = sum_ogg(bytes(data[:end])).to_bytes(4, "little")
        target.write_bytes(data)
    else:
        samples, rate = soundfile.read(path, dtype="int16")
        samples[0] ^= copy
        soundfile.write(target, samples, rate, "PCM_16")


def run_stage(stage: str, corpus: Path, work: Path, hours: float) -> dict[str, float]:
    """CPU seconds of a stage, all its processes, and the most memory of one, MB.

    Raises:
        RuntimeError: it ended with an error; its words stand in ``work``.
    """
    n_test = round(MIXTURES_AN_HOUR * hours)
    settings = (*SETTINGS, f"mixtures.n_dev={MIXTURES_AN_HOUR}", f"mixtures.n_test={n_test}")
    words = ["--recipe", "folder/ConvTasNet", "--corpus", f"speech={corpus}", "--nj", "1"]
    words += ["--data", str(work / "data"), "--exp", str(work / "exp"), "--device", "cpu"]
    words += [word for setting in settings for word in ("--set", setting)]
    log = work / f"{stage}.log"
    with log.open("wb") as out:
        actions = [
            (os.POSIX_SPAWN_DUP2, out.fileno(), 1),
            (os.POSIX_SPAWN_DUP2, out.fileno(), 2),
        ]
        command = [sys.executable, "-m", "separation", stage, *words]
        child = os.posix_spawn(
            sys.executable, command, os.environ | {"OMP_NUM_THREADS": "1"}, file_actions=actions
        )
        _, status, used = os.wait4(child, 0)
    if os.waitstatus_to_exitcode(status):
        raise RuntimeError(f"stage {stage} failed: see {log}")
    return {"cpu_s": round(used.ru_utime + used.ru_stime, 1), "memory_mb": used.ru_maxrss // 1024}


def measure(speakers: list[Speaker], n_copies: int) -> dict[str, Any]:
    """Every stage on a corpus of these speakers so many times over."""
    with tempfile.TemporaryDirectory(prefix="growth_", dir=".") as name:  # on the speech's disk
        folder = Path(name).resolve()
        hours = link_corpus(speakers, folder / "speech", n_copies)
        row: dict[str, Any] = {"hours": round(hours, 3), "speakers": n_copies * len(speakers)}
        row["stages"] = {
            stage: run_stage(stage, folder / "speech", folder, hours) for stage in STAGES
        }
    logging.info("%.1f h: %s", hours, {k: own["cpu_s"] for k, own in row["stages"].items()})
    return row


def find_least(turns: list[dict[str, Any]]) -> dict[str, Any]:
    """Of several turns of one size the least seconds, and the most memory, of each stage."""
    stages = {
        stage: {
            "cpu_s": min(turn["stages"][stage]["cpu_s"] for turn in turns),
            "memory_mb": max(turn["stages"][stage]["memory_mb"] for turn in turns),
        }
        for stage in STAGES
    }
    return turns[0] | {"stages": stages}


def find_slopes(rows: list[dict[str, Any]], stage: str) -> list[float]:
    """CPU seconds of a further hour, between one size and the next."""
    return [
        (large["stages"][stage]["cpu_s"] - small["stages"][stage]["cpu_s"])
        / (large["hours"] - small["hours"])
        for small, large in itertools.pairwise(rows)
    ]


def format_tables(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Lines of docs/scale.md: what was measured, and what follows for larger corpora."""
    hours = " | ".join(f"{row['hours']:.1f} h" for row in rows)
    yield f"| stage | {hours} | a further hour, CPU s |"
    yield "|---|" + "---|" * (len(rows) + 1)
    for stage in STAGES:
        cells = [row["stages"][stage] for row in rows]
        found = " | ".join(f"{cell['cpu_s']:.1f} s, {cell['memory_mb']:.0f} MB" for cell in cells)
        slopes = ", ".join(f"{slope:.2f}" for slope in find_slopes(rows, stage))
        yield f"| {stage} | {found} | {slopes if stage in GROWING else ''} |"
    yield ""
    names = ("corpus", "audio")
    yield "| corpus | hours | " + " | ".join(names) + " | on two cores | on ten such machines |"
    yield "|---|" + "---|" * (len(names) + 3)
    for name, size in LARGE.items():
        minutes = [max(find_slopes(rows, stage)) * size / 60 for stage in names]
        shown = " | ".join(f"{value:.1f} core-min" for value in minutes)
        whole = sum(minutes) / 2
        yield f"| {name} | {size:,.1f} | {shown} | {whole:.1f} min | {whole / 10:.1f} min |"


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--speech", type=Path, required=True, help="a folder for each speaker")
    parser.add_argument("--hours", type=float, nargs="+", default=[1.0, 5.0, 20.0])
    parser.add_argument("--turns", type=int, default=3)
    args = parser.parse_args()
    sizes = sorted(args.hours)
    speakers = list_speakers(args.speech, sizes[0])
    copies = [round(size / sizes[0]) for size in sizes]
    turns = [[measure(speakers, n_copies) for n_copies in copies] for _ in range(args.turns)]
    rows = [find_least(list(same_size)) for same_size in zip(*turns, strict=True)]
    write_json(RESULTS / "growth.json", describe_cpu() | {"sizes": rows})
    print("\n".join(format_tables(rows)))


if __name__ == "__main__":
    main()
