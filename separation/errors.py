"""Errors that a user can mend."""


class UserError(ValueError):
    """A user's mistake: one sentence that names the thing and the fix (exit code 2)."""


class MissingInputError(UserError, FileNotFoundError):
    """A file or folder that should be there is not."""

    def __str__(self) -> str:
        return str(self.args[0])
