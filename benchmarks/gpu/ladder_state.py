"""The ladder's state as small files, so that it outlives the machine: packed and unpacked."""

import io
import tarfile
from pathlib import Path

from benchmarks.gpu.ladder_rung import choose_best
from benchmarks.gpu.rungs import LAST, NAMES, RECIPE
from separation.errors import MissingInputError
from separation.files import write_whole

PIECE_BYTES = 15_000_000
MAX_PIECES = 3  # with ablation.json, .md, .png and two models that makes eight files
KEPT = ("conf.yml", "run.json", "curves.csv")
STEM = "state.tar"


def pack_state(work: Path, out: Path, piece_bytes: int = PIECE_BYTES) -> list[str]:
    """Write ``state.tar.0`` and so on into ``out``; returns what to say about it.

    In it: results of the finished rungs, the best one's weights, and of a rung under way all that
    its training resumes from, as far as that fits into ``MAX_PIECES``.
    """
    needed = sorted((work / "results").glob("*.json")) + _list_best(work)
    resumed = _list_unfinished(work)
    limit, remarks = MAX_PIECES * piece_bytes, []
    if sum(path.stat().st_size for path in needed + resumed) > 0.95 * limit:
        if resumed:
            remarks.append(
                "state: the checkpoint of the rung under way is too large to travel; on another "
                "machine that rung begins anew"
            )
        resumed = []
    packed = _make_tar(needed + resumed, work)
    out.mkdir(parents=True, exist_ok=True)
    for old in out.glob(f"{STEM}.*"):
        old.unlink()
    for number in range(-(-len(packed) // piece_bytes)):
        with write_whole(out / f"{STEM}.{number}") as partial:
            partial.write_bytes(packed[number * piece_bytes : (number + 1) * piece_bytes])
    return [*remarks, f"state: {len(packed) / 1e6:.1f} MB in {out}"]


def _list_best(work: Path) -> list[Path]:
    best = choose_best(work)
    if best is None or (work / "results" / f"{LAST}.json").is_file():
        return []
    weights = work / "exp" / RECIPE / best / "best_model.pth"
    return [weights] if weights.is_file() else []


def _list_unfinished(work: Path) -> list[Path]:
    found = []
    for name in NAMES:
        folder = work / "exp" / RECIPE / name
        if (work / "results" / f"{name}.json").is_file() or not folder.is_dir():
            continue
        found += [folder / kept for kept in KEPT if (folder / kept).is_file()]
        found += sorted(path for path in folder.glob("*.pth"))
        found += sorted(path for path in folder.glob("checkpoints/*") if path.is_file())
    return [path for path in found if not path.name.startswith(".")]


def _make_tar(paths: list[Path], root: Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path in paths:
            archive.add(path, path.relative_to(root).as_posix())
    return buffer.getvalue()


def unpack_state(folder: Path, work: Path) -> None:
    """Put back what :func:`pack_state` wrote; what is in ``work`` already stays as it is.

    Raises:
        MissingInputError: no state there.
    """
    pieces = sorted(folder.glob(f"{STEM}.*"), key=lambda path: int(path.suffix[1:]))
    if not pieces:
        raise MissingInputError(f"--state {folder}: holds no {STEM}.0; check the path.")
    packed = io.BytesIO(b"".join(piece.read_bytes() for piece in pieces))
    with tarfile.open(fileobj=packed) as archive:
        for member in archive.getmembers():
            if not (work / member.name).exists():
                archive.extract(member, work, filter="data")
