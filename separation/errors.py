"""Errors that a user can fix."""

from pathlib import Path
from typing import Any


class UserError(ValueError):
    """A user's mistake: one sentence that names the thing and the fix (exit code 2)."""


class UnscoredError(UserError):
    """Everything was done but for some mixtures, which the sentence names (exit code 1).

    Attributes:
        outputs: files that were written.
        final: whether trying again could change nothing.
    """

    def __init__(self, text: str, outputs: list[Path] | None = None, *, final: bool = False):
        super().__init__(text)
        self.outputs, self.final = outputs or [], final


class MissingInputError(UserError, FileNotFoundError):
    """A file or folder that should be there is not."""

    def __str__(self) -> str:
        return str(self.args[0])


def check_choice(key: str, value: Any, allowed: tuple) -> None:
    """Raise :class:`UserError` where the value of a key is none of those allowed."""
    if value not in allowed:
        raise UserError(f"{key}={value} is unknown; choose one of {', '.join(map(str, allowed))}.")
