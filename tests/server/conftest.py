"""One server for all the tests of a worker that need nothing special of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.serving import Serving, serving


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server on this machine, without a token."""
    with serving(tmp_path_factory.mktemp("server"), "--heartbeat-s", "1", "--stuck-s", "1", "--frame-hz", "100") as it:
        yield it


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path
