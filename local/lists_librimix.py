"""LibriMix's published metadata (JorisCos/LibriMix at b898ca3): which files, rows, counts."""

from pathlib import Path

from separation.errors import MissingInputError, UserError
from separation.files import read_rows
from separation.mixtures.table import count_sources, read_mixture_table

# mixtures by (n_src, list)
COUNTS = {
    (2, "train-360"): 50800,
    (2, "train-100"): 13900,
    (2, "dev"): 3000,
    (2, "test"): 3000,
    (3, "train-360"): 33900,
    (3, "train-100"): 9300,
    (3, "dev"): 3000,
    (3, "test"): 3000,
}
SUBSETS = {
    "train-360": "train-clean-360",
    "train-100": "train-clean-100",
    "dev": "dev-clean",
    "test": "test-clean",
}
SAMPLE_RATE = 16000
MIN_SAMPLES = 48000  # the lists hold no utterance shorter than 3 s


def name_lists(train: str) -> dict[str, str]:
    """Our split -> the published list.

    Raises:
        UserError: there is no such training list.
    """
    if train not in ("train-100", "train-360"):
        raise UserError(f"metadata.train={train}: LibriMix has train-100 and train-360.")
    return {"train": train, "dev": "dev", "test": "test"}


def list_path(root: Path, n_src: int, name: str) -> Path:
    """Where a clone of LibriMix holds a list; ``root`` may also be its metadata folder."""
    folder = root / "metadata" if (root / "metadata").is_dir() else root
    return folder / f"Libri{n_src}Mix" / f"libri{n_src}mix_{SUBSETS[name]}.csv"


def read_list(root: Path, n_src: int, name: str, speech: Path | None = None) -> list[dict]:
    """One published list with the speakers of its ``_info.csv``; ``speech`` plays no part.

    Raises:
        MissingInputError: the list is not there.
        UserError: it is for another number of speakers, or no mixture table.
    """
    path = list_path(root, n_src, name)
    if not path.is_file():
        raise MissingInputError(
            f"{path}: not there; give a clone of https://github.com/JorisCos/LibriMix with "
            "--corpus librimix=DIR."
        )
    rows = read_mixture_table(path)
    if count_sources(rows[0]) != n_src:
        raise UserError(
            f"{path}: has {count_sources(rows[0])} sources a mixture where mixtures.n_src={n_src}."
        )
    return [row | speakers for row, speakers in zip(rows, _read_speakers(path, rows), strict=True)]


def _read_speakers(path: Path, rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """``speaker_i_ID`` and ``speaker_i_sex``; the published IDs are floats such as ``4077.0``."""
    info = path.with_name(f"{path.stem}_info.csv")
    table = {row["mixture_ID"]: row for row in read_rows(info)} if info.is_file() else {}
    speakers = []
    for row in rows:
        known, columns = table.get(row["mixture_ID"], {}), {}
        for k in range(1, count_sources(row) + 1):
            columns[f"speaker_{k}_ID"] = Path(row[f"source_{k}_path"]).stem.split("-")[0]
            columns[f"speaker_{k}_sex"] = known.get(f"speaker_{k}_sex", "")
        speakers.append(columns)
    return speakers


def is_published(root: Path, n_src: int, name: str) -> bool:
    """Whether the list is, byte for byte, the one at LibriMix's commit b898ca3."""
    from local.download_librimix import is_published as matches

    return matches(list_path(root, n_src, name))


def read_lengths(root: Path, names: list[str]) -> dict[str, int]:
    """Samples of every utterance by path, where the clone has LibriSpeech's lists."""
    folder = root / "metadata" if (root / "metadata").is_dir() else root
    tables = [folder / "LibriSpeech" / f"{SUBSETS[name]}.csv" for name in names]
    return {
        row["origin_path"]: int(row["length"])
        for table in tables
        if table.is_file()
        for row in read_rows(table)
    }
