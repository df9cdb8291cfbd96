"""A comparison of models on test sets: its records, filled by ``scores``, printed by ``report``."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from separation.datasets.standard_sets import name_standard
from separation.evaluation.score_rows import ScoreRow
from separation.models.published import PublishedModel


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """One compared model.

    Attributes:
        name: as the user wrote it; the key of its rows in :attr:`ScoredSet.rows`.
        sha256: of its file.
        sample_rate: Hz, at which it works.
        n_src: sources it gives.
        notes: sentences for the top of the report, e.g. on a corrected rate.
        published: its entry in the list of published models, if it is one.
    """

    name: str
    sha256: str
    sample_rate: int
    n_src: int
    notes: tuple[str, ...] = ()
    published: PublishedModel | None = None

    @property
    def published_set(self) -> str:
        """The test set of its published scores; empty where there are none."""
        return name_standard(self.published.test_set, self.published.task) if self.published else ""


@dataclass(frozen=True, kw_only=True)
class ScoredSet:
    """One test set with the rows of every estimator.

    Attributes:
        name: as the user wrote it.
        kind: ``table``, ``audio`` or ``recipe``.
        sample_rate: Hz, of the references that floor and ceilings were scored against.
        n_src: sources of every mixture.
        n_mixtures: mixtures of the set, scored or not.
        fingerprint: of its table's text; empty for audio that exists.
        notes: sentences for the top of the report.
        rows: by estimator: ``mixture``, ``ibm``, ``irm``, ``wfm``, then the models by name.
        notes_of: sentences about one estimator on this set.
        standard: names, as :func:`name_standard` makes them, of the published test sets that
            these mixtures were recognised as, whole and unchanged; one for each rate that they
            are scored at.
        audio: fingerprint of the samples that were scored, by rate in Hz.
        mode: ``min``, ``max``, or empty where folders of audio do not say.
        type: ``mix_clean``, ``mix_both`` or ``mix``.
        n_whole: mixtures before ``--limit``; 0 where there was none.
    """

    name: str
    kind: str
    sample_rate: int
    n_src: int
    n_mixtures: int
    fingerprint: str
    notes: tuple[str, ...] = ()
    rows: dict[str, list[ScoreRow]] = field(default_factory=dict)
    notes_of: dict[str, tuple[str, ...]] = field(default_factory=dict)
    standard: tuple[str, ...] = ()
    audio: dict[int, str] = field(default_factory=dict)
    mode: str = ""
    type: str = ""
    n_whole: int = 0


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Models x test sets, scored.

    Attributes:
        metrics: scored ones, out of :data:`separation.metrics.METRICS`.
        about: what produced it: command, commit, versions, device; written as it is.
    """

    sets: list[ScoredSet]
    models: list[ModelInfo]
    metrics: tuple[str, ...]
    about: Mapping[str, Any] = field(default_factory=dict)
