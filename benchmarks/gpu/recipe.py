"""Does the product work on this device? A recipe end to end on a folder of speech.

    python3 -m benchmarks.gpu.recipe [SPEECH] --work DIR [--minutes M] [--only NAME,...] [--tiny]

Stages 0 to 6 of ``folder/ConvTasNet`` by ``run.sh``, its training ended by SIGKILL, then by
SIGTERM, and gone on with; ``compare`` on the device and on the CPU; ``separate`` and its real-time
factor; ``overfit``; trainings in float32, with CUDA graphs, and of a batch that has to be tried in
pieces. One line a step, ok or FAILED with the reason; the logs are in ``DIR/logs``. What no longer
fits the minutes is named. Exit code 1: a step failed. ``--tiny``: made-up voices, toy sizes.
"""

import argparse
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import soundfile
import torch

from benchmarks.gpu.product_run import POLL_S, ProductRun, StepFailed, cut_end, find_number
from benchmarks.voices import mix_recordings, write_voices
from separation import open_model, separate
from separation.files import read_rows

TRAINED_S = 4.0  # after the first checkpoint, before a signal
STOPPING_S = 60.0
EQUAL_DB = 0.01
REFERENCES = ("mixture", "ibm", "irm", "wfm")  # that compare scores beside the model
RECORDING_S = 60
SIGTERM_CODE = 128 + signal.SIGTERM
LEAST_S = 8.0  # to begin a step
LARGE = {  # the paper's best configuration, of which 96 mixtures of 4 s do not fit 80 GB
    "n_filters": 512, "kernel_size": 16, "stride": 8, "kernel_rate": 0, "bn_chan": 128,
    "hid_chan": 512, "skip_chan": 128, "n_blocks": 8, "n_repeats": 3,
}  # fmt: skip
GOING_ON = r"going on after step (\d+)"
STOPPED = r"stopped by SIGTERM after step (\d+)"


def prepare(recipe: ProductRun) -> str:
    """Stages 0 to 3."""
    recipe.run("prepare", recipe.call_stages(0, 3))
    return "stages 0 to 3"


def kill_training(recipe: ProductRun) -> str:
    """Stage 4, ended by SIGKILL some seconds after its first checkpoint."""
    process, log = recipe.start("killed", recipe.call_stages(4, 4))
    checkpoint = recipe.locate_experiment() / "checkpoints" / "last.ckpt"
    recipe.wait_for(process, checkpoint.is_file, log)
    _wait_while_running(recipe, process, log)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    (line,) = re.findall(r"training runs .*", log.read_text(errors="replace"))[-1:] or [""]
    return f"killed in the middle; {line}"


def _wait_while_running(recipe: ProductRun, process: subprocess.Popen, log: Path) -> None:
    until = time.monotonic() + (1.0 if recipe.tiny else TRAINED_S)
    recipe.wait_for(process, lambda: time.monotonic() > until, log)


def stop_training(recipe: ProductRun) -> str:
    """Stage 4 goes on after the last checkpoint, and SIGTERM makes it write another."""
    process, log = recipe.start("stopped", recipe.call_stages(4, 4))
    recipe.wait_for(process, lambda: "going on after step" in log.read_text(errors="replace"), log)
    _wait_while_running(recipe, process, log)
    process.send_signal(signal.SIGTERM)
    until = time.monotonic() + STOPPING_S
    while process.poll() is None and time.monotonic() < until:
        time.sleep(POLL_S)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        raise StepFailed(f"did not stop within {STOPPING_S:.0f} s of SIGTERM")
    text = log.read_text(errors="replace")
    if process.returncode != SIGTERM_CODE:
        raise StepFailed(f"exit code {process.returncode}: {cut_end(text)}")
    return f"went on after step {find_number(GOING_ON, text)}, stopped after step " + str(
        find_number(STOPPED, text)
    )


def finish_training(recipe: ProductRun) -> str:
    """Stage 4 goes on where SIGTERM stopped it, to its end."""
    stopped = find_number(STOPPED, (recipe.work / "logs" / "stopped.txt").read_text())
    text = recipe.run("finished", recipe.call_stages(4, 4))
    if (step := find_number(GOING_ON, text)) != stopped:
        raise StepFailed(f"went on after step {step}, not {stopped}")
    return f"went on after step {step}; {_describe_training(recipe, 'default')}"


def _describe_training(recipe: ProductRun, tag: str) -> str:
    row = read_rows(recipe.locate_experiment(tag) / "curves.csv")[-1]
    names = ("step", "train_loss", "dev_si_sdri", "audio_s_per_s", "validation_s", "memory_mb")
    return ", ".join(f"{name} {row[name]}" for name in names if name in row)


