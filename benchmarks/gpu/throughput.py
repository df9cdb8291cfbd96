"""Throughput of training: stock Asteroid and ours, side by side in one process.

    .venv/bin/python -m benchmarks.gpu.throughput [--out DIR] [--minutes M] [--only NAME,...]
    .venv/bin/python -m benchmarks.gpu.throughput --smoke
    .venv/bin/python -m benchmarks.gpu.throughput --table FILE.json

Writes ``throughput_<device>.json`` after every case, whole or not at all. A case that fails is
recorded with its message; one that no longer fits the minutes is named. ``--resume`` keeps the
finished cases of an earlier file of the same device and goes on with the others.
See benchmarks/gpu/README.md.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu.cases import Bench, Case, NotHereError, list_cases
from benchmarks.gpu.settings import FULL, SMOKE
from benchmarks.gpu.timing import describe_device, reset_memory
from separation.device import choose_device
from separation.errors import MissingInputError, UserError
from separation.files import read_json, write_json
from separation.jobs import keep_freed_memory

MESSAGE_LENGTH = 300
CONFIGS = ("best", "small", "sepreformer")


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    add = parser.add_argument
    add("--out", type=Path, default=Path("benchmarks/gpu/results"), metavar="DIR")
    add("--minutes", type=float, default=8.5, help="of the whole call")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto")
    add("--only", default="", metavar="NAME,...", help="cases, or how they begin; in order")
    add("--compile-first", action="store_true", help="all models at once, before the first case")
    add("--resume", type=Path, metavar="FILE", help="an earlier result to complete")
    add("--smoke", action="store_true", help="every case at toy size, on the CPU")
    add("--table", type=Path, metavar="FILE", help="print a result as Markdown, and stop")
    return parser.parse_args(arguments)


def run_cases(
    bench: Bench, cases: list[Case], path: Path, deadline: float, *, compiled: bool = False
) -> dict[str, Any]:
    """Run what fits before ``deadline`` (of time.monotonic); write the result after every case.

    Where all code is ``compiled`` already, a case takes less.
    """
    device, smoke = describe_device(bench.device), bench.settings.smoke
    result = {"device": device, "smoke": smoke, "cases": bench.done}
    for case in cases:
        if bench.done.get(case.name, {}).get("status") == "ok":
            continue
        about_s = 0.0 if smoke else case.about_s + (0.0 if compiled else case.compile_s)
        if time.monotonic() + about_s > deadline:
            bench.done[case.name] = {"status": "dropped", "why": "no time left in --minutes"}
        else:
            bench.done[case.name] = _run_case(bench, case)
        print(f"{case.name}: {_summarise(bench.done[case.name])}", flush=True)
        write_json(path, result)
    return result


def _run_case(bench: Bench, case: Case) -> dict[str, Any]:
    began = time.monotonic()
    try:
        reset_memory()
        found = {"status": "ok"} | case.measure(bench)
    except NotHereError as error:
        return {"status": "skipped", "why": str(error)}
    except Exception as error:  # one case that fails, for whatever reason, costs no other
        traceback.print_exc(limit=-4)
        text = " ".join(str(error).split())[:MESSAGE_LENGTH]
        return {"status": "failed", "why": f"{type(error).__name__}: {text}"}
    return found | {"took_s": round(time.monotonic() - began, 1)}


def _summarise(found: dict[str, Any]) -> str:
    if found["status"] != "ok":
        return f"{found['status']}: {found['why']}"
    figures = [f"{name} {value:,.2f}" for name, value in found.items() if isinstance(value, float)]
    return ", ".join(figures)


def choose_cases(cases: list[Case], only: str) -> list[Case]:
    """Those that ``only`` names, in its order: by whole name, or all whose names begin so.

    Raises:
        UserError: a name that none has or begins with.
    """
    if not only:
        return cases
    chosen: dict[str, Case] = {}
    for word in only.split(","):
        by_word = [case for case in cases if case.name == word]
        by_word = by_word or [case for case in cases if case.name.startswith(word)]
        if not by_word or not word:
            names = ", ".join(case.name for case in cases)
            raise UserError(f"--only {only}: no case begins so: {word!r}; there are {names}.")
        chosen |= {case.name: case for case in by_word}
    return list(chosen.values())


def compile_first(names: list[str], args: argparse.Namespace, deadline: float) -> None:
    """Compile what these cases need, all at once, by running each in a process of its own.

    One after the other a large GPU waits a minute for each; their results are thrown away.
    """
    cores = len(os.sched_getaffinity(0))
    threads = str(max(1, cores // max(1, len(names))))
    words = [sys.executable, "-m", "benchmarks.gpu.throughput", "--device", args.device]
    words += ["--minutes", str((deadline - time.monotonic()) / 60)]
    words += ["--smoke"] if args.smoke else []
    environment = os.environ | {"TORCHINDUCTOR_COMPILE_THREADS": threads}
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="compiled_") as folder:
        processes = [
            subprocess.Popen(
                [*words, "--only", name, "--out", f"{folder}/{name}"],
                env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )
            for name in names
        ]  # fmt: skip
        codes = [_wait_until(process, deadline) for process in processes]
    seconds = time.monotonic() - began
    print(f"compiled ahead: {len(names)} cases, {seconds:.0f} s, exit codes {codes}", flush=True)


def _wait_until(process: subprocess.Popen, deadline: float) -> int:
    try:
        return process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def name_result(device: torch.device, smoke: bool) -> str:
    """File name of a result, such as ``throughput_nvidia_h100_80gb_hbm3.json``."""
    plain = re.sub(r"[^a-z0-9]+", "_", describe_device(device)["name"].lower()).strip("_")
    return f"throughput_{plain}_smoke.json" if smoke else f"throughput_{plain}.json"


def _read_earlier(path: Path, device: torch.device) -> dict[str, Any]:
    earlier = _read_result(path, "--resume")
    here = describe_device(device)["name"]
    if earlier["device"]["name"] != here:
        raise UserError(
            f"--resume {path}: was measured on {earlier['device']['name']}, this is {here}; start "
            "a result of its own."
        )
    return earlier["cases"]


def _read_result(path: Path, option: str) -> dict[str, Any]:
    result = read_json(path)
    if result is None:
        raise MissingInputError(f"{option} {path}: no such result; check the path.")
    return result


def format_table(result: dict[str, Any]) -> str:
    """The steps of a result as Markdown, and what was not measured; the rest is in the file."""
    device, cases = result["device"], result["cases"]
    toy = ", **toy sizes (--smoke): no measurement**" if result["smoke"] else ""
    head = [f"{device['name']}, torch {device['torch']}, commit {device['commit']}{toy}", ""]
    names = ["case", "batch", "ms a step", "host ms", "audio s/s", "times stock", "peak", "floor"]
    head += ["| " + " | ".join(names) + " |", "|---" * len(names) + "|"]
    done = {name: case for name, case in cases.items() if case["status"] == "ok"}
    rows = [_format_row(name, done) for name, case in done.items() if "audio_s_per_s" in case]
    missing = [f"- {name}: {cases[name]['status']}, {cases[name]['why']}" for name in cases
               if name not in done]  # fmt: skip
    return "\n".join(head + rows + (["", "Not measured:", *missing] if missing else []))


def _format_row(name: str, done: dict[str, Any]) -> str:
    """A step's figures; ``(eager)`` where the compiler did not work, which is no fair figure."""
    case, ms = done[name], done[name]["ms"]
    conf = next((conf for conf in CONFIGS if f"_{conf}" in name), "")
    base = done.get(f"stock_{conf}") or done.get(f"plain_{conf}")
    is_eager = name.startswith("ours") and not case.get("compiled_graphs", 1)
    cells = [
        f"{name} (eager)" if is_eager else name,
        str(case["batch"]),
        f"{ms['median']:.2f} [{ms['low']:.2f}, {ms['high']:.2f}]",
        f"{case['host_ms']:.2f}" if "host_ms" in case else "–",
        f"{case['audio_s_per_s']:,.0f}",
        f"{case['audio_s_per_s'] / base['audio_s_per_s']:.2f}" if base else "–",
        f"{case['peak_gib']:.1f} GiB" if case.get("peak_gib") is not None else "–",
        f"{case['floor_share']:.0%}" if "floor_share" in case else "–",
    ]
    return "| " + " | ".join(cells) + " |"


def _measure(args: argparse.Namespace, deadline: float) -> None:
    device = choose_device("cpu" if args.smoke and args.device == "auto" else args.device)
    done = _read_earlier(args.resume, device) if args.resume else {}
    cases = choose_cases(list(list_cases()), args.only)
    path = args.out / name_result(device, args.smoke)
    settings = SMOKE if args.smoke else FULL
    bench = Bench(settings=settings, device=device, out=args.out, done=done)
    keep_freed_memory()
    if args.compile_first:
        compile_first([case.name for case in cases if case.compile_s], args, deadline)
    result = run_cases(bench, cases, path, deadline, compiled=args.compile_first)
    print(f"\n{format_table(result)}\n\n{path}")


def main(arguments: list[str] | None = None) -> int:
    """Parse, measure or print; a user's mistake is one sentence and exit code 2."""
    args = parse_arguments(arguments)
    deadline = time.monotonic() + 60 * args.minutes
    try:
        if args.table is not None:
            print(format_table(_read_result(args.table, "--table")))
        else:
            _measure(args, deadline)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
