"""Many independent jobs over processes: in order, in bounded memory, resumed by a journal."""

import collections
import contextlib
import ctypes
import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from separation.files import write_text

WINDOW_PER_PROCESS = 4
PR_SET_PDEATHSIG = 1  # linux/prctl.h
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
KEPT_BYTES = 1 << 30


def keep_freed_memory() -> None:
    """Make glibc reuse the memory of large arrays: mapping it anew costs more than mixing does.

    Elsewhere than in glibc nothing happens.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, KEPT_BYTES)
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)


def _prepare_worker() -> None:
    """End with the parent, which a worker would otherwise wait for for ever; one thread each."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    keep_freed_memory()
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)  # as many processes as cores: threads within them only cost


def run_jobs(
    function: Callable[[Any], Any],
    jobs: Iterable[Any],
    n_jobs: int,
    *,
    total: int,
    label: str,
    unit: str,
    chunk: int = 1,
) -> Iterator[Any]:
    """Yield ``function(job)`` for every job, in order, with a progress bar on stderr.

    At most a few jobs a process are under way, so ``jobs`` may be a generator of large
    things. With ``n_jobs`` of 1 everything happens in this process.

    Args:
        function: a module-level function.
        total: number of jobs, for the bar.
        chunk: jobs handed to a process at a time; more than 1 where a job takes
            less than a few milliseconds.
    """
    from tqdm import tqdm  # a tenth of what `--help` may take

    bar = tqdm(total=total, desc=label, unit=unit, disable=total == 0)
    with bar:
        if n_jobs <= 1 or total <= 1:
            for job in jobs:
                yield function(job)
                bar.update()
            return
        for results in _map_bounded(function, _cut_chunks(jobs, chunk), n_jobs):
            yield from results
            bar.update(len(results))


def _cut_chunks(jobs: Iterable[Any], size: int) -> Iterator[list[Any]]:
    chunk: list[Any] = []
    for job in jobs:
        chunk.append(job)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _map_bounded(
    function: Callable[[Any], Any], chunks: Iterator[list[Any]], n_jobs: int
) -> Iterator[list[Any]]:
    """``Executor.map`` would read all of ``chunks`` at once, however large they are."""
    context = multiprocessing.get_context("fork" if hasattr(os, "fork") else "spawn")
    pool = ProcessPoolExecutor(n_jobs, context, initializer=_prepare_worker)
    waiting: collections.deque = collections.deque()
    try:
        for chunk in chunks:
            waiting.append(pool.submit(_run_chunk, function, chunk))
            if len(waiting) >= WINDOW_PER_PROCESS * n_jobs:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _run_chunk(function: Callable[[Any], Any], chunk: list[Any]) -> list[Any]:
    return [function(job) for job in chunk]


class Journal:
    """Results of finished jobs, one JSON line each, so that a killed run goes on.

    The first line holds the key of what the results depend on; a journal of another key is
    begun anew. A line that is no JSON, such as a half-written last one, is dropped.
    """

    def __init__(self, path: Path, key: str) -> None:
        self.path = path
        self.done: dict[str, Any] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        lines = text.splitlines(True)
        head = json.dumps({"key": key}) + "\n"
        kept = []
        for line in lines[1:] if lines[:1] == [head] else []:
            with contextlib.suppress(ValueError):  # cut off, or spoilt by a power cut
                name, result = json.loads(line)
                self.done[name] = result
                kept.append(line)
        write_text(path, head + "".join(kept))
        self._handle = open(path, "a", encoding="utf-8")  # noqa: SIM115 closed by close()

    def add(self, name: str, result: Any) -> None:
        """Keep one result."""
        self.done[name] = result
        self._handle.write(json.dumps([name, result]) + "\n")
        self._handle.flush()

    def close(self) -> None:
        self._handle.close()

    def remove(self) -> None:
        """The results are safe elsewhere."""
        self.close()
        self.path.unlink(missing_ok=True)


def spread_evenly(n_all: int, n_chosen: int) -> list[int]:
    """At most ``n_chosen`` of ``range(n_all)``, evenly spaced, the first among them.

    >>> spread_evenly(10, 3)
    [0, 3, 6]
    """
    n_chosen = min(n_all, n_chosen)
    return [number * n_all // n_chosen for number in range(n_chosen)]
