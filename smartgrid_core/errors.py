"""Mistakes a user can mend; command lines print their message without a traceback."""

from __future__ import annotations


class UserError(Exception):
    """Base of all errors whose message names what is wrong, the value, what was expected and what to do."""


class ConfigError(UserError, ValueError):
    """A configuration or argument that cannot be used."""


class DataFileError(UserError, ValueError):
    """A data file that cannot be used; `row` (1 is the header) and `column` where one place in it is at fault."""

    def __init__(self, message: str, *, row: int | None = None, column: str | None = None):
        super().__init__(message)
        self.row, self.column = row, column


class InvalidConfigError(ConfigError):
    """A configuration with faulty fields; `faults` has the path of each and what is wrong."""

    def __init__(self, message: str, faults: list[tuple[str, str]]):
        super().__init__(message)
        self.faults = faults
