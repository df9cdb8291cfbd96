"""Packing AISHELL-3 from 44.1 kHz for training, on files as long as its own.

    .venv/bin/python -m benchmarks.packing --speech DIR [--files N]

DIR holds recordings of real speech in any layout (LibriSpeech, speechocean762). They are cut into
pieces of 3.5 s, raised to 44.1 kHz and written as 16-bit WAV in AISHELL-3's layout; then packed at
8 and 16 kHz in a process of its own, on one core; beside it the plain way: soundfile, SciPy's
resample_poly, 16-bit samples to one file. Times are CPU seconds of the whole process without its
start. Also the scan of stage 1, and the memory of packing a quarter and all of the files.
Prints a table and writes benchmarks/results/packing.json.
"""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import resample_poly

from benchmarks.machine import read_cpu
from separation.files import write_json

ROOT = Path(__file__).resolve().parents[1]
RATE, PIECE_S = 44100, 3.5
FILES_A_SPEAKER = 50
CORPUS_HOURS = 85.6
TARGET = 1000  # times real time in a core-second


def write_corpus(speech: Path, folder: Path, n_files: int) -> None:
    """``train/wav/SSBxxxx/SSBxxxxyyyy.wav`` out of real recordings."""
    recordings = sorted(p for p in speech.rglob("*") if p.suffix in (".flac", ".opus", ".wav"))
    waiting = np.empty(0, np.float32)
    for number in range(n_files):
        while len(waiting) < PIECE_S * RATE:
            samples, rate = soundfile.read(recordings.pop(), dtype="float32")
            factor = np.gcd(rate, RATE)
            raised = resample_poly(samples, RATE // factor, rate // factor)
            waiting = np.concatenate([waiting, raised])
        piece, waiting = np.split(waiting, [round(PIECE_S * RATE)])
        speaker = f"SSB{number // FILES_A_SPEAKER:04d}"
        path = folder / speaker / f"{speaker}{number % FILES_A_SPEAKER:04d}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, piece, RATE, "PCM_16")


def measure_pack(corpus: Path, rate: int, share: float) -> dict[str, float]:
    """Pack the first ``share`` of the files here; CPU seconds and the most memory."""
    from separation.corpora.pack import ListedClip, pack_speakers

    paths = sorted(corpus.rglob("*.wav"))
    clips = [
        ListedClip(speaker=path.parent.name, path=str(path.relative_to(corpus)), channel="mono")
        for path in paths
    ]
    clips = clips[: round(share * len(clips))]
    with tempfile.TemporaryDirectory(dir=corpus.parent) as folder:
        began = time.process_time()
        pack_speakers(clips, corpus, Path(folder), rate, 1)
        cpu_s = time.process_time() - began
        n_bytes = sum(path.stat().st_size for path in Path(folder).iterdir())
    return describe(len(clips), cpu_s) | {"bytes": n_bytes}


def measure_plain(corpus: Path, rate: int) -> dict[str, float]:
    """Read, resample_poly, append: what anyone would write."""
    paths = sorted(corpus.rglob("*.wav"))
    factor = np.gcd(rate, RATE)
    with tempfile.TemporaryFile(dir=corpus.parent) as handle:
        began = time.process_time()
        for path in paths:
            samples, _ = soundfile.read(path, dtype="float32")
            resampled = resample_poly(samples, rate // factor, RATE // factor)
            handle.write((resampled * 32767).astype("<i2").tobytes())
        return describe(len(paths), time.process_time() - began)


def measure_scan(corpus: Path) -> dict[str, float]:
    """Stage 1: decode, loudness, peak, hash."""
    from separation.config.load import load_conf
    from separation.corpora.plugin import Recording
    from separation.corpora.table import scan_recordings

    paths = sorted(corpus.rglob("*.wav"))
    rows = [
        Recording(
            speaker=path.parent.name,
            sex="F",
            path=str(path.relative_to(corpus)),
            prompt=path.stem,
        )
        for path in paths
    ]
    conf = load_conf(ROOT, "aishell3mix/ConvTasNet", []).corpus
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        scan_recordings(rows, corpus, conf, 1, Path(folder))
        return describe(len(paths), time.process_time() - began)


def describe(n_files: int, cpu_s: float) -> dict[str, float]:
    status = Path("/proc/self/status").read_text().split()
    peak_mb = int(status[status.index("VmHWM:") + 1]) / 1024  # ru_maxrss would be the parent's
    times = round(n_files * PIECE_S / cpu_s)
    return {"files": n_files, "cpu_s": round(cpu_s, 3), "times": times, "peak_mb": round(peak_mb)}


CASES = {
    "pack 8 kHz": "measure_pack(corpus, 8000, 1.0)",
    "pack 8 kHz, a quarter": "measure_pack(corpus, 8000, 0.25)",
    "pack 16 kHz": "measure_pack(corpus, 16000, 1.0)",
    "plain 8 kHz": "measure_plain(corpus, 8000)",
    "scan": "measure_scan(corpus)",
}


def run_case(corpus: Path, call: str) -> dict[str, float]:
    """One measurement in a process of its own, pinned to a core."""
    code = (
        "import json; from pathlib import Path; from benchmarks.packing import *\n"
        f"corpus = Path({str(corpus)!r}); print('RESULT', json.dumps({call}))"
    )
    command = ["taskset", "-c", "0", sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.split("RESULT ")[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--speech", type=Path, required=True)
    parser.add_argument("--files", type=int, default=800)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        corpus = Path(name) / "corpus"
        write_corpus(args.speech, corpus, args.files)
        turns = [
            {k: run_case(corpus, call) for k, call in CASES.items()} for _ in range(args.repeats)
        ]
    cases = {name: [turn[name] for turn in turns] for name in CASES}
    middle = {
        name: sorted(run["times"] for run in runs)[len(runs) // 2] for name, runs in cases.items()
    }
    packed = cases["pack 8 kHz"][0]
    result = {
        "cpu": read_cpu(),
        "python": platform.python_version(),
        "target_times_real_time_per_core": TARGET,
        "cases": cases,
        "median_times_real_time": middle,
        "whole_corpus": {
            "hours": CORPUS_HOURS,
            "pack_core_minutes": round(CORPUS_HOURS * 60 / middle["pack 8 kHz"], 1),
            "scan_core_minutes": round(CORPUS_HOURS * 60 / middle["scan"], 1),
            "packed_gb": round(
                packed["bytes"] / (packed["files"] * PIECE_S) * CORPUS_HOURS * 3.6e-6, 2
            ),
        },
    }
    write_json(ROOT / "benchmarks" / "results" / "packing.json", result)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
