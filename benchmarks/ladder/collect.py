"""What a call on a machine that forgets leaves behind: results, models and state, as small files.

    .venv/bin/python -m benchmarks.ladder.collect WORK OUT
    .venv/bin/python -m benchmarks.ladder.collect --unpack OUT WORK

At most eight files below 15 MB: ``results.tar.gz`` (results, curves, logs), up to four models
with float16 weights, and ``state.tar.*``: checkpoints of the small model's unfinished trainings.
"""

import argparse
import io
import sys
import tarfile
from collections.abc import Iterable
from pathlib import Path

import torch

from separation.ablate.result import RungResult, read_results
from separation.errors import MissingInputError, UserError
from separation.files import read_rows, write_whole
from separation.models.asteroid import save_model
from separation.models.checkpoint.load import load_model

PIECE_BYTES = 15_000_000
MAX_PIECES = 3  # with the results and four models that makes eight files
STEM, RESULTS = "state.tar", "results.tar.gz"
KEPT = ("conf.yml", "run.json", "curves.csv", "best_model.pth", "checkpoints/last.ckpt")
SMALL_PARAMETERS = 2_000_000
LOG_BYTES = 20_000  # of a training's log, its end


def collect(work: Path, out: Path, piece_bytes: int = PIECE_BYTES) -> list[str]:
    """Write all into ``out``; returns what to say about it."""
    out.mkdir(parents=True, exist_ok=True)
    pack_results(work, out / RESULTS)
    remarks = [f"{name}: {path}" for name, path in choose_models(work).items()]
    for name, checkpoint in choose_models(work).items():
        save_half(checkpoint, out / f"{name}_f16.pth")
    return [*remarks, *pack_state(work, out, piece_bytes)]


def pack_results(work: Path, path: Path) -> None:
    """Results, tables, plots, curves and the ends of logs of both ladders."""
    names = ("results/*", "exp/*/*/*/curves.csv", "exp/*/*/*/run.json", "exp/*/*/*/conf.yml")
    files = sorted(
        p for ladder in ("speech", "small") for n in names for p in work.glob(f"{ladder}/{n}")
    )
    with write_whole(path) as partial, tarfile.open(partial, "w:gz") as archive:
        for file in files:
            archive.add(file, file.relative_to(work).as_posix())
        for log in sorted(work.glob("*/logs/*.txt")):
            _add_bytes(archive, log.relative_to(work).as_posix(), log.read_bytes()[-LOG_BYTES:])


def _add_bytes(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    about = tarfile.TarInfo(name)
    about.size = len(content)
    archive.addfile(about, io.BytesIO(content))


def choose_models(work: Path) -> dict[str, Path]:
    """Checkpoints to keep: both small models, and the ladder's best small and large one by dev."""
    found = {}
    for folder in sorted((work / "small" / "exp").glob("*/*/*")):
        if (folder / "best_model.pth").is_file():
            found[folder.name] = folder / "best_model.pth"
    results = read_results(work / "speech" / "results")
    groups = {
        "ladder_small": [own for own in results if own.parameters < SMALL_PARAMETERS],
        "ladder_large": [own for own in results if own.parameters >= SMALL_PARAMETERS],
    }
    for name, group in groups.items():
        best = max(group, key=lambda own: own.dev_si_sdri, default=None)
        if best is not None and (path := _find_checkpoint(work, best)).is_file():
            found[name] = path
    return found


def _find_checkpoint(work: Path, result: RungResult) -> Path:
    tag = f"{result.rung}-seed{result.seed}"
    return work / "speech" / "exp" / result.recipe / tag / "best_model.pth"


def save_half(checkpoint: Path, path: Path) -> None:
    """Write an Asteroid checkpoint with float16 weights: half the bytes, for shipping."""
    model = load_model(checkpoint)
    with torch.no_grad():
        save_model(model.half(), path)


def pack_state(work: Path, out: Path, piece_bytes: int = PIECE_BYTES) -> list[str]:
    """Write ``state.tar.0`` and so on: results of finished trainings, and the checkpoints of the
    small model's that are not, those that got furthest first, as far as they fit."""
    for old in out.glob(f"{STEM}.*"):
        old.unlink()
    kept, remarks = sorted(work.glob("*/results/*.json")), []
    limit = 0.98 * MAX_PIECES * piece_bytes
    for folder in list_unfinished(work):
        files = [folder / name for name in KEPT if (folder / name).is_file()]
        if _count_bytes(kept + files) > limit:
            remarks.append(f"state: no room for {folder.name}; elsewhere it begins anew")
        else:
            kept += files
    packed = _make_tar(kept, work)
    for number in range(-(-len(packed) // piece_bytes)):
        with write_whole(out / f"{STEM}.{number}") as partial:
            partial.write_bytes(packed[number * piece_bytes : (number + 1) * piece_bytes])
    return [*remarks, f"state: {len(packed) / 1e6:.1f} MB in {out}"]


def list_unfinished(work: Path) -> list[Path]:
    """Experiments of the small model that have a checkpoint and no result."""
    folders = [path.parents[1] for path in work.glob("small/exp/*/*/*/checkpoints/last.ckpt")]
    still = [f for f in folders if not (work / "small" / "results" / f"{f.name}.json").is_file()]
    return sorted(still, key=_count_epochs, reverse=True)


def _count_epochs(folder: Path) -> int:
    curves = folder / "curves.csv"
    return len(read_rows(curves)) if curves.is_file() else 0


def _count_bytes(paths: Iterable[Path]) -> int:
    return sum(path.stat().st_size for path in paths)


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
        raise MissingInputError(f"{folder}: holds no {STEM}.0; check the path.")
    packed = io.BytesIO(b"".join(piece.read_bytes() for piece in pieces))
    with tarfile.open(fileobj=packed) as archive:
        for member in archive.getmembers():
            if not (work / member.name).exists():
                archive.extract(member, work, filter="data")


def main(arguments: list[str] | None = None) -> int:
    """Parse and collect, or unpack."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("source", type=Path, metavar="WORK")
    parser.add_argument("target", type=Path, metavar="OUT")
    parser.add_argument("--unpack", action="store_true", help="from OUT, given first, to WORK")
    args = parser.parse_args(arguments)
    try:
        if args.unpack:
            unpack_state(args.source, args.target)
        else:
            print("\n".join(collect(args.source, args.target)))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
