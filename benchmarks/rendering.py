"""LibriMix rendering, side by side with the official script, on real speech.

    .venv/bin/python -m benchmarks.rendering --librispeech DIR --clone LIBRIMIX [--mixtures N]

DIR is any LibriSpeech tree (utterances of realistic length), the clone that of
https://github.com/JorisCos/LibriMix at b898ca3. Noises are made up, stereo, 16 kHz, as long as
WHAM's. Both sides render the same rows, in turns, each pinned to one core by taskset; times are
CPU seconds of the whole process, children included; the outputs are compared sample by sample.
Prints a table and writes benchmarks/results/rendering.json.
"""

import argparse
import json
import os
import platform
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import miniaudio
import numpy as np
import soundfile

from benchmarks.machine import read_cpu
from separation.audio.loudness import measure_loudness_lufs
from separation.config.load import load_conf
from separation.corpora.pack import ExactPack, ListedClip, PackedAudio, pack_speakers
from separation.files import format_rows, write_json
from separation.jobs import keep_freed_memory
from separation.mixtures.dynamic.host import DynamicMixtures
from separation.mixtures.render import render_mixture
from separation.mixtures.source_files import Corpora, list_clips
from separation.mixtures.table import MixtureRow, parse_row

ROOT = Path(__file__).resolve().parents[1]
ALL = ("mix_clean", "mix_both", "mix_single")
TARGETS = {
    "render, all outputs, times official": 2.0,
    "render, 8k min mix_clean, times official clean+both": 1.5,
    "exact row from FLAC, s of mixture a core-second": 1400,
    "exact row from a 16 kHz pack, s of mixture a core-second": 3000,
    "dynamic mixing at 8 kHz, s of mixture a core-second": 40000,
}


def make_rows(speech: Path, noise: Path, n_mixtures: int) -> list[dict[str, str]]:
    """Random pairs of real utterances of at least 3 s, with made-up noises."""
    generator = random.Random(0)
    paths = sorted(str(path.relative_to(speech)) for path in speech.rglob("*.flac"))
    paths = [path for path in paths if soundfile.info(speech / path).duration >= 3]
    (noise / "tt").mkdir(parents=True)
    samples = (3000 * np.random.default_rng(0).standard_normal((40 * 16000, 2))).astype(np.int16)
    rows = []
    for number in range(n_mixtures):
        length = generator.randint(6 * 16000, 20 * 16000)
        start = generator.randint(0, len(samples) - length)
        name = f"tt/noise{number}.wav"
        soundfile.write(noise / name, samples[start : start + length], 16000, "PCM_16")
        row = {"mixture_ID": f"m{number}"}
        for k, path in enumerate(generator.sample(paths, 2), 1):
            row |= {f"source_{k}_path": path, f"source_{k}_gain": repr(generator.uniform(0.3, 2))}
        rows.append(row | {"noise_path": name, "noise_gain": repr(generator.uniform(0.3, 2))})
    return rows


