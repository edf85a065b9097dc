"""Mistakes a user can mend; command lines print their message without a traceback."""

from __future__ import annotations


class UserError(Exception):
    """Base of all errors whose message names what is wrong, the value, what was expected and what to do."""


class ConfigError(UserError, ValueError):
    """A configuration or argument that cannot be used."""
