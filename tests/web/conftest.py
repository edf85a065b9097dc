"""One browser and one server for the tests of a file.

They end with the file: while a browser is open its event loop runs in the thread of the tests, where no test of another
file could run its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.server.serving import Serving, serving
from tests.web.browsing import WEB, chromium, watched


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as it:
        yield it


@pytest.fixture(scope="module")
def server(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server with the page; asks for the browser first, so that without one nothing is started."""
    with serving(tmp_path_factory.mktemp("web"), "--web-dir", str(WEB), "--heartbeat-s", "1") as it:
        yield it


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page without faults."""
    with watched(browser) as it:
        yield it