def evaluate(recipe: ProductRun) -> str:
    """Stages 5 and 6."""
    recipe.run("evaluated", recipe.call_stages(5, 6))
    results = (recipe.locate_experiment() / "RESULTS.md").read_text()
    return " ".join(re.findall(r"^\| .* \| model \| .*", results, re.MULTILINE)[:1]) or "RESULTS.md"


def compare_devices(recipe: ProductRun) -> str:
    """``compare`` on the device and on the CPU gives equal scores."""
    scores = {device: _compare(recipe, device) for device in dict.fromkeys([recipe.device, "cpu"])}
    first, *others = scores.values()
    worst = max([0.0, *(abs(first[name] - other[name]) for other in others for name in first)])
    if worst > EQUAL_DB:
        raise StepFailed(f"SI-SDR differs by up to {worst:.4f} dB")
    return f"{len(first)} mixtures, SI-SDR differs by {worst:.5f} dB at most"


def choose_model(recipe: ProductRun) -> str:
    """What the recipe trained; the shipped model where it trained none."""
    folder = recipe.locate_experiment()
    return str(folder) if (folder / "best_model.pth").is_file() else "shipped"


def _compare(recipe: ProductRun, device: str) -> dict[str, float]:
    """SI-SDR by mixture."""
    table = next((recipe.work / "data" / "folder").rglob("metadata/test.csv"))
    out = recipe.work / f"compare_{device}"
    words = ["compare", "--models", choose_model(recipe), "--test-sets", table]
    words += ["--corpus", f"speech={recipe.speech}", "--limit", 20, "--metrics", "si_sdr"]
    words += ["--out", out, "--nj", recipe.n_jobs, "--device", device]
    recipe.run(f"compare_{device}", recipe.call_command(*words))
    (path,) = (path for path in out.rglob("*.csv") if path.stem not in REFERENCES)
    rows = read_rows(path)
    if failed := [row["mixture_ID"] for row in rows if not row["si_sdr"]]:
        raise StepFailed(f"{path} on {device}: no score of {', '.join(failed)}")
    return {row["mixture_ID"]: float(row["si_sdr"]) for row in rows}


def separate_recording(recipe: ProductRun) -> str:
    """``separate`` on a recording of a minute, and its time without the start of Python."""
    recording = recipe.work / "recording.wav"
    mix_recordings(recipe.speech, recording, 3 if recipe.tiny else RECORDING_S)
    model = choose_model(recipe)
    words = ["separate", recording, "--model", model, "--out", recipe.work / "separated"]
    recipe.run("separate", recipe.call_command(*words, "--device", recipe.device))
    voices = len(list((recipe.work / "separated").glob("*.wav")))
    samples, rate = soundfile.read(recording, dtype="float32")
    loaded = open_model(model, device=recipe.device)
    separate(samples, rate, loaded)
    began = time.perf_counter()
    separate(samples, rate, loaded)
    taken_s = time.perf_counter() - began
    factor = taken_s * rate / len(samples)
    speed = f"{len(samples) / rate:.0f} s in {taken_s:.3f} s, real-time factor {factor:.5f}"
    return f"{voices} voices; {speed}"


def overfit(recipe: ProductRun) -> str:
    """``overfit`` for some seconds; that it does not get there in them is no failure."""
    options = recipe.list_options("overfit", {"training.compile": "off"})
    command = recipe.call_command("overfit", "--minutes", 0.05, "--n", 4, *options)
    text = recipe.run("overfit", command, codes=(0, 1))
    (verdict,) = re.findall(r"^overfit .*", text, re.MULTILINE)[-1:] or [""]
    if not verdict:
        raise StepFailed(cut_end(text))
    return verdict


def train_variant(recipe: ProductRun, name: str, sets: dict[str, object]) -> str:
    """A short training under a tag of its own; what its log says of its form."""
    keys = {"training.budget_min": 0.02 if recipe.tiny else 0.1, **sets}
    options = recipe.list_options(name, keys)
    text = recipe.run(name, recipe.call_command("train", *options))
    said = re.findall(r"(training runs .*|\d+ of \d+ mixtures fit .*|.*no CUDA graphs.*)", text)
    return "; ".join([*dict.fromkeys(said), _describe_training(recipe, name)])


def train_fp32(recipe: ProductRun) -> str:
    """In float32."""
    return train_variant(recipe, "fp32", {"training.precision": "fp32"})


