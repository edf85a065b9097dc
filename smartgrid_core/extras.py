"""Optional libraries: imported where they are needed, and named with their install command where missing."""

from __future__ import annotations

import importlib
from types import ModuleType

from smartgrid_core.errors import UserError


class MissingExtraError(UserError, ImportError):
    """An optional library is not installed; the message says what to install."""


def require(module: str, extra: str) -> ModuleType:
    """Import an optional library.

    Args:
        module: name to import, e.g. "pettingzoo".
        extra: the extra of smartgrid-marl that brings it, e.g. "envs".

    Raises:
        MissingExtraError: the library is not installed. One that is broken raises its own error.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != module.partition(".")[0]:
            raise
        raise MissingExtraError(
            f"{module} is not installed: pip install 'smartgrid-marl[{extra}]'", name=module
        ) from None
