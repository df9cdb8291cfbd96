"""A split's mixtures as a sequence: rendered when asked for, or kept where they are few."""

from collections.abc import Iterator, Sequence
from functools import partial

from separation.clips import Corpora
from separation.jobs import run_jobs
from separation.render import Mixture, render_mixture

FEW = 600  # mixtures that may stay in memory


class MixtureSet(Sequence[Mixture]):
    """Mixtures of one table, rendered exactly and on the fly.

    Args:
        rows: of any kind of mixture table.
        corpora: roots of their paths.
        sample_rate: Hz.
        mode: ``min`` or ``max``.
        kind: the mixture type, see :func:`separation.render.render_mixture`.
    """

    def __init__(
        self,
        rows: list[dict[str, str]],
        corpora: Corpora,
        sample_rate: int,
        mode: str = "min",
        kind: str = "",
    ) -> None:
        self.rows = rows
        self._render = partial(
            render_mixture, corpora=corpora, sample_rate=sample_rate, mode=mode, kind=kind
        )
        self._kept: list[Mixture] | None = None

    def keep(self, n_jobs: int, label: str) -> "MixtureSet":
        """Render all of them once, in parallel, where they are few; returns itself."""
        if self._kept is None and len(self.rows) <= FEW:
            results = run_jobs(
                self._render, self.rows, n_jobs, total=len(self), label=label, unit="mixture"
            )
            self._kept = list(results)
        return self

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index):  # type: ignore[override]
        if self._kept is not None:
            return self._kept[index]
        return self._render(self.rows[index])

    def __iter__(self) -> Iterator[Mixture]:
        return (self[index] for index in range(len(self)))