def train_with_graphs(recipe: ProductRun) -> str:
    """With CUDA graphs."""
    graphs = recipe.device == "cuda"  # they need a compiled model, which a trial on a CPU has not
    return train_variant(recipe, "graphs", {"training.cuda_graphs": str(graphs).lower()})


def train_in_pieces(recipe: ProductRun) -> str:
    """A batch that does not fit at once: pieces are tried. Eager, which takes the most memory."""
    sets: dict[str, object] = {"training.compile": "off"}
    if not recipe.tiny:
        sets |= {f"model.{key}": value for key, value in LARGE.items()}
        sets |= {"training.batch_size": 96, "training.segment_s": 4.0}
        sets |= {"training.epoch_mixtures": 960, "training.dev_mixtures": 10}
    return train_variant(recipe, "pieces", sets)


STEPS: dict[str, Callable[[ProductRun], str]] = {
    "prepare": prepare,
    "kill": kill_training,
    "stop": stop_training,
    "finish": finish_training,
    "evaluate": evaluate,
    "compare": compare_devices,
    "separate": separate_recording,
    "graphs": train_with_graphs,
    "fp32": train_fp32,
    "overfit": overfit,
    "pieces": train_in_pieces,
}
ALONE_BEFORE, ALONE_AFTER = ("prepare",), ("pieces",)  # the latter fills the device's memory
BESIDE = ("graphs", "fp32", "overfit")  # the rest, so that compiling costs its time once


def run_step(recipe: ProductRun, name: str) -> bool:
    """Run one step and print its line; whether it did what it should."""
    began = time.monotonic()
    try:
        if began + LEAST_S > recipe.deadline:
            raise StepFailed("no time left")
        text, good = STEPS[name](recipe), True
    except Exception as error:  # one step that fails, for whatever reason, costs no other
        plain = isinstance(error, StepFailed)
        text, good = str(error) if plain else f"{type(error).__name__}: {error}", False
    print(
        f"{'ok' if good else 'FAILED':6s} {name:9s} {time.monotonic() - began:5.1f} s  {text}",
        flush=True,
    )
    return good


def run_steps(recipe: ProductRun, names: list[str]) -> bool:
    """Run the steps, two at a time where they do not mind; whether all are good."""

    def run_chain(chain: list[str]) -> list[bool]:
        return [run_step(recipe, name) for name in chain]

    before = [name for name in names if name in ALONE_BEFORE]
    beside = [name for name in names if name in BESIDE]
    after = [name for name in names if name in ALONE_AFTER]
    main = [name for name in names if name not in (*before, *beside, *after)]
    good = run_chain(before)
    with ThreadPoolExecutor(2) as pool:
        for results in pool.map(run_chain, [main, beside]):
            good += results
    return all(good + run_chain(after))


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    add = parser.add_argument
    add("speech", type=Path, nargs="?", metavar="SPEECH", help="a folder of speech; none: --tiny")
    add("--work", type=Path, required=True, metavar="DIR", help="of data, experiments and logs")
    add("--minutes", type=float, default=4.5, help="of the whole call")
    add("--device", choices=("cpu", "cuda"), help="(CUDA where there is one)")
    add("--only", default=",".join(STEPS), metavar="NAME,...", help="steps (all)")
    add("--nj", type=int, default=os.cpu_count(), metavar="N", help="processes (all cores)")
    add("--tiny", action="store_true", help="made-up voices, toy sizes")
    args = parser.parse_args(arguments)
    if unknown := [name for name in args.only.split(",") if name not in STEPS]:
        parser.error(f"--only {unknown[0]}: there are {', '.join(STEPS)}")
    if not args.tiny and (args.speech is None or not args.speech.is_dir()):
        parser.error(f"SPEECH {args.speech}: no such folder; give one, or --tiny")
    return args


def main(arguments: list[str] | None = None) -> int:
    """Exit code 1: a step failed."""
    args = parse_arguments(arguments)
    speech = args.work / "voices" if args.tiny else args.speech
    if args.tiny and not speech.is_dir():
        write_voices(speech, 24, 4, 1.5, 8000)
    recipe = ProductRun(
        speech=speech.resolve(),
        work=args.work.resolve(),
        device=args.device or ("cuda" if torch.cuda.is_available() else "cpu"),
        n_jobs=args.nj,
        deadline=time.monotonic() + 60 * args.minutes,
        tiny=args.tiny,
    )
    return 0 if run_steps(recipe, args.only.split(",")) else 1


if __name__ == "__main__":
    sys.exit(main())
