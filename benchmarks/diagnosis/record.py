"""Keeps what a diagnosis reads of a finished experiment, without weights, audio and long lists.

    .venv/bin/python -m benchmarks.diagnosis.record EXP DATA NAME

EXP is exp/MIX/MODEL/TAG, DATA its data folder. It goes to tests/data/diagnosis/exp/MIX/MODEL/NAME
and tests/data/diagnosis/data/MIX/NAME.
"""

import shutil
import sys
from pathlib import Path

KEPT = Path(__file__).resolve().parents[2] / "tests" / "data" / "diagnosis"
OF_EXPERIMENT = ("conf.yml", "run.json", "curves.csv", "overfit.json")
OF_DATA = ("audit.json", "metadata/dev.csv", "metadata/test.csv")


def keep(experiment: Path, data: Path, name: str, recipe: str, data_name: str) -> None:
    """Copy the files; ``recipe`` is MIX/MODEL, ``data_name`` what the data folder is called."""
    mix = recipe.split("/")[0]
    target, kept = KEPT / "exp" / recipe / name, KEPT / "data" / mix / data_name
    shutil.rmtree(target, ignore_errors=True)
    for path in OF_EXPERIMENT:
        _copy(experiment / path, target / path)
    for path in sorted((experiment / "evaluation").rglob("*.*")):
        if path.name in ("summary.json", "model.csv"):
            _copy(path, target / path.relative_to(experiment))
    for path in OF_DATA:
        _copy(data / path, kept / path)


def _copy(source: Path, target: Path) -> None:
    if source.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)


def main() -> None:
    """Keep one experiment."""
    experiment, data, name = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    keep(experiment, data, name, "/".join(experiment.resolve().parts[-3:-1]), name)


if __name__ == "__main__":
    main()
