"""A Dask scheduler and workers on the loopback interface, each a process that can be killed.

Run as a module, it imports Dask once, before there are threads, and forks them; they end with it.
"""

import asyncio
import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from separation.environment import ROOT
from separation.errors import UserError

HOST = "127.0.0.1"
PLACE: dict[str, Any] = {"host": HOST, "dashboard": False, "dashboard_address": f"{HOST}:0"}
PRELOADED = (
    "distributed",
    "separation.cluster",
    "separation.corpora.pack",
    "separation.evaluation.runner",
    "separation.wav_trees.tree",
    "tests.support.dask_cluster",
)


def work(number: int, log: Path) -> float:
    """A job that says where it ran."""
    with open(log, "a", encoding="utf-8") as handle:
        handle.write(f"{number} {os.getpid()}\n")
    time.sleep(0.02)
    return number / 7


def fail(number: int) -> None:
    """A job with a user's mistake in it."""
    raise UserError(f"{number} is broken")


@dataclass
class SmallCluster:
    """One that runs.

    Attributes:
        address: of the scheduler.
        workers: the numbers of their processes.
    """

    address: str
    workers: list[int]

    def kill(self, number: int) -> None:
        """``kill -9`` of a worker."""
        os.kill(number, signal.SIGKILL)


@contextlib.contextmanager
def run_cluster(n_workers: int) -> Iterator[SmallCluster]:
    """A scheduler and workers of one thread each; all end with the block."""
    command = [sys.executable, "-m", "tests.support.dask_cluster", str(n_workers)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, cwd=ROOT, text=True, **pipes) as process:
        assert process.stdin and process.stdout
        yield SmallCluster(**json.loads(process.stdout.readline()))
        process.stdin.close()  # which it waits for


def _fork(serve: Any, *arguments: Any) -> tuple[int, str]:
    """A process that runs a coroutine with a pipe to write its address into."""
    reader, writer = os.pipe()
    number = os.fork()
    if not number:
        os.close(reader)
        asyncio.run(serve(writer, *arguments))
        os._exit(0)
    os.close(writer)
    with open(reader) as handle:
        return number, handle.readline().strip()


async def _serve_scheduler(writer: int) -> None:
    from distributed import Scheduler

    async with Scheduler(port=0, **PLACE) as scheduler:
        os.write(writer, f"{scheduler.address}\n".encode())
        await scheduler.finished()


async def _serve_worker(writer: int, address: str) -> None:
    from distributed import Worker

    async with Worker(address, nthreads=1, **PLACE) as worker:
        os.write(writer, f"{worker.address}\n".encode())
        await worker.finished()


def main() -> None:
    """Fork them, say where they are, and end them once stdin is closed."""
    for name in PRELOADED:
        importlib.import_module(name)

    scheduler, address = _fork(_serve_scheduler)
    workers = [_fork(_serve_worker, address)[0] for _ in range(int(sys.argv[1]))]
    print(json.dumps({"address": address, "workers": workers}), flush=True)
    sys.stdin.read()
    for number in (*workers, scheduler):
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
        os.waitpid(number, 0)


if __name__ == "__main__":
    main()
