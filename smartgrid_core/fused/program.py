"""A step as scalar arithmetic: values of one grid, each known by a number, equal ones known by the same."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

FLOAT, INT, BOOL = "float", "int", "bool"
TABLE = "table "  # begins the operation that looks up a table, which its number ends
Constant = float | int | bool


class Node(NamedTuple):
    """One value of a grid."""

    op: str  # "input", "constant", TABLE and a number, or an operation of `OPERATIONS`
    kind: str  # FLOAT (32 bit), INT (32 bit) or BOOL
    args: tuple[Any, ...]  # numbers of the values it is made of; of inputs (argument, row), of constants the value
    uniform: bool  # the same for all grids


class Program:
    """Values and how they are made. Constants fold, what is made twice is made once."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.tables: list[np.ndarray] = []  # of int32, looked up by values
        self._known: dict[Any, int] = {}

    def input(self, argument: int, row: int, kind: str, uniform: bool) -> int:
        """Row of an argument: a number a grid, or one for all."""
        return self._add(Node("input", kind, (argument, row), uniform))

    def constant(self, value: Constant, kind: str) -> int:
        """A number known now; rounded as a tensor of its kind would hold it."""
        if kind == FLOAT:
            value = float(np.float32(value))
        value = bool(value) if kind == BOOL else _wrapped(int(value)) if kind == INT else value
        key = math.copysign(1.0, value) if value == 0 else 0.0  # −0 is not 0
        return self._add(Node("constant", kind, (value,), True), key)

    def value(self, number: int) -> Constant | None:
        """What a constant is; None of other values."""
        node = self.nodes[number]
        return node.args[0] if node.op == "constant" else None

    def look_up(self, table: np.ndarray, index: int) -> int:
        """An entry of a table of whole numbers."""
        place = next((k for k, t in enumerate(self.tables) if np.array_equal(t, table)), len(self.tables))
        if place == len(self.tables):
            self.tables.append(table.astype(np.int32))
        return self._add(Node(f"{TABLE}{place}", INT, (index,), self.nodes[index].uniform))

    def make(self, op: str, *args: int) -> int:
        """The value of an operation."""
        kind = OPERATIONS[op].kind or self.nodes[args[-1]].kind
        known = [self.value(a) for a in args]
        if all(k is not None for k in known):
            with np.errstate(all="ignore"):
                return self.constant(OPERATIONS[op].fold(*(_typed(k) for k in known)), kind)
        simple = self._simplified(op, args, known)
        if simple is not None:
            return simple
        return self._add(Node(op, kind, args, all(self.nodes[a].uniform for a in args)))

    def _simplified(self, op: str, args: Sequence[int], known: Sequence[Constant | None]) -> int | None:
        """What multiplies by 0 or 1, adds 0 or chooses by a constant. Values are finite, so 0·x is 0."""
        if op == "where" and known[0] is not None:
            return args[1] if known[0] else args[2]
        if op == "where" and args[1] == args[2]:
            return args[1]
        if op in ("mul", "add", "sub", "div", "and", "or"):
            a, b = known
            if op in ("mul", "and") and (_is(a, 0) or _is(b, 0)):
                return args[0] if _is(a, 0) else args[1]
            if (op in ("mul", "and") and _is(a, 1)) or (op in ("add", "or") and _is(a, 0)):
                return args[1]
            if (op in ("mul", "div", "and") and _is(b, 1)) or (op in ("add", "sub", "or") and _is(b, 0)):
                return args[0]
        return None

    def _add(self, node: Node, key: Any = None) -> int:
        number = self._known.get((node, key))
        if number is None:
            number = self._known[node, key] = len(self.nodes)
            self.nodes.append(node)
        return number


def _wrapped(value: int) -> int:
    """As 32 bits hold it."""
    return (value + (1 << 31)) % (1 << 32) - (1 << 31)


def _is(value: Constant | None, wanted: int) -> bool:
    return value is not None and value == wanted


def _typed(value: Any) -> Any:
    return np.float32(value) if isinstance(value, float) else value


class Operation(NamedTuple):
    """What an operation gives, and how constants fold."""

    kind: str | None  # of the result; None: of the last argument
    fold: Callable[..., Any]


OPERATIONS = {
    "add": Operation(None, lambda a, b: a + b),
    "sub": Operation(None, lambda a, b: a - b),
    "mul": Operation(None, lambda a, b: a * b),
    "div": Operation(FLOAT, lambda a, b: np.divide(a, b)),
    "min": Operation(None, min),
    "max": Operation(None, max),
    "neg": Operation(None, lambda a: -a),
    "abs": Operation(None, abs),
    "sqrt": Operation(FLOAT, np.sqrt),
    "where": Operation(None, lambda m, a, b: a if m else b),
    "lt": Operation(BOOL, lambda a, b: a < b),
    "le": Operation(BOOL, lambda a, b: a <= b),
    "eq": Operation(BOOL, lambda a, b: a == b),
    "and": Operation(BOOL, lambda a, b: a and b),
    "or": Operation(BOOL, lambda a, b: a or b),
    "not": Operation(BOOL, lambda a: not a),
    "bits_and": Operation(INT, lambda a, b: a & b),
    "bits_xor": Operation(INT, lambda a, b: a ^ b),
    "shift_right": Operation(INT, lambda a, b: a >> b),
    "mod": Operation(INT, lambda a, b: a % b),
    "floor": Operation(FLOAT, np.floor),
    "round": Operation(FLOAT, np.rint),
    "to_float": Operation(FLOAT, float),
    "to_int": Operation(INT, int),
}
