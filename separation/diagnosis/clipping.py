"""How often training clipped the gradient, from its TensorBoard logs."""

from pathlib import Path

NAME = "grad_norm"  # as separation.training.tracking logs it, every 20 steps
MOST_BYTES = 100_000_000  # of logs, beyond which they are not read


def measure_clipped_share(folder: Path, clip: float) -> float | None:
    """Share of the logged steps whose gradient's norm was above ``clip``; None without logs."""
    files = sorted(folder.glob("events.*")) if clip > 0 and folder.is_dir() else []
    if not files or sum(path.stat().st_size for path in files) > MOST_BYTES:
        return None
    norms = [value for path in files for value in _read_norms(path)]
    return sum(norm > clip for norm in norms) / len(norms) if norms else None


def _read_norms(path: Path) -> list[float]:
    """The logged norms of one file; what a kill cut off is left out."""
    from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

    return [
        value.simple_value
        for event in LegacyEventFileLoader(str(path)).Load()
        for value in event.summary.value
        if value.tag == NAME
    ]
