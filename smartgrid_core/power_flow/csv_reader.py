"""A radial feeder from a CSV file with one row a branch, first line the names of the columns in any order.

Columns of every row:

- ``from_bus``, ``to_bus``: names of the buses it joins; buses are listed nowhere else.
- ``kind``: ``line`` (also when empty or the column is missing), ``transformer`` or ``switch`` (no impedance).
- ``name``: optional, unique.

Of a line: ``r_ohm``, ``x_ohm`` (whole line), ``rating_a``, optional ``c_nf`` (whole line) and ``length_km``,
which, where it is given, multiplies r, x and c: they are then per km.

Of a transformer, ``from_bus`` being the high-voltage side: ``sn_kva``, ``vn_from_kv``, ``vn_to_kv`` (these
are also the buses' nominal voltages), ``vk_percent``, ``vkr_percent``, optional ``no_load_kw`` and
``no_load_percent``.

The slack is the transformer's ``from_bus``, else the ``from_bus`` of the first row, unless the caller names
another.

    kind,from_bus,to_bus,r_ohm,x_ohm,rating_a,sn_kva,vn_from_kv,vn_to_kv,vk_percent,vkr_percent,no_load_kw
    transformer,grid,busbar,,,,160,20,0.4,4,1.47,0.21
    line,busbar,house 1,0.0083,0.0032,270,,,,,,
    line,house 1,house 2,0.0083,0.0032,270,,,,,,
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path

from .feeder import KINDS, LINE, SWITCH, TRANSFORMER, Feeder, FeederError
from .radial import transformer_branch
from .topology import Branch, Bus, assemble

S_BASE_KVA = 100.0

HIGHEST_KV = 150.0  # of what a low-voltage feeder hangs on; beyond, a column is in V
KILOVOLTS = f"a voltage in kV > 0, at most {HIGHEST_KV:g}"
MOST_BRANCHES = 2000  # what a path from every bus to the slack is kept for takes their square


@dataclass
class _Row:
    """One row; knows where it stands, so that every error can say so."""

    path: Path
    number: int
    values: dict[str, str]

    def error(self, column: str, expected: str) -> FeederError:
        value = self.values.get(column)
        got = "column missing or empty" if not value else repr(value)
        message = f"{self.path}, line {self.number}, column {column!r}: {got}; expected {expected}"
        return FeederError(message, row=self.number, column=column)

    def text(self, column: str) -> str:
        value = self.values.get(column, "")
        if not value:
            raise self.error(column, "a name")
        return value

    def number_of(self, column: str, expected: str, *, low: float, default: float | None = None) -> float:
        """The column's value: finite, at least ``low``, and above it where ``expected`` says "> 0"."""
        if not self.values.get(column):
            if default is not None:
                return default
            raise self.error(column, expected)
        try:
            value = float(self.values[column])
        except ValueError:
            raise self.error(column, expected) from None
        if not math.isfinite(value) or value < low or (value == low and "> 0" in expected):
            raise self.error(column, expected)
        return value


def read_csv(
    path: str | Path,
    *,
    slack: str | None = None,
    vn_kv: float = 0.4,
    v0_pu: float = 1.0,
    frequency_hz: float = 50.0,
) -> Feeder:
    """See :meth:`Feeder.from_csv`. ``vn_kv`` is the nominal voltage of buses that no transformer names."""
    path = Path(path)
    rows = _rows(path)
    index: dict[str, int] = {}
    for row in rows:
        for column in ("from_bus", "to_bus"):
            index.setdefault(row.text(column), len(index))
        if row.values["from_bus"] == row.values["to_bus"]:
            raise row.error("to_bus", "another bus than from_bus")
    first = next((row for row in rows if row.values.get("kind") == TRANSFORMER), rows[0])
    slack = first.text("from_bus") if slack is None else slack
    if slack not in index:
        raise FeederError(f"{path}: no bus is called {slack!r} (slack); buses: {', '.join(index)}")
    voltages = _nominal_voltages(rows, index, vn_kv)
    buses = [Bus(name, voltages[i]) for name, i in index.items()]
    branches = _branches(rows, index, voltages, frequency_hz)
    return assemble(path.stem, buses, branches, slack=index[slack], v0_pu=v0_pu, s_base_kva=S_BASE_KVA)


def _rows(path: Path) -> list[_Row]:
    try:
        rows = _read_rows(path)
    except (UnicodeDecodeError, csv.Error) as error:
        raise FeederError(f"{path}: no CSV file in UTF-8 ({error}); save it as one") from None
    if not rows:
        raise FeederError(f"{path}: no branches; expected one row a branch below the column names")
    for row in rows:
        if row.values.setdefault("kind", LINE) not in KINDS and row.values["kind"]:
            raise row.error("kind", f"one of {', '.join(KINDS)}")
        row.values["kind"] = row.values["kind"] or LINE
    return rows


