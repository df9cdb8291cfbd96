"""Jobs over the workers of a Dask cluster, in place of processes of this machine.

Dask brings the scheduler, the workers, the transport and what happens when a worker dies
(https://distributed.dask.org); here is what a run needs besides: workers that run the same code,
see the same folders, and a sentence where they do not. Dask is imported only where it is used.

A scheduler runs whatever it is sent, as the user who started it: an address that other people
reach must be encrypted (docs/cluster.md).
"""

import contextlib
import dataclasses
import functools
import hashlib
import ipaddress
import logging
import os
import secrets
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from separation.environment import ROOT, find_version
from separation.errors import UserError
from separation.jobs import limit_process, run_chunk, use_workers
from separation.options import Cluster
from separation.text import explain_briefly

if TYPE_CHECKING:
    from distributed import Client
    from distributed.cfexecutor import ClientExecutor

logger = logging.getLogger(__name__)

CONNECT_S = 15  # for an answer of the scheduler
WORKERS_S = 60  # for the first worker of a scheduler that others started
POLL_S = 5.0
DOCS = "see docs/cluster.md"
# What results depend on; a worker with other versions of these could give other bits.
PACKAGES = ("numpy", "scipy", "soundfile", "miniaudio", "pyloudnorm", "g722", "pystoi", "pesq")


@contextlib.contextmanager
def use_cluster(
    cluster: Cluster, written: Sequence[Path], read: Sequence[Path] = ()
) -> Iterator[None]:
    """Inside, :func:`separation.jobs.run_jobs` hands jobs to the cluster's workers.

    Nothing happens where there is no cluster.

    Args:
        written: folders that jobs write into or read what was written: made if absent.
        read: folders of inputs.

    Raises:
        UserError: Dask is not installed, the scheduler is not reached or not safe, or a worker
            runs other code or does not see the folders.
    """
    if cluster.is_local:
        yield
        return
    with _open_client(cluster) as client, _leave_tokens([*written]) as tokens:
        folders = tuple(str(folder) for folder in (Path.cwd(), *read) if folder.is_dir())
        site = describe_site(folders, tokens)
        _wait_for_workers(client, cluster)
        _check_workers(client, site)
        workers = DaskWorkers(client, site, cluster.scheduler or "SLURM")
        logger.info("%d Dask workers of %s", workers.count(), workers.name)
        with use_workers(workers):
            yield


def check_cluster(cluster: Cluster, written: Sequence[Path]) -> None:
    """What :func:`use_cluster` would refuse, before the first of several steps; SLURM is not asked.

    Raises:
        UserError: as there.
    """
    if cluster.slurm:
        _import_slurm(cluster.slurm)
        return
    with use_cluster(cluster, written):
        pass


@dataclass(frozen=True, kw_only=True)
class Site:
    """What a worker must have in common with the process that asks.

    Attributes:
        python: its version, as 3.11.
        sources: hash of the package's files.
        versions: of packages that results depend on.
        directory: in which relative paths begin.
        folders: that it must see.
        tokens: files that it must find, and what they hold: the very same folder.
    """

    python: str
    sources: str
    versions: tuple[tuple[str, str], ...]
    directory: str
    folders: tuple[str, ...]
    tokens: tuple[tuple[str, str], ...]


def describe_site(folders: tuple[str, ...], tokens: tuple[tuple[str, str], ...]) -> Site:
    """This process's."""
    return Site(
        python=".".join(map(str, sys.version_info[:2])),
        sources=hash_sources(),
        versions=tuple((name, find_version(name)) for name in PACKAGES),
        directory=str(Path.cwd()),
        folders=folders,
        tokens=tokens,
    )


def site_without_folders(site: Site) -> Site:
    """The same code anywhere."""
    return dataclasses.replace(site, folders=(), tokens=())


