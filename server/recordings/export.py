"""Recordings as files: CSV and Parquet with a line per prosumer (or flow, or step) and frame, JSON as it was sent."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import orjson

from server.csv_cells import cell
from server.errors import ApiError
from server.recordings.store import Chunk, RecordingStore, parsed
from smartgrid_core.extras import MissingExtraError, require

Table = Literal["agents", "flows", "metrics"]
_HEAD = ("frame", "timestamp", "sim_time", "step")


def rows(name: str, chunk: Chunk, table: Table) -> Iterator[dict[str, Any]]:
    """Lines of a table in a chunk: one an agent, a flow, or a frame (its metrics)."""
    for offset, payload in enumerate(chunk.frames):
        frame = parsed(name, chunk.first + offset, payload)
        head = {"frame": chunk.first + offset} | {key: frame[key] for key in _HEAD[1:]}
        if table == "agents":
            yield from (head | agent for agent in frame["agents"])
        elif table == "flows":
            yield from (head | flow for flow in frame["energy_flows"])
        else:
            yield head | {"stability": frame["stability"]} | frame["metrics"]


def csv_text(store: RecordingStore, name: str, table: Table, first: int, end: int | None) -> Iterator[bytes]:
    """Lines of CSV; columns are those of the first line, units are in their names."""
    columns: list[str] | None = None
    for chunk in store.chunks(name, first, end):
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        for row in rows(name, chunk, table):
            if columns is None:
                columns = list(row)
                writer.writerow(columns)
            writer.writerow([cell(row.get(column)) for column in columns])
        yield text.getvalue().encode()
    if columns is None:
        yield (",".join(_HEAD) + "\n").encode()


def json_text(store: RecordingStore, name: str, first: int, end: int | None) -> Iterator[bytes]:
    """One JSON object: the recording's description, its events, its frames."""
    about = store.get(name).model_dump(mode="json")
    events = store.events(name, limit=1_000_000).model_dump(mode="json")["events"]
    yield b'{"recording":' + orjson.dumps(about) + b',"events":' + orjson.dumps(events) + b',"frames":['
    separator = b""
    for chunk in store.chunks(name, first, end):
        yield separator + b",".join(chunk.frames)
        separator = b","
    yield b"]}\n"


def parquet_file(store: RecordingStore, name: str, table: Table, first: int, end: int | None) -> Path:
    """A temporary Parquet file, for the caller to delete; one row group every 64 Ki lines.

    Raises:
        ApiError: pyarrow is not installed; the message has the command.
    """
    try:
        pa, pq = require("pyarrow", "parquet"), require("pyarrow.parquet", "parquet")
    except MissingExtraError as error:
        raise ApiError(501, "missing_extra", f"{error}, and start the server again", "format") from None
    with tempfile.NamedTemporaryFile(prefix="smartgrid-", suffix=".parquet", delete=False) as file:
        path = Path(file.name)
    try:
        writer, pending = None, []
        for chunk in store.chunks(name, first, end):
            pending += list(rows(name, chunk, table))
            if len(pending) >= 65_536:
                writer = _append(pa, pq, writer, path, pending)
                pending = []
        writer = _append(pa, pq, writer, path, pending)
        writer.close()
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return path


def _append(pa: Any, pq: Any, writer: Any, path: Path, lines: list[dict[str, Any]]) -> Any:
    """Write lines; the first ones decide the columns and their types."""
    plain = [{key: _flat(value) for key, value in line.items()} for line in lines]
    if writer is None:
        found = pa.Table.from_pylist(plain).schema if plain else pa.schema([("frame", pa.int64())])
        # A column that is empty so far holds numbers later: texts are never empty.
        fields = [pa.field(f.name, pa.float64() if pa.types.is_null(f.type) else f.type) for f in found]
        writer = pq.ParquetWriter(path, pa.schema(fields))
    writer.write_table(pa.Table.from_pylist(plain, schema=writer.schema))
    return writer


def _flat(value: Any) -> Any:
    return orjson.dumps(value).decode() if isinstance(value, list | dict) else value
