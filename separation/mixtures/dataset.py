"""A split's mixtures as a sequence: rendered when asked for, or kept where they are few."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from separation.files import hash_value, stamp_file
from separation.jobs import run_jobs
from separation.mixtures.reading import DECODING_ERRORS, Setting, list_files_of
from separation.mixtures.render import render_mixture
from separation.mixtures.signals import Mixture
from separation.mixtures.source_files import Corpora

FEW = 600  # mixtures that may stay in memory


class MixtureSet(Sequence[Mixture]):
    """Mixtures of one table, rendered exactly and on the fly.

    Args:
        rows: of any kind of mixture table.
        corpora: roots of their paths.
        sample_rate: Hz.
        mode: ``min`` or ``max``.
        kind: the mixture type, see :func:`separation.mixtures.render.render_mixture`.
    """

    def __init__(
        self,
        rows: list[dict[str, str]],
        corpora: Corpora,
        sample_rate: int,
        mode: str = "min",
        kind: str = "",
    ) -> None:
        self.rows, self.sample_rate = rows, sample_rate
        self._depends = [sample_rate, mode, kind]
        self._setting = Setting(corpora, sample_rate, mode, kind)
        self._render = partial(
            render_mixture, corpora=corpora, sample_rate=sample_rate, mode=mode, kind=kind
        )
        self._kept: list[Mixture | Exception] | None = None

    def keep(self, n_jobs: int, label: str) -> "MixtureSet":
        """Render all of them once, in parallel, where they are few; returns itself.

        One that cannot be read raises when it is asked for, as it would if it were not kept.
        """
        if self._kept is None and len(self.rows) <= FEW:
            render = partial(_render_or_catch, render=self._render)
            results = run_jobs(
                render, self.rows, n_jobs, total=len(self), label=label, unit="mixture"
            )
            self._kept = list(results)
        return self

    def stamp(self, index: int) -> str:
        """Hash of what one mixture is made from: its row, and its files' sizes and times."""
        files = list_files_of(self.rows[index], self._setting)
        return hash_value([self.rows[index], self._depends, [stamp_file(path) for path in files]])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index):  # type: ignore[override]
        if self._kept is None:
            return self._render(self.rows[index])
        kept = self._kept[index]
        if isinstance(kept, Exception):
            raise kept
        return kept

    def __iter__(self) -> Iterator[Mixture]:
        return (self[index] for index in range(len(self)))


def _render_or_catch(
    row: dict[str, str], render: Callable[[dict[str, str]], Mixture]
) -> Mixture | Exception:
    try:
        return render(row)
    except DECODING_ERRORS as error:
        return error
