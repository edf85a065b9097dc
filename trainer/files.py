"""Files that are whole or not there, whatever ends the process or the machine; and what to say of damaged ones."""

from __future__ import annotations

import errno
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from smartgrid_core.errors import ConfigError, UserError


@contextmanager
def replaced_whole(path: Path) -> Iterator[Path]:
    """A file to write beside `path`, which takes its place when the block ends and is removed if it fails.

    A reader or a crash sees the old file or the new one, never half of one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp makes it private; results are meant to be read
        os.replace(temporary, path)
        sync(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that a reader or a crash sees the old one or the new one, never half of one."""
    with replaced_whole(path) as temporary:
        temporary.write_bytes(data)


def sync(folder: Path) -> None:
    """Have the names in a folder on the disk, as fsync has a file's content; where a system can do that for folders."""
    handle = None
    try:
        handle = os.open(folder, os.O_RDONLY)
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EINVAL, errno.ENOTSUP, errno.EISDIR):
            raise
    finally:
        if handle is not None:
            os.close(handle)


def write_through(path: Path, data: bytes | memoryview) -> None:
    """Write a file that no one reads before its folder has its name, and have it on the disk."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def damage_told(path: Path, remedy: str) -> Iterator[None]:
    """Whatever a damaged file makes its reader raise becomes a ConfigError that names the file and a remedy."""
    try:
        yield
    except (UserError, FileNotFoundError, PermissionError, MemoryError):
        raise
    except Exception as error:  # json, safetensors, pickle and zip have each their own
        words = f"{type(error).__name__} {error}" if isinstance(error, KeyError) else str(error)
        reason = " ".join(words.split())[:200] or type(error).__name__
        raise ConfigError(f"{path} is damaged or not what it is named after ({reason}): {remedy}") from error


def read_json(path: Path, remedy: str) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        ConfigError: the file holds something else; the message ends with the remedy.
    """
    with damage_told(path, remedy):
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError(f"a {type(content).__name__} and no object")
    return content


def refuse_unwritable(option: str, path: Path, remedy: str) -> None:
    """Refuse, with nothing written, a path that nothing can be written at or below.

    Raises:
        ConfigError: what stands in the way.
    """
    there = next(p for p in (path, *path.absolute().parents) if p.exists())
    what = "is no folder" if not there.is_dir() else "may not be written to"
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise ConfigError(f"{option} {path}: {there} {what}; {remedy}")
