"""Logs: one line of text or one JSON object an event, on standard error, without secrets."""

from __future__ import annotations

import logging
import logging.config
import time
from typing import Any

import orjson


class JsonFormatter(logging.Formatter):
    """time, level, logger, message, and the exception where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        event: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(), "logger": record.name, "message": record.getMessage(),
        }  # fmt: skip
        if record.exc_info:
            event["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(event, option=orjson.OPT_NON_STR_KEYS).decode()


def configure(level: str, form: str) -> None:
    """Set up logging of the process; uvicorn's goes the same way, each request's line only at level debug."""
    text = {"format": "%(asctime)s %(levelname)-7s %(name)s: %(message)s", "datefmt": "%Y-%m-%dT%H:%M:%S"}
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"text": text, "json": {"()": JsonFormatter}},
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": form}},
            "root": {"level": level.upper(), "handlers": ["stderr"]},
            "loggers": {
                "uvicorn.access": {"level": "INFO" if level == "debug" else "WARNING"},
                "uvicorn.error": {"level": "INFO" if level == "debug" else "WARNING"},
                "asyncio": {"level": "WARNING"},
            },
        }
    )
