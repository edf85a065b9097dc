"""The tables of the recordings' file."""

from __future__ import annotations

import sqlite3

from server.database import Layout, transaction

TABLES = """
CREATE TABLE recording (
    number INTEGER PRIMARY KEY,           -- in the order of recording
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,                   -- for people
    pinned INTEGER NOT NULL DEFAULT 0,    -- 1: kept when room is made
    scenario TEXT NOT NULL,
    policy TEXT NOT NULL,
    seed INTEGER,
    started REAL NOT NULL,                -- s since 1970 UTC
    ended REAL,                           -- NULL: being recorded, or the server died
    end_reason TEXT,
    first INTEGER NOT NULL DEFAULT 0,     -- number of the oldest frame that is still there
    next INTEGER NOT NULL DEFAULT 0,      -- number of the frame after the newest
    bytes INTEGER NOT NULL DEFAULT 0,     -- of compressed frames
    dropped INTEGER NOT NULL DEFAULT 0,   -- frames that came faster than they could be written
    about BLOB NOT NULL                   -- JSON: hello message, scenario configuration
);
CREATE TABLE chunk (
    recording INTEGER NOT NULL REFERENCES recording(number),
    first INTEGER NOT NULL,               -- number of its first frame
    frames INTEGER NOT NULL,
    last_step INTEGER NOT NULL,
    last_sim_time TEXT NOT NULL,
    last_wall REAL NOT NULL,              -- s since 1970 UTC
    data BLOB NOT NULL,                   -- zlib of the frames' JSON, one a line
    UNIQUE (recording, first)
);
CREATE TABLE event (
    recording INTEGER NOT NULL REFERENCES recording(number),
    frame INTEGER NOT NULL,               -- in which it begins
    until INTEGER,                        -- frame in which it is over, NULL: it lasts to the end
    step INTEGER NOT NULL,
    sim_time TEXT NOT NULL,
    kind TEXT NOT NULL,
    key TEXT NOT NULL,                    -- tells apart events of one kind
    detail TEXT NOT NULL
);
CREATE INDEX event_of_recording ON event (recording, frame);
"""

LAYOUT = Layout("recordings", version=1, application_id=0x53474D52, tables=TABLES)


def delete_recording(db: sqlite3.Connection, number: int) -> None:
    """Remove a recording with all its frames; the room is the file's until it is shrunk."""
    with transaction(db):
        for table in ("chunk", "event"):
            db.execute(f"DELETE FROM {table} WHERE recording = ?", (number,))
        db.execute("DELETE FROM recording WHERE number = ?", (number,))
