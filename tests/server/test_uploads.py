"""Uploaded files: received off the event loop, one at a time under a name, within their room, whatever crashed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from server import uploads as module
from server.errors import ApiError
from server.uploads import DataFile, Options, Uploads

FEEDER = b"from_bus,to_bus,r_ohm,x_ohm,rating_a\na,b,0.1,0.1,100\n"
OPTIONS = Options(kind="feeder")


@pytest.fixture
def uploads(tmp_path: Path) -> Uploads:
    return Uploads(tmp_path / "data", 1 << 20, 3 * len(FEEDER), tmp_path / "scenarios")


async def body(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


def receive(uploads: Uploads, name: str, replace: bool = False, *parts: bytes) -> DataFile:
    return asyncio.run(uploads.receive(name, body(*(parts or (FEEDER,))), OPTIONS, replace))


def left(uploads: Uploads) -> set[str]:
    return {path.name for path in uploads.folder.iterdir()}


def test_the_event_loop_touches_no_file(uploads: Uploads, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames go out meanwhile, at ten a second and more."""
    loops, opened = [], open

    def off_the_loop(*arguments: Any, **options: Any) -> Any:
        loops.append(threading.current_thread() is threading.main_thread())
        return opened(*arguments, **options)

    monkeypatch.setattr("io.open", off_the_loop)
    for name in ("write_atomically", "inspect"):
        real = getattr(module, name)
        monkeypatch.setattr(
            module, name, lambda *a, real=real: (loops.append(threading.current_thread() is threading.main_thread()),
                                                 real(*a))[1],
        )  # fmt: skip
    assert receive(uploads, "one", False, FEEDER[:20], FEEDER[20:]).buses == ["a", "b"]
    assert len(loops) >= 2
    assert not any(loops)
    assert left(uploads) == {"one.csv", "one.json"}


def test_of_two_at_once_under_a_name_one_is_kept(uploads: Uploads) -> None:
    async def both() -> list[Any]:
        together = asyncio.Barrier(2)

        async def parts(bus: bytes) -> AsyncIterator[bytes]:
            yield FEEDER.replace(b"b,", bus + b",")
            await together.wait()

        return await asyncio.gather(
            *(uploads.receive("one", parts(bus), OPTIONS, replace=False) for bus in (b"x", b"y")),
            return_exceptions=True,
        )

    results = asyncio.run(both())
    (kept,) = (result for result in results if isinstance(result, DataFile))
    (refused,) = (result for result in results if isinstance(result, ApiError))
    assert (refused.status, refused.field) == (409, "name")
    assert uploads.get("one") == kept
    assert kept.buses[1].encode() in uploads.path("one").read_bytes()


def test_all_together_have_a_limit(uploads: Uploads) -> None:
    for name in "abc":
        receive(uploads, name)
    with pytest.raises(ApiError, match="delete some") as caught:
        receive(uploads, "d")
    assert (caught.value.status, caught.value.code) == (507, "uploads_full")
    receive(uploads, "a", True)  # which takes its own place
    uploads.delete("b")
    receive(uploads, "d")
    assert left(uploads) == {f"{name}.{kind}" for name in "acd" for kind in ("csv", "json")}


def test_those_that_come_in_together_count_together(uploads: Uploads) -> None:
    async def many() -> list[Any]:
        together = asyncio.Barrier(4)

        async def parts() -> AsyncIterator[bytes]:
            yield FEEDER[:-1]
            await together.wait()
            yield FEEDER[-1:]

        names = ("one", "two", "three", "four")
        return await asyncio.gather(
            *(uploads.receive(name, parts(), OPTIONS, replace=False) for name in names), return_exceptions=True
        )

    uploads.cap_bytes = 4 * len(FEEDER) - 1
    results = asyncio.run(many())
    assert sum(isinstance(result, DataFile) for result in results) == 3
    assert [result.code for result in results if isinstance(result, ApiError)] == ["uploads_full"]
    assert uploads._coming == 0


def test_what_a_crash_left_can_be_replaced_and_deleted(uploads: Uploads) -> None:
    uploads.folder.mkdir()
    uploads.path("half").write_bytes(b"old")
    assert receive(uploads, "half").buses == ["a", "b"]
    with pytest.raises(ApiError, match="already"):
        receive(uploads, "half")
    (uploads.folder / "half.json").unlink()
    uploads.delete("half")
    assert left(uploads) == set()
    with pytest.raises(ApiError, match="there is no uploaded file"):
        uploads.delete("half")


def test_a_killed_servers_leftovers_go_and_what_comes_in_stays(uploads: Uploads) -> None:
    killed = uploads.folder / ".upload-abc"
    killed.mkdir(parents=True)
    (killed / "one.csv").write_bytes(FEEDER)

    async def parts() -> AsyncIterator[bytes]:
        yield FEEDER[:20]
        Uploads(uploads.folder, 1, 1, uploads.scenarios).tidy()  # another server of the folder starts
        yield FEEDER[20:]

    asyncio.run(uploads.receive("two", parts(), OPTIONS, replace=False))
    assert left(uploads) == {"two.csv", "two.json"}
