"""Speech separation recipes on Asteroid: corpus, mixtures, training, scores, report.

What a program needs is here, and explained in docs/python.md:

- :func:`separate` and :func:`separate_files`: a recording, or files of them, -> a signal a speaker;
- :func:`report_recording`: what was separated -> a page on how its voices came out;
- :func:`open_model`: a path, a published name, a Hub name or a URL -> a model for both;
- :func:`open_dataset`: a mixture table, a folder of audio, ``MIX:split`` -> rows and signals;
- :func:`score` and :func:`summarise`: estimates and references -> SI-SDR, SDR; their means;
- :func:`render`: a row of a mixture table -> its signals.

A name is loaded when it is asked for; ``import separation`` itself imports nothing heavy.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from separation.api import (
        open_dataset,
        open_model,
        render,
        report_recording,
        score,
        separate,
        separate_files,
        summarise,
    )
    from separation.errors import UserError
    from separation.metrics.score import Score
    from separation.mixtures.dataset import MixtureDataset
    from separation.mixtures.signals import Mixture
    from separation.mixtures.table import MixtureRow
    from separation.models.checkpoint.load import LoadedModel

__version__ = "0.1.0"
__all__ = [
    "LoadedModel",
    "Mixture",
    "MixtureDataset",
    "MixtureRow",
    "Score",
    "UserError",
    "__version__",
    "open_dataset",
    "open_model",
    "render",
    "report_recording",
    "score",
    "separate",
    "separate_files",
    "summarise",
]
_HOMES = {
    "LoadedModel": "models.checkpoint.load",
    "Mixture": "mixtures.signals",
    "MixtureDataset": "mixtures.dataset",
    "MixtureRow": "mixtures.table",
    "Score": "metrics.score",
    "UserError": "errors",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES.get(name, 'api')}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
