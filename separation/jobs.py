"""Many independent jobs over processes: in order, in bounded memory, resumed by a journal.

The processes are this machine's, or a Dask cluster's (:mod:`separation.cluster`).
"""

import collections
import contextlib
import ctypes
import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

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


def prepare_worker() -> None:
    """End with the parent, which a worker would otherwise wait for for ever."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    limit_process()


def limit_process() -> None:
    """One thread, and memory that is kept: for a process that others work beside."""
    keep_freed_memory()
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)  # as many processes as cores: threads within them only cost


class Workers(Protocol):
    """What runs jobs in place of this process: its own processes, or those of a Dask cluster."""

    def count(self) -> int:
        """Jobs that run at a time."""
        ...

    def submit(self, function: Callable[[Any], Any], chunk: list[Any]) -> Future:
        """Begin a few jobs."""
        ...

    def collect(self, future: Future) -> list[Any]:
        """Results of what was submitted, waited for.

        Raises:
            BrokenExecutor: a process that had a part in it died, or several in turn did.
        """
        ...


class LocalProcesses:
    """Processes of this machine, which end with this one."""

    def __init__(self, n_jobs: int) -> None:
        context = multiprocessing.get_context("fork" if hasattr(os, "fork") else "spawn")
        self._n_jobs = n_jobs
        self._pool = ProcessPoolExecutor(n_jobs, context, initializer=prepare_worker)

    def count(self) -> int:
        return self._n_jobs

    def submit(self, function: Callable[[Any], Any], chunk: list[Any]) -> Future:
        return self._pool.submit(run_chunk, function, chunk)

    def collect(self, future: Future) -> list[Any]:
        return future.result()

    def close(self) -> None:
        """Jobs that did not begin never do."""
        self._pool.shutdown(wait=True, cancel_futures=True)


_cluster: ContextVar[Workers | None] = ContextVar("cluster", default=None)


@contextlib.contextmanager
def use_workers(workers: Workers) -> Iterator[None]:
    """Inside, :func:`run_jobs` hands jobs to these workers, whatever ``n_jobs`` says."""
    before = _cluster.set(workers)
    try:
        yield
    finally:
        _cluster.reset(before)


_inherited: dict[int, Any] = {}


@dataclass(frozen=True)
class Inherited:
    """What :func:`inherit` was given, by the place where every process finds it."""

    place: int

    def get(self) -> Any:
        return _inherited[self.place]


@contextlib.contextmanager
def inherit(value: Any) -> Iterator[Inherited]:
    """Inside, processes that are forked have ``value``, however large: it is never pickled.

    Only where :func:`can_inherit` says so do jobs that hold the :class:`Inherited` find it.
    """
    place = max(_inherited, default=-1) + 1
    _inherited[place] = value
    try:
        yield Inherited(place)
    finally:
        del _inherited[place]


def can_inherit() -> bool:
    """Whether the processes of :func:`run_jobs` are forked from this one and may multiply matrices.

    Those of a cluster are elsewhere; on macOS the fork of a process that has multiplied matrices
    may die of doing so.
    """
    return sys.platform == "linux" and _cluster.get() is None


def stay_here(n_jobs: int, total: int) -> bool:
    """Whether :func:`run_jobs` would run so many jobs in this very process."""
    return total <= 1 or (n_jobs <= 1 and _cluster.get() is None)


def count_workers(n_jobs: int) -> int:
    """Jobs that :func:`run_jobs` would run at a time."""
    cluster = _cluster.get()
    return n_jobs if cluster is None else cluster.count()


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
    things. With ``n_jobs`` of 1 everything happens in this process. Inside :func:`use_workers`
    the jobs go to a cluster.

    Args:
        function: a module-level function.
        n_jobs: processes.
        total: number of jobs, for the bar.
        chunk: jobs handed to a process at a time; more than 1 where a job takes
            less than a few milliseconds.
    """
    if stay_here(n_jobs, total):
        yield from run_jobs_here(function, jobs, total=total, label=label, unit=unit)
        return
    with open_bar(total, label, unit) as bar:
        for results in _map_bounded(function, _cut_chunks(jobs, chunk), n_jobs):
            yield from results
            bar.update(len(results))


def run_jobs_here(
    function: Callable[[Any], Any], jobs: Iterable[Any], *, total: int, label: str, unit: str
) -> Iterator[Any]:
    """The same in this process, which has what the jobs need: a model, a device."""
    with open_bar(total, label, unit) as bar:
        for job in jobs:
            yield function(job)
            bar.update()


def open_bar(total: int, label: str, unit: str) -> Any:
    """A progress bar on stderr; none where there is nothing to do."""
    from tqdm import tqdm  # a tenth of what `--help` may take

    return tqdm(total=total, desc=label, unit=unit, disable=total == 0)


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
    waiting: collections.deque[Future] = collections.deque()
    with _open_workers(n_jobs) as workers:
        try:
            for chunk in chunks:
                waiting.append(workers.submit(function, chunk))
                if len(waiting) >= WINDOW_PER_PROCESS * workers.count():
                    yield workers.collect(waiting.popleft())
            while waiting:
                yield workers.collect(waiting.popleft())
        finally:
            for future in waiting:
                future.cancel()


@contextlib.contextmanager
def _open_workers(n_jobs: int) -> Iterator[Workers]:
    """Those of the cluster, which stay; or processes of their own."""
    cluster = _cluster.get()
    if cluster is not None:
        yield cluster
        return
    processes = LocalProcesses(n_jobs)
    try:
        yield processes
    finally:
        processes.close()


def run_chunk(function: Callable[[Any], Any], chunk: list[Any]) -> list[Any]:
    """The results of a few jobs."""
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
