"""Where the paths of a table or list lead on this machine: relative ones, and those of another."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from separation.errors import MissingInputError
from separation.mixtures.table import MixtureRow

N_SEARCHED = 20  # paths that are looked for all over, before it is clear that they are not here
LEAST_PARTS = 2  # of a path that are kept: mix/a.wav and s1/a.wav have one name


class FileFinder:
    """Finds files of a list that was written elsewhere, such as on another server.

    Args:
        source: the list's file.
        roots: folders that the user names; they come first.
    """

    def __init__(self, source: Path, roots: Sequence[Path] = ()) -> None:
        self.source = source
        self.places = [*roots, *source.resolve().parents, Path.cwd()]
        self._moved: dict[str, str] = {}  # the beginning of a path there -> here
        self._n_missed = 0

    def find(self, text: str) -> str:
        """The path on this machine; as it is written where there is no such file."""
        if Path(text).is_absolute() and Path(text).is_file():
            return text
        for there, here in self._moved.items():
            if text.startswith(there) and Path(here + text[len(there) :]).is_file():
                return here + text[len(there) :]
        if self._n_missed >= N_SEARCHED:
            return text
        return self._search(text.replace("\\", "/")) or text

    def _search(self, text: str) -> str:
        parts = PurePosixPath(text).parts
        absolute = text.startswith("/") or "".join(parts[:1]).endswith(":")  # a drive
        last = len(parts) - LEAST_PARTS if absolute else 0
        for start in range(int(absolute), last + 1):
            ending = "/".join(parts[start:])
            for place in self.places:
                if (place / ending).is_file():
                    self._moved[text.removesuffix(ending)] = f"{place}/"
                    return str(place / ending)
        self._n_missed += 1
        return ""


def find_moved(rows: list[MixtureRow], table: Path, roots: Sequence[Path]) -> list[MixtureRow]:
    """Rows of audio whose absolute paths lead to another machine, with their paths on this one.

    They are as they were where the first mixture is there, or paths are relative.

    Args:
        rows: of audio that exists.
        table: the file that they were read from; its folders are searched, from the lowest up.
        roots: searched first.

    Raises:
        MissingInputError: nothing of them is on this machine.
    """
    usable = [row for row in rows if row.mixture_path]
    first = usable[0].mixture_path if usable else ""
    if not Path(first).is_absolute() or Path(first).is_file():
        return rows
    finder = FileFinder(table, roots)
    moved = [
        row.with_columns(_find_files(row, finder)) if row.mixture_path else row for row in rows
    ]
    if not any(Path(row.mixture_path).is_file() for row in moved):
        raise MissingInputError(
            f"{table}: names {first}, which is not there, and nothing that ends like it lies "
            f"below {table.resolve().parent} or the folders above; give the folder that holds "
            "the audio now with --corpus mixtures=DIR."
        )
    return moved


def _find_files(row: MixtureRow, finder: FileFinder) -> dict[str, str]:
    """The columns of a row that hold paths of audio, as they are here."""
    if row.fault:
        return {}
    return {key: finder.find(text) for key, text in row.list_paths().items()}