@functools.cache
def hash_sources() -> str:
    """Hash of the code that jobs run: of every commit, and every change that is in none."""
    digest = hashlib.sha256()
    for package in ("separation", "local"):
        for path in sorted((ROOT / package).rglob("*.py")):
            digest.update(f"{path.relative_to(ROOT)}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


@functools.lru_cache(maxsize=16)
def explain_mismatch(site: Site) -> str:
    """In a worker: in what it differs from the process that asks; empty: in nothing."""
    own = describe_site((), ())
    if own.python != site.python:
        return f"runs Python {own.python} in place of {site.python}; start it with the same one"
    if own.sources != site.sources:
        return (
            f"runs another version of separation (sources {own.sources} in place of "
            f"{site.sources}); start it from the same checkout, and again after a change"
        )
    for (name, version), (_, wanted) in zip(own.versions, site.versions, strict=True):
        if version != wanted:
            return f"has {name} {version or 'not'} in place of {wanted or 'none'}; install the same"
    for folder in site.folders:
        if not Path(folder).is_dir():
            return f"does not see {folder}; it must lie on a disk that all workers share"
    for text, token in site.tokens:
        path = Path(text)
        if not path.is_file() or path.read_text(encoding="utf-8") != token:
            return f"does not see {path.parent}; it must lie on a disk that all workers share"
        if not os.access(path.parent, os.W_OK):
            return f"may not write into {path.parent}; start it as the same user"
    return ""


@functools.lru_cache(maxsize=1)
def _prepare_once() -> None:
    limit_process()


def run_checked(site: Site, function: Callable[[Any], Any], chunk: list[Any]) -> list[Any]:
    """In a worker: results of a few jobs, where it may do them.

    Raises:
        UserError: it came later than the others, and differs.
    """
    if fault := explain_mismatch(site):
        raise UserError(f"a worker on {socket.gethostname()} {fault}.")
    _prepare_once()
    with contextlib.chdir(site.directory):
        return run_chunk(function, chunk)


@dataclass
class DaskWorkers:
    """The workers of a cluster as :class:`separation.jobs.Workers`, through Dask's executor.

    Attributes:
        client: connected.
        site: what every worker must have.
        name: of the cluster, for messages.
    """

    client: "Client"
    site: Site
    name: str
    _executor: "ClientExecutor" = field(init=False)
    _counted: float = -float("inf")
    _count: int = 1
    _is_waiting: bool = False

    def __post_init__(self) -> None:
        self._executor = self.client.get_executor(pure=False)

    def count(self) -> int:
        """Workers, each of one thread; asked anew every few seconds, since they come and go."""
        now = time.monotonic()
        if now - self._counted > POLL_S:
            with self._explain_loss():
                self._count = max(1, len(self.client.nthreads()))
            self._counted = now
        return self._count

    def submit(self, function: Callable[[Any], Any], chunk: list[Any]) -> Future:
        with self._explain_loss():
            return self._executor.submit(run_checked, self.site, function, chunk)

    def collect(self, future: Future) -> list[Any]:
        from distributed import KilledWorker

        while True:
            try:
                with self._explain_loss():
                    return future.result(POLL_S)
            except TimeoutError:
                if future.done():  # of the job itself
                    raise
                self._note_absence()
            except KilledWorker as error:
                raise BrokenExecutor(str(error)) from error
            except ModuleNotFoundError as error:
                raise UserError(f"a worker of {self.name} {_explain_import(error)}.") from error

    def _note_absence(self) -> None:
        """Say once that all workers are gone; new ones go on with what there is to do."""
        with self._explain_loss():
            is_waiting = not self.client.nthreads()
        if is_waiting and not self._is_waiting:
            logger.warning("%s has no workers left; waiting for new ones", self.name)
        self._is_waiting = is_waiting

    @contextlib.contextmanager
    def _explain_loss(self) -> Iterator[None]:
        """The scheduler's end as a :class:`UserError`."""
        try:
            yield
        except (CancelledError, OSError, RuntimeError) as error:
            if self.client.status == "running":
                raise
            raise UserError(
                f"the Dask scheduler of {self.name} is gone; start it again, and run the same "
                "command to go on."
            ) from error


@contextlib.contextmanager
def _open_client(cluster: Cluster) -> "Iterator[Client]":
    """A connection to the scheduler that was named, or to one made here for SLURM's jobs."""
    try:
        import dask
        import distributed
    except ModuleNotFoundError as error:
        raise UserError(
            f"--scheduler and --slurm need Dask, and {error.name} is not installed: pip install -r "
            "requirements-cluster.txt."
        ) from error
    for name in ("distributed.client", "distributed.core", "distributed.comm"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # a sentence of ours says it
    # jobs hold audio, which is what a cluster is for
    quiet = {"distributed.admin.large-graph-warning-threshold": "1 GiB"}
    with dask.config.set(quiet), contextlib.ExitStack() as stack:
        target: Any = cluster.scheduler
        if cluster.slurm:
            target = stack.enter_context(_ask_slurm(cluster.slurm))
        else:
            refuse_open(cluster.scheduler, dask.config.get("distributed.comm.require-encryption"))
        yield stack.enter_context(_connect(distributed.Client, target, cluster))


@contextlib.contextmanager
def _connect(client_class: "type[Client]", target: Any, cluster: Cluster) -> "Iterator[Client]":
    name = cluster.scheduler or "the scheduler for SLURM"
    try:
        client = client_class(target, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:  # TimeoutError too; TLS without a certificate
        raise UserError(
            f"--scheduler {name}: no Dask scheduler answers there ({explain_briefly(error)}); "
            f"start one with dask scheduler, or correct the address ({DOCS})."
        ) from error
    try:
        yield client
    finally:
        client.close(timeout=POLL_S)


@contextlib.contextmanager
def _ask_slurm(n_jobs: int) -> Iterator[Any]:
    """A scheduler in this process, encrypted, and jobs of SLURM whose workers connect to it."""
    import dask
    from distributed import Security

    SLURMCluster = _import_slurm(n_jobs)
    cores = dask.config.get("jobqueue.slurm.cores") or 1
    try:
        slurm = SLURMCluster(
            cores=cores,
            processes=cores,  # of one thread each
            memory=dask.config.get("jobqueue.slurm.memory") or f"{2 * cores} GiB",
            security=Security.temporary(),
            shared_temp_directory=dask.config.get("jobqueue.slurm.shared-temp-directory")
            or str(Path.home()),
            scheduler_options={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
            # without a dashboard a worker serves its state all the same, on every interface
            worker_extra_args=["--no-dashboard", "--dashboard-address", "127.0.0.1:0"],
        )
        slurm.scale(jobs=n_jobs)
    except (OSError, RuntimeError, ValueError, ImportError) as error:
        raise UserError(f"--slurm {n_jobs}: {explain_briefly(error)} ({DOCS}).") from error
    try:
        yield slurm
    finally:
        slurm.close(timeout=CONNECT_S)


def _import_slurm(n_jobs: int) -> Any:
    """The class of a cluster whose workers are jobs of SLURM.

    Raises:
        UserError: dask-jobqueue or sbatch is not there.
    """
    try:
        import cryptography  # noqa: F401 certificates are made with it
        from dask_jobqueue import SLURMCluster
    except ModuleNotFoundError as error:
        raise UserError(
            f"--slurm needs dask-jobqueue, and {error.name} is not installed: pip install -r "
            "requirements-cluster.txt."
        ) from error
    if not shutil.which("sbatch"):
        raise UserError(
            f"--slurm {n_jobs}: there is no sbatch on this machine; call this where jobs are "
            f"submitted, or name a running scheduler with --scheduler ({DOCS})."
        )
    return SLURMCluster


def refuse_open(address: str, require_encryption: bool | None) -> None:
    """Raise :class:`UserError` for an address that others could reach, without encryption.

    Args:
        address: of a scheduler, as ``tcp://127.0.0.1:8786``.
        require_encryption: Dask's own ``distributed.comm.require-encryption``; ``False``: the user
            said that the network is theirs alone.
    """
    scheme, _, rest = address.rpartition("://")
    if scheme in ("tls", "wss") or require_encryption is False:
        return
    host = rest.rpartition(":")[0].strip("[]")
    with contextlib.suppress(ValueError):
        if ipaddress.ip_address(host).is_loopback:
            return
    if host != "localhost":
        raise UserError(
            f"--scheduler {address}: whoever reaches a scheduler without encryption runs programs "
            f"as you; start it with TLS and name it tls://{rest} ({DOCS})."
        )


@contextlib.contextmanager
def _leave_tokens(folders: list[Path]) -> Iterator[tuple[tuple[str, str], ...]]:
    """A small file in each folder, by which workers know it again; removed at the end."""
    tokens = []
    try:
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
            token = secrets.token_hex(8)
            path = folder / f".cluster-{token}"
            path.write_text(token, encoding="utf-8")
            tokens.append((str(path), token))
        yield tuple(tokens)
    finally:
        for text, _ in tokens:
            Path(text).unlink(missing_ok=True)


def _wait_for_workers(client: "Client", cluster: Cluster) -> None:
    """Until there is one.

    Raises:
        UserError: a scheduler that others started has none.
    """
    if cluster.slurm:
        logger.info("waiting for SLURM to start Dask workers (squeue --me lists the jobs)")
    try:
        client.wait_for_workers(1, timeout=None if cluster.slurm else WORKERS_S)
    except TimeoutError as error:
        raise UserError(
            f"--scheduler {cluster.scheduler}: has no workers; start some with dask worker "
            f"({DOCS})."
        ) from error


def _check_workers(client: "Client", site: Site) -> None:
    """Raise :class:`UserError` where one runs other code, or does not see the folders."""
    own = site_without_folders(site)  # the scheduler reads what it hands on, and no file
    try:
        text = client.run_on_scheduler(explain_mismatch, own)
    except Exception as error:  # whatever another environment brings about
        text = _explain_import(error)
    if text:
        raise UserError(f"the Dask scheduler {text}.")
    faults = []
    for address, n_threads in sorted(client.nthreads().items()):
        if n_threads > 1:
            faults.append(f"{address} has {n_threads} threads; start it with --nthreads 1")
    answers = client.run(explain_mismatch, site, on_error="return")
    for address, answer in sorted(answers.items()):
        text = _explain_import(answer) if isinstance(answer, BaseException) else answer
        faults += [f"{address} {text}"] if text else []
    if faults:
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise UserError(f"worker {faults[0]}{more}.")


def _explain_import(error: BaseException) -> str:
    """Why a worker could not begin at all."""
    return (
        f"cannot run separation ({explain_briefly(error)}); start it in the repository, with the "
        "Python of this process"
    )
