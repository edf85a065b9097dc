"""What is wrong with plain data that should be a model, in words: a line a fault, with the nearest field's name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

SHOWN = 80  # characters of a value that a line shows


def nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The known name that a mistyped one most likely means, or None where none is near."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=cutoff)
    return near[0] if near else None


def faults(error: ValidationError, model: type[BaseModel]) -> list[tuple[str, str]]:
    """The path of every faulty field and its line, `field = value: what was expected`, in the order found."""
    found = error.errors()
    inside = {fault["loc"][:k] for fault in found for k in range(len(fault["loc"]))}
    return [  # of a list all of whose entries are faulty pydantic says as well that it is too short
        (path := ".".join(map(str, fault["loc"])) or "configuration", _line(path, fault, model))
        for fault in found
        if not (fault["type"] == "too_short" and fault["loc"] in inside)
    ]


def _line(path: str, fault: Any, model: type[BaseModel]) -> str:
    value = fault.get("input")
    plain = isinstance(value, int | float | str | list | tuple) and len(repr(value)) < SHOWN
    shown = f" = {value!r}" if plain and fault["type"] not in ("extra_forbidden", "missing") else ""
    return f"{path}{shown}: {_expected(fault, model)}"


def _expected(fault: Any, model: type[BaseModel]) -> str:
    """What was expected where a fault is."""
    match fault["type"]:
        case "extra_forbidden":
            known = known_fields(model, fault["loc"][:-1])
            near = nearest(str(fault["loc"][-1]), known)
            return (
                f"unknown field; did you mean {near!r}?" if near else f"unknown field; known here: {', '.join(known)}"
            )
        case "missing":
            return "required but missing"
        case "tuple_type" | "list_type":
            return "expected a list, in brackets"
    return fault["msg"].removeprefix("Value error, ")


def known_fields(model: type[BaseModel], loc: Sequence[Any] = ()) -> list[str]:
    """Field names of the model that a location inside another points at."""
    schema: Mapping[str, Any] = model.model_json_schema()
    node = schema
    for part in loc:
        node = node.get("items", {}) if isinstance(part, int) else node.get("properties", {}).get(part, {})
        for option in (node, *node.get("anyOf", [])):
            if "$ref" in option:
                node = schema["$defs"][option["$ref"].rsplit("/", 1)[-1]]
                break
    return sorted(node.get("properties", {}))
