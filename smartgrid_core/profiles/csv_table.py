"""Reading a user's csv file so that every fault is told with its file, row, column and value."""

from __future__ import annotations

import csv
import difflib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import NoReturn
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from smartgrid_core.profiles.types import ProfileError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, eq=False)
class CsvTable:
    """Some columns of a csv file as text, with the row number of each line (1 is the header)."""

    path: Path
    rows: np.ndarray  # [R] int64
    columns: dict[str, list[str]]  # name -> R texts

    def fail(self, line: int, column: str, problem: str) -> NoReturn:
        """Raise `ProfileError` for entry `line` (0-based among the data) of `column`."""
        value = self.columns[column][line]
        row = int(self.rows[line])
        message = f"{self.path}, row {row}, column {column}, value {value!r}: {problem}"
        raise ProfileError(message, row=row, column=column)

    def numbers(self, column: str, unit: str) -> np.ndarray:
        """A column as finite float64 [R]; raises `ProfileError` at the first entry that is not a number."""
        texts = self.columns[column]
        try:
            values = np.array(texts, dtype=np.float64)
        except ValueError:
            values = np.array([_number(text) for text in texts])
        bad = np.flatnonzero(~np.isfinite(values))
        if bad.size:
            line = int(bad[0])
            what = "is empty" if not texts[line].strip() else "is not a finite number"
            self.fail(
                line,
                column,
                f"{what}; expected {unit} with a decimal point. Fill the gap or correct the entry",
            )
        return values


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def read_csv_table(path: str | Path, names: Sequence[str]) -> CsvTable:
    """Read the columns `names` of a comma-separated file with a header; other columns and empty lines are
    passed over.

    Raises:
        ProfileError: no such file, not UTF-8 text, a missing column, a line with too few or many fields, no
            lines.
    """
    path = Path(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            header = [name.strip() for name in next(reader, [])]
            _check_header(path, header, names)
            lines = [(row, line) for row, line in enumerate(reader, start=2) if line]
    except OSError as error:
        raise ProfileError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ProfileError(f"{path}: not a csv file in UTF-8 ({error}); save it as UTF-8 csv") from error
    if not lines:
        raise ProfileError(f"{path}: no rows below the header; expected at least one day of data")
    for row, line in lines:
        if len(line) != len(header):
            raise ProfileError(
                f"{path}, row {row}: {len(line)} fields, but the header names {len(header)} columns; "
                "correct the row (a decimal comma also splits a number in two: use a point)",
                row=row,
            )
    position = {name: header.index(name) for name in names}
    return CsvTable(
        path=path,
        rows=np.array([row for row, _ in lines], np.int64),
        columns={name: [line[place] for _, line in lines] for name, place in position.items()},
    )


def _check_header(path: Path, header: list[str], names: Sequence[str]) -> None:
    if len(header) == 1 and any(separator in header[0] for separator in ";\t"):
        used = "semicolons" if ";" in header[0] else "tabs"
        raise ProfileError(f"{path}, row 1: fields are separated by {used}; separate them by commas", row=1)
    for name in names:
        if name not in header:
            near = difflib.get_close_matches(name, header, n=1)
            hint = f"is it the one called {near[0]!r}? Rename it" if near else "add it"
            raise ProfileError(
                f"{path}, row 1: column {name} is missing; expected {', '.join(names)}, found "
                f"{', '.join(header)}; {hint}",
                row=1,
                column=name,
            )
        if header.count(name) > 1:
            message = f"{path}, row 1: column {name} appears {header.count(name)} times; keep one"
            raise ProfileError(message, row=1, column=name)


# ---- Time --------------------------------------------------------------------------------------------------


def open_time_zone(name: str | None) -> tzinfo | None:
    """The time zone of an IANA name, None of None; raises `ProfileError` for others."""
    if name is None:
        return None
    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ProfileError(
            f"time_zone = {name!r}: not known; expected an IANA name such as Europe/Berlin or UTC "
            "(where the system has no time-zone data: pip install tzdata)"
        ) from error


def standard_minutes(table: CsvTable, zone: tzinfo | None, groups: Sequence[str]) -> np.ndarray:
    """Column `timestamp` as minutes of local standard time since 1970, int64 [R].

    Stamps without offset are on the zone's clock, summer time included. The hour that the clock shows twice
    in autumn is told apart by order: within a group (an agent) the first time a stamp appears is summer time,
    the second standard.

    Args:
        table: with the column `timestamp`.
        zone: of stamps without offset, and of the result; None: UTC, which stamps with an offset must be in too, as
            nobody said that tariffs and days follow another clock than theirs.
        groups: [R], what each row belongs to.

    Raises:
        ProfileError: a stamp that is not ISO 8601, has fractions of a minute, or does not exist in spring.
    """
    stamps = table.columns["timestamp"]
    seen: dict[str, _Stamp] = {}
    repeats: dict[tuple[str, str], int] = defaultdict(int)
    minutes = np.empty(len(stamps), np.int64)
    for line, text in enumerate(stamps):
        stamp = seen.get(text)
        if stamp is None:
            stamp = seen[text] = _parse_stamp(table, line, UTC if zone is None else zone)
            if zone is None and stamp.offset_min:
                table.fail(line, "timestamp",
                           "has an offset from UTC, and nothing says which clock tariffs and days follow; set "
                           "time_zone to the place's zone (e.g. Europe/Berlin), or to UTC")  # fmt: skip
        if stamp.second is None:
            minutes[line] = stamp.first
        else:
            group = groups[line], text
            minutes[line] = stamp.first if repeats[group] == 0 else stamp.second
            repeats[group] += 1
    return minutes + _standard_offset_minutes(UTC if zone is None else zone, int(minutes[0]))


@dataclass(frozen=True)
class _Stamp:
    first: int  # minutes since 1970 UTC
    second: int | None  # of its repetition in autumn, None for stamps that occur once
    offset_min: int = 0  # written in the stamp


def _parse_stamp(table: CsvTable, line: int, zone: tzinfo) -> _Stamp:
    text = table.columns["timestamp"][line].strip()
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        table.fail(
            line,
            "timestamp",
            "not an ISO 8601 stamp; expected e.g. 2016-06-01T14:15 or 2016-06-01T14:15+02:00",
        )
    if moment.second or moment.microsecond:
        table.fail(line, "timestamp", "has seconds; expected whole minutes on the grid of step_minutes")
    if moment.tzinfo is not None:
        offset = moment.utcoffset() or timedelta()
        return _Stamp(_utc_minutes(moment), None, offset // timedelta(minutes=1))
    early = moment.replace(tzinfo=zone)
    late = early.replace(fold=1)
    if early.utcoffset() == late.utcoffset():
        return _Stamp(_utc_minutes(early), None)
    if early.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != moment:
        table.fail(
            line,
            "timestamp",
            f"the clock of {zone} jumps over this hour (summer time begins). If the stamps never "
            "change to summer time, "
            "give a fixed zone (Etc/GMT-1 is UTC+1) or write the offset into each stamp (…+01:00)",
        )
    return _Stamp(_utc_minutes(early), _utc_minutes(late))


def _utc_minutes(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(minutes=1)


def _standard_offset_minutes(zone: tzinfo, utc_minutes: int) -> int:
    """Offset of standard time: the smaller of January's and July's, summer time being ahead in both
    hemispheres."""
    year = (_EPOCH + timedelta(minutes=utc_minutes)).year
    offsets = [datetime(year, month, 1, tzinfo=zone).utcoffset() for month in (1, 7)]
    return min(offset for offset in offsets if offset is not None) // timedelta(minutes=1)


def stamp_text(minutes: int) -> str:
    """Minutes since 1970 as a readable stamp."""
    return str(np.datetime64(int(minutes), "m")).replace("T", " ")


def check_uniform(table: CsvTable, lines: np.ndarray, minutes: np.ndarray, step_minutes: int, owner: str) -> None:
    """Raise `ProfileError` unless the rows `lines` [L] of one owner step through `minutes` [R] without
    fault."""
    own = minutes[lines]
    misaligned = np.flatnonzero(own % step_minutes)
    steps = np.diff(own)
    if steps.size and (misaligned.size or (steps != step_minutes).any()):
        usual = int(np.bincount(np.clip(steps, 0, 1440)).argmax())
        if usual not in (0, step_minutes) and np.count_nonzero(steps == usual) > steps.size // 2:
            table.fail(
                int(lines[1]),
                "timestamp",
                f"{owner} has a row every {usual} min, but step_minutes = {step_minutes}; "
                f"set step_minutes = {usual}, or resample the file",
            )
    if misaligned.size:
        table.fail(int(lines[misaligned[0]]), "timestamp", f"not on the grid of {step_minutes} min from midnight")
    wrong = np.flatnonzero(steps != step_minutes)
    if not wrong.size:
        return
    at = int(wrong[0])
    line, step, previous = int(lines[at + 1]), int(steps[at]), stamp_text(int(own[at]))
    if (own[: at + 1] == own[at + 1]).any():
        table.fail(
            line,
            "timestamp",
            f"{owner} has this moment already; remove the duplicate (in an autumn night the clock shows "
            "one hour twice: that is understood if time_zone names the zone)",
        )
    if step < 0:
        table.fail(
            line,
            "timestamp",
            f"{owner}: earlier than the row before it ({previous} standard time); sort the rows",
        )
    table.fail(
        line,
        "timestamp",
        f"{owner}: {step} min after the row before it ({previous} standard time), expected {step_minutes}; "
        f"fill the gap of {step // step_minutes - 1} rows. A gap of one hour at a change of the clock means "
        "that time_zone is not the zone the stamps were written in",
    )
