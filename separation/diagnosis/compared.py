"""What ``compare`` measured of this model beside published ones: is it the model or the data?"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from separation.diagnosis.figures import ComparedFigures
from separation.errors import UserError
from separation.evaluation.intervals import MeanInterval
from separation.experiment.folder import ExperimentFolder
from separation.files import fingerprint_file, read_json

METRIC = "si_sdri"


def read_compared(paths: Sequence[Path], folder: ExperimentFolder) -> tuple[ComparedFigures, ...]:
    """Published models beside this experiment's, of every comparison that holds both.

    Raises:
        UserError: a file is no comparison.
    """
    ours = fingerprint_file(folder.checkpoint)
    summary = folder.read_summary()
    if not ours and summary:
        ours = summary.about.get("checkpoint_sha256", "")
    figures = []
    for path in paths if ours else ():
        try:
            figures += list(_list_pairs(read_json(path), ours))
        except (KeyError, TypeError) as error:
            raise UserError(f"{path}: is no comparison.json of `compare`.") from error
    return tuple(figures)


def _list_pairs(report: dict[str, Any], ours: str) -> Iterator[ComparedFigures]:
    names = [own["name"] for own in report["models"] if own["sha256"].startswith(ours)]
    published = [own for own in report["models"] if own.get("published")]
    for name in names[:1]:
        for other in published:
            for test_set in report["sets"]:
                found = _compare(test_set, name, other)
                if found is not None:
                    yield found


def _compare(test_set: dict[str, Any], ours: str, other: dict[str, Any]) -> ComparedFigures | None:
    estimators, published = test_set["estimators"], other["published"]
    score = published["scores"].get(METRIC)
    means = [estimators.get(name, {}).get("all", {}).get(METRIC) for name in (ours, other["name"])]
    if score is None or not all(means):
        return None
    return ComparedFigures(
        name=other["name"],
        test_set=test_set["name"],
        ours=means[0]["mean"],
        theirs=means[1]["mean"],
        difference=_find_difference(test_set["paired"], ours, other["name"]),
        published_db=score,
        published_set=published["set"],
        is_published_set=published["set"] in test_set["standard"],
    )


def _find_difference(pairs: list[dict[str, Any]], ours: str, theirs: str) -> MeanInterval:
    """Ours less theirs."""
    for pair in pairs:
        if (pair["a"], pair["b"]) == (ours, theirs):
            return MeanInterval(pair["n"], pair["mean"], pair["low"], pair["high"])
        if (pair["a"], pair["b"]) == (theirs, ours):
            mean, low, high = (
                None if pair[key] is None else -pair[key] for key in ("mean", "high", "low")
            )
            return MeanInterval(pair["n"], mean, low, high)
    return MeanInterval(0, None, None, None)