def measure(command: list[str]) -> dict[str, float]:
    """CPU and wall seconds of a process and its children, on one core."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(["taskset", "-c", "0", *command], check=True, capture_output=True, cwd=ROOT)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"cpu_s": cpu, "wall_s": time.monotonic() - began}


def run_ours(work: Path, rates, modes, types) -> dict[str, float]:
    out = work / "ours"
    shutil.rmtree(out, ignore_errors=True)
    table = work / "metadata" / "libri2mix_test-clean.csv"
    command = [sys.executable, "-m", "separation", "render", table, "--out", out, "--nj", 1]
    command += ["--corpus", f"librispeech={work / 'speech'}", "--corpus", f"wham={work / 'noise'}"]
    command += ["--rates", *rates, "--modes", *modes, "--types", *types]
    return measure([str(part) for part in command])


def run_official(work: Path, clone: Path, rates, modes, types) -> dict[str, float]:
    out = work / "official"
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, clone / "scripts" / "create_librimix_from_metadata.py"]
    command += ["--librispeech_dir", work / "speech", "--wham_dir", work / "noise", "--n_src", 2]
    command += ["--metadata_dir", work / "metadata", "--librimix_outdir", out, "--modes", *modes]
    command += ["--freqs", *[f"{rate // 1000}k" for rate in rates], "--types", *types]
    return measure([str(part) for part in command])


def compare_trees(ours: Path, official: Path) -> int:
    """Number of WAV files of ours, all equal to the official ones."""
    paths = sorted(path.relative_to(ours) for path in ours.rglob("*.wav"))
    for path in paths:
        first, second = (soundfile.read(tree / path, dtype="int16")[0] for tree in (ours, official))
        if not np.array_equal(first, second):
            raise SystemExit(f"{path} differs")
    return len(paths)


def measure_trees(work: Path, clone: Path, repeats: int) -> dict[str, dict]:
    """Official and ours in turns, for everything and for 8k min."""
    cases = {
        "all outputs": ((8000, 16000), ("min", "max"), ALL, ALL),
        "8k min mix_clean": ((8000,), ("min",), ("mix_clean",), ("mix_clean", "mix_both")),
    }
    results = {}
    for name, (rates, modes, types, official_types) in cases.items():
        pairs = []
        for _ in range(repeats):
            theirs = run_official(work, clone, rates, modes, official_types)
            pairs.append((theirs, run_ours(work, rates, modes, types)))
        ratios = [theirs["cpu_s"] / ours["cpu_s"] for theirs, ours in pairs]
        results[name] = {
            "official_cpu_s": [round(theirs["cpu_s"], 2) for theirs, _ in pairs],
            "ours_cpu_s": [round(ours["cpu_s"], 2) for _, ours in pairs],
            "ratio_median": round(statistics.median(ratios), 2),
            "ratio_range": [round(min(ratios), 2), round(max(ratios), 2)],
            "equal_files": compare_trees(work / "ours", work / "official"),
            "bytes": {side: count_bytes(work / side) for side in ("ours", "official")},
        }
    return results


def count_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def rate_rows(rows: list[MixtureRow], corpora: Corpora, repeats: int) -> list[float]:
    """Seconds of mixture rendered in a second of CPU: 8 kHz, min, clean."""
    rates = []
    for _ in range(repeats):
        began, seconds = time.process_time(), 0.0
        for row in rows:
            seconds += len(render_mixture(row, corpora, 8000).mixture) / 8000
        rates.append(seconds / (time.process_time() - began))
    return rates


def rate_decoding(rows, speech: Path) -> float:
    """Seconds of mixture whose two sources miniaudio alone decodes in a second of CPU (min)."""
    began, seconds = time.process_time(), 0.0
    for row in rows:
        paths = [speech / row[f"source_{k}_path"] for k in (1, 2)]
        length = min(soundfile.info(path).frames for path in paths)
        for path in paths:
            next(miniaudio.flac_stream_file(str(path), length))
        seconds += length / 16000
    return seconds / (time.process_time() - began)


def rate_plain(rows, speech: Path) -> float:
    """The same rows in plain NumPy and SciPy: read whole, gain, resample_poly, cut, sum."""
    from scipy.signal import resample_poly

    began, seconds = time.process_time(), 0.0
    for row in rows:
        sources = []
        for k in (1, 2):
            samples, _ = soundfile.read(speech / row[f"source_{k}_path"], dtype="float32")
            sources.append(resample_poly(samples * float(row[f"source_{k}_gain"]), 8000, 16000))
        length = min(map(len, sources))
        _ = sources[0][:length] + sources[1][:length]
        seconds += length / 8000
    return seconds / (time.process_time() - began)


def rate_dynamic(rows, work: Path, repeats: int) -> list[float]:
    """Seconds of 4-s mixtures drawn from the pack at 8 kHz in a second of CPU."""
    clips = []
    for clip in list_clips(map(parse_row, rows)):
        samples, rate = soundfile.read(work / "speech" / clip.path, dtype="float32")
        speaker = Path(clip.path).stem.split("-")[0]
        loudness = measure_loudness_lufs(samples, rate)
        clips.append(
            ListedClip(speaker=speaker, path=clip.path, channel="mono", loudness_lufs=loudness)
        )
    pack_speakers(clips, work / "speech", work / "packed", 8000, 1)
    audio = PackedAudio(work / "packed", sorted({clip.speaker for clip in clips}))
    conf = load_conf(ROOT, "librimix/ConvTasNet", []).mixtures
    mixtures = DynamicMixtures(audio, 32000, conf, 0)
    rates = []
    for turn in range(repeats):
        began = time.process_time()
        for index in range(2000):
            mixtures[2000 * turn + index]
        rates.append(2000 * 4 / (time.process_time() - began))
    return rates


def measure_on_the_fly(rows, work: Path, repeats: int) -> dict[str, dict]:
    keep_freed_memory()
    speech = work / "speech"
    typed = [parse_row(row) for row in rows]
    pack_speakers(list_clips(typed), speech, work / "exact", None, 1)
    rates = {"plain NumPy, whole files": [rate_plain(rows, speech) for _ in range(repeats)]}
    rates["FLAC decoding alone"] = [rate_decoding(rows, speech) for _ in range(repeats)]
    rates["exact row from FLAC"] = rate_rows(typed, Corpora(speech), repeats)
    packed = Corpora(speech, None, ExactPack(work / "exact"))
    rates["exact row from a 16 kHz pack"] = rate_rows(typed, packed, repeats)
    rates["dynamic mixing at 8 kHz, 4-s segments"] = rate_dynamic(rows, work, repeats)
    disk = {name: count_bytes(work / name) for name in ("exact", "packed")}
    used = {row[f"source_{k}_path"] for row in rows for k in (1, 2)}
    disk["FLAC"] = sum((speech / path).stat().st_size for path in used)
    return {
        "mixture_s_per_core_s": {
            name: {"median": round(statistics.median(v)), "range": [round(min(v)), round(max(v))]}
            for name, v in rates.items()
        },
        "bytes": disk,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--librispeech", type=Path, required=True)
    parser.add_argument("--clone", type=Path, required=True)
    parser.add_argument("--mixtures", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        (work / "speech").symlink_to(args.librispeech.resolve())
        rows = make_rows(args.librispeech.resolve(), work / "noise", args.mixtures)
        (work / "metadata").mkdir()
        (work / "metadata" / "libri2mix_test-clean.csv").write_text(format_rows(rows))
        result = {
            "cpu": read_cpu(),
            "python": platform.python_version(),
            "mixtures": args.mixtures,
            "mixture_hours_min": round(sum(length_min(row, work) for row in rows) / 3600, 3),
            "targets": TARGETS,
            "trees": measure_trees(work, args.clone.resolve(), args.repeats),
            "on_the_fly": measure_on_the_fly(rows, work, args.repeats),
        }
    write_json(ROOT / "benchmarks" / "results" / "rendering.json", result)
    print(json.dumps(result, indent=1))


def length_min(row: dict[str, str], work: Path) -> float:
    paths = [work / "speech" / row[f"source_{k}_path"] for k in (1, 2)]
    return min(soundfile.info(path).duration for path in paths)


if __name__ == "__main__":
    main()
