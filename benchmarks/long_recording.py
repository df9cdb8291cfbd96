"""CPU seconds of a long recording: `separate`, and Asteroid's LambdaOverlapAdd over the same model.

    .venv/bin/python -m benchmarks.long_recording RECORDING [--minutes 30] [--turns 1]

The recording is repeated up to that length and resampled to 8 kHz. Each way is a process of its own
on one core: it opens the shipped model, reads the file, separates it and writes the tracks;
LambdaOverlapAdd has windows of 4 s, half overlapping, and Asteroid's own model. CPU seconds are
user and system time of the process, so that other work on the machine counts less, though it still
slows caches. Writes benchmarks/results/long_recording.json.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.machine import find_commit, read_cpu, read_flags
from separation.audio.resample import resample
from separation.files import write_json

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks" / "results" / "long_recording.json"
RATE = 8000
OVERLAP_ADD = """
import sys, soundfile, torch
torch.set_num_threads(1)
from asteroid.dsp.overlap_add import LambdaOverlapAdd
from separation.models.checkpoint.load import open_model
model = open_model("shipped").model.eval()
samples, rate = soundfile.read(sys.argv[1], dtype="float32")
added = LambdaOverlapAdd(nnet=model, n_src=2, window_size=4 * rate, hop_size=2 * rate)
with torch.inference_mode():
    tracks = added(torch.from_numpy(samples)[None, None])[0].numpy()
for k, track in enumerate(tracks):
    soundfile.write(f"{sys.argv[2]}/added_{k}.wav", track / abs(track).max(), rate)
"""


def make_recording(source: Path, minutes: float, target: Path) -> None:
    """Repeat a recording, one channel at 8 kHz."""
    samples, rate = soundfile.read(source, dtype="float32", always_2d=True)
    samples = resample(np.ascontiguousarray(samples.mean(axis=1)), rate, RATE)
    n_samples = round(60 * minutes * RATE)
    soundfile.write(target, np.resize(samples, n_samples), RATE)


def list_ways(call: Path, folder: Path) -> dict[str, list[str]]:
    """The commands."""
    separate = [sys.executable, "-m", "separation", "separate", str(call), "--device", "cpu"]
    return {
        "LambdaOverlapAdd": [sys.executable, "-c", OVERLAP_ADD, str(call), str(folder)],
        "separate --mode overlap": [*separate, "--mode", "overlap", "--out", str(folder / "o")],
        "separate --adapt off": [*separate, "--adapt", "off", "--out", str(folder / "a")],
        "separate": [*separate, "--out", str(folder / "b")],
    }


def measure_cpu(command: list[str]) -> float:
    """CPU seconds of a process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run(command, check=True, capture_output=True, env=env, cwd=ROOT)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recording", type=Path)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--turns", type=int, default=1)
    args = parser.parse_args()
    seconds: dict[str, list[float]] = {}
    for _ in range(args.turns):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            make_recording(args.recording, args.minutes, folder / "call.wav")
            for way, command in list_ways(folder / "call.wav", folder).items():
                seconds.setdefault(way, []).append(round(measure_cpu(command), 2))
                print(way, seconds[way][-1], flush=True)
    result = {
        "cpu": read_cpu(),
        "flags": read_flags(),
        "load": os.getloadavg(),
        "commit": find_commit(),
        "minutes": args.minutes,
        "cpu_seconds": seconds,
    }
    write_json(RESULT, result)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