def _read_rows(path: Path) -> list[_Row]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file, restkey="extra", restval="")
        if any(";" in name for name in reader.fieldnames or ()):
            raise FeederError(f"{path}, line 1: columns are separated by semicolons; separate them by commas")
        for column in ("from_bus", "to_bus"):
            if column not in (reader.fieldnames or ()):
                raise FeederError(f"{path}, line 1: no column {column!r}; found {reader.fieldnames}")
        rows: list[_Row] = []
        for values in reader:
            if "extra" in values:
                raise FeederError(f"{path}, line {reader.line_num}: more cells than the first line has columns")
            rows.append(_Row(path, reader.line_num, {k: v.strip() for k, v in values.items()}))
            if len(rows) > MOST_BRANCHES:
                raise FeederError(f"{path}: more than {MOST_BRANCHES:,} branches, the most a feeder may have")
    return rows


def _nominal_voltages(rows: list[_Row], index: dict[str, int], vn_kv: float) -> list[float]:
    """Known at the transformers, carried along lines and switches; ``vn_kv`` elsewhere."""
    known: dict[int, float] = {}
    for row in rows:
        if row.values["kind"] == TRANSFORMER:
            for end in ("from", "to"):
                value = row.number_of(f"vn_{end}_kv", KILOVOLTS, low=0.0)
                if value > HIGHEST_KV:
                    raise row.error(f"vn_{end}_kv", KILOVOLTS)
                if known.setdefault(index[row.values[f"{end}_bus"]], value) != value:
                    raise row.error(f"vn_{end}_kv", "the same voltage as another transformer at this bus")
            if known[index[row.values["to_bus"]]] > known[index[row.values["from_bus"]]]:
                raise row.error("vn_to_kv", "at most vn_from_kv: from_bus is the high-voltage side; swap the two ends")
    pending = [row for row in rows if row.values["kind"] != TRANSFORMER]
    progress = True
    while pending and progress:
        progress = False
        for row in list(pending):
            i, j = index[row.values["from_bus"]], index[row.values["to_bus"]]
            if i in known or j in known:
                voltage = known[i] if i in known else known[j]
                if known.setdefault(i, voltage) != known.setdefault(j, voltage):
                    raise row.error("to_bus", f"a bus of {known[i]:g} kV, as from_bus; found {known[j]:g} kV")
                pending.remove(row)
                progress = True
    return [known.get(i, vn_kv) for i in index.values()]


def _branches(rows: list[_Row], index: dict[str, int], voltages: list[float], frequency_hz: float) -> list[Branch]:
    branches: list[Branch] = []
    taken: set[str] = set()
    for row in rows:
        i, j = index[row.values["from_bus"]], index[row.values["to_bus"]]
        name = row.values.get("name") or f"{row.values['from_bus']} – {row.values['to_bus']}"
        if name in taken:
            raise row.error("name", "a name or a pair of buses that occurs once")
        taken.add(name)
        kind = row.values["kind"]
        if kind == SWITCH:
            branches.append(Branch(name, SWITCH, i, j, 0j, math.inf, math.inf))
        elif kind == TRANSFORMER:
            branches.append(_transformer(row, name, i, j))
        else:
            branches.append(_line(row, name, i, j, voltages[i], frequency_hz))
    return branches


def _line(row: _Row, name: str, i: int, j: int, vn_kv: float, frequency_hz: float) -> Branch:
    base_ohm = vn_kv**2 * 1e3 / S_BASE_KVA
    km = row.number_of("length_km", "a length in km > 0", low=0.0, default=1.0)
    r = row.number_of("r_ohm", "a resistance in Ω ≥ 0", low=0.0)
    x = row.number_of("x_ohm", "a reactance in Ω ≥ 0", low=0.0)
    c = row.number_of("c_nf", "a capacitance in nF ≥ 0", low=0.0, default=0.0)
    rating = math.sqrt(3) * vn_kv * row.number_of("rating_a", "a current in A > 0", low=0.0)
    half_charging = 1j * math.pi * frequency_hz * c * 1e-9 * km * base_ohm
    return Branch(name, LINE, i, j, complex(r, x) * km / base_ohm, rating, rating, charging_pu=half_charging)


def _transformer(row: _Row, name: str, i: int, j: int) -> Branch:
    vk = row.number_of("vk_percent", "a short-circuit voltage in % > 0", low=0.0)
    vkr = row.number_of("vkr_percent", "its resistive part in % ≥ 0", low=0.0)
    if vkr > vk:
        raise row.error("vkr_percent", f"at most vk_percent = {vk:g}")
    return transformer_branch(
        name,
        i,
        j,
        row.number_of("sn_kva", "a rated power in kVA > 0", low=0.0),
        vk,
        vkr,
        row.number_of("no_load_kw", "a power in kW ≥ 0", low=0.0, default=0.0),
        row.number_of("no_load_percent", "a current in % ≥ 0", low=0.0, default=0.0),
        S_BASE_KVA,
    )
