"""What a file may say of a model before it is built: numbers that a machine can serve."""

import functools
import math
import re
import reprlib
from typing import Any, get_type_hints

from separation.errors import UserError
from separation.models.registry import list_models
from separation.records import Bounds

RATES_HZ = (1000, 768_000)  # of anything that holds speech
LARGEST_ARGUMENT = 100_000
DEEPEST = 200  # layers, blocks, repeats, of classes that are Asteroid's alone
OF_DEPTH = re.compile("repeat|block|layer|depth|stage")
MAX_SPEAKERS = 100


def check_arguments(arguments: dict[str, Any], name: str) -> None:
    """Refuse arguments with which building a model would not end or fill the memory.

    Args:
        arguments: of its class, as a file states them.
        name: what the user calls the file.

    Raises:
        UserError: names the argument.
    """
    for key, value in arguments.items():
        for number in value if isinstance(value, (list, tuple)) else [value]:
            limit = find_limit(str(key))
            if isinstance(number, (int, float)) and not abs(number) <= limit:  # NaN neither
                raise UserError(
                    f"{name}: states {key}={reprlib.repr(number)} for its model, where {limit:g} "
                    "is the most; get it again, or ask who made it."
                )
    rate = arguments.get("sample_rate")
    if isinstance(rate, (int, float)) and not RATES_HZ[0] <= rate <= RATES_HZ[1]:
        raise UserError(
            f"{name}: states a sample rate of {rate:g} Hz, where speech has {RATES_HZ[0]} Hz or "
            "more; get it again, or ask who made it."
        )


def find_limit(key: str) -> float:
    """The largest magnitude of an argument that has this name."""
    if key == "sample_rate":
        return math.inf
    if key == "n_src":
        return MAX_SPEAKERS
    known = _read_limits().get(key)
    return known or (DEEPEST if OF_DEPTH.search(key) else LARGEST_ARGUMENT)


def estimate_size(arguments: dict[str, Any]) -> float:
    """Numbers that a model of these arguments could at most hold, roughly.

    >>> f"{estimate_size({'n_filters': 512, 'n_repeats': 3, 'n_blocks': 8}):.1e}"
    '2.5e+07'
    """
    sizes = {
        key: abs(value)
        for key, value in arguments.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool) and key != "sample_rate"
    }
    widths = [value for key, value in sizes.items() if not OF_DEPTH.search(key)]
    depth = math.prod(max(1, value) for key, value in sizes.items() if OF_DEPTH.search(key))
    return 4 * max(widths, default=1) ** 2 * depth


@functools.cache
def _read_limits() -> dict[str, float]:
    """Of the keys of all architectures here, the largest of those that share a name."""
    limits: dict[str, float] = {}
    for kind in list_models().values():
        for key, hint in get_type_hints(kind, include_extras=True).items():
            for bounds in getattr(hint, "__metadata__", ()):
                if isinstance(bounds, Bounds):
                    limits[key] = max(limits.get(key, 0), bounds.limit)
    return limits
