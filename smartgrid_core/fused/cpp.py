"""C++ for a program: one pass over the grids, as many at a time as a vector register holds.

Every intermediate value lives in a register or on the stack; memory is read once and written once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from smartgrid_core.fused.program import BOOL, FLOAT, INT, TABLE, Node, Program

STATEMENTS = 1500  # a function; compilers take more than linear time
INFIX = {
    "add": "+", "sub": "-", "mul": "*", "div": "/", "and": "&", "or": "|", "bits_and": "&", "bits_xor": "^",
    "shift_right": ">>",
}  # fmt: skip
C_TYPES = {FLOAT: "float", INT: "int32_t", BOOL: "uint8_t"}
HEADER = (Path(__file__).parent / "vector.h").read_text(encoding="utf-8")


class Output(NamedTuple):
    """An array the program fills: its values in the order of rows, each a number a grid."""

    kind: str
    values: Sequence[int]


def source(program: Program, outputs: Sequence[Output]) -> tuple[list[int], str]:
    """The arguments that are read, and the translation unit; `run(in, out, grids, threads)` is its one entry.

    `in` holds the arguments that are read and `out` the outputs, rows one after another.
    """
    writer = _Writer(program, outputs)
    return writer.used, writer.text()


class _Writer:
    def __init__(self, program: Program, outputs: Sequence[Output]):
        self.program, self.outputs = program, outputs
        self.uniform: dict[int, int] = {}  # value → place among the values all grids share
        self.order: list[tuple[int, list[str]]] = []  # values in order of evaluation, with where to store each
        self._schedule()
        nodes = [program.nodes[v] for v in [v for v, _ in self.order] + list(self.uniform)]
        self.used = sorted({n.args[0] for n in nodes if n.op == "input"})
        self.place = {argument: k for k, argument in enumerate(self.used)}

    def _schedule(self) -> None:
        """Each value right before what needs it first: few are alive at a time."""
        done: set[int] = set()
        stores: dict[int, list[str]] = {}
        for k, output in enumerate(self.outputs):
            for row, value in enumerate(output.values):
                stores.setdefault(value, []).append(f"store(({C_TYPES[output.kind]}*)out[{k}] + b + {row} * n")
        for value in stores:
            for v in self._post_order(value, done):
                if self.program.nodes[v].op == "constant":
                    continue
                if self.program.nodes[v].uniform:
                    self.uniform[v] = len(self.uniform)
                else:
                    self.order.append((v, stores.get(v, [])))
        self.shared_stores = {v: s for v, s in stores.items() if self.program.nodes[v].uniform}

    def _post_order(self, root: int, done: set[int]) -> Iterator[int]:
        stack = [(root, False)]
        while stack:
            value, ready = stack.pop()
            if value in done:
                continue
            if ready:
                done.add(value)
                yield value
                continue
            stack.append((value, True))
            node = self.program.nodes[value]
            if node.op not in ("input", "constant"):
                stack.extend((a, False) for a in reversed(node.args))

    def text(self) -> str:
        tables = (
            f"static const int32_t table_{k}[] = {{{', '.join(map(str, table.tolist()))}}};"
            for k, table in enumerate(self.program.tables)
        )
        parts = [HEADER, *tables, self._shared(), *self._chunks(), self._main()]
        return "\n".join(parts)

    # Values all grids share -----------------------------------------------------------------------------

    def _shared(self) -> str:
        lines = ["static void shared(const void* const* in, Uniform* u) {"]
        for value, place in self.uniform.items():
            node = self.program.nodes[value]
            if node.op == "input":
                argument, row = node.args
                read = f"((const {C_TYPES[node.kind]}*)in[{self.place[argument]}])[{row}]"
                text = f"-(int32_t)({read} != 0)" if node.kind == BOOL else read
            else:
                text = _expression(node, [self._scalar(a) for a in node.args], self._kinds(node))
            lines.append(f"  u[{place}].{_field(node)} = {text};")
        return "\n".join([*lines, "}"])

    def _scalar(self, value: int) -> str:
        node = self.program.nodes[value]
        return _literal(node) if node.op == "constant" else f"u[{self.uniform[value]}].{_field(node)}"

    def _kinds(self, node: Node) -> list[str]:
        return [self.program.nodes[a].kind for a in node.args]

    # Values of a block of grids -------------------------------------------------------------------------

    def _chunks(self) -> Iterator[str]:
        """Functions of bounded length; what one needs of another passes through memory."""
        pieces = [self.order[k : k + STATEMENTS] for k in range(0, len(self.order), STATEMENTS)] or [[]]
        chunk_of = {v: c for c, piece in enumerate(pieces) for v, _ in piece}
        leaving: dict[int, int] = {}
        for c, piece in enumerate(pieces):
            for v, _ in piece:
                for a in self._operands(v):
                    if a in chunk_of and chunk_of[a] != c:
                        leaving.setdefault(a, len(leaving))
        self.num_chunks, self.num_leaving = len(pieces), len(leaving)
        for c, piece in enumerate(pieces):
            yield "\n".join([_signature(c) + " {", *self._statements(c, piece, chunk_of, leaving), "}"])

    def _operands(self, value: int) -> Sequence[int]:
        node = self.program.nodes[value]
        return () if node.op in ("input", "constant") else node.args

    def _statements(
        self, c: int, piece: Sequence[tuple[int, list[str]]], chunk_of: dict[int, int], leaving: dict[int, int]
    ) -> Iterator[str]:
        arrived: set[int] = set()
        for value, stores in piece:
            node = self.program.nodes[value]
            for a in self._operands(value):
                if chunk_of.get(a, c) != c and a not in arrived:
                    arrived.add(a)
                    kind = self.program.nodes[a].kind
                    yield f"  const {_vector(kind)} v{a} = s[{leaving[a]}].{'f' if kind == FLOAT else 'i'};"
            if node.op == "input":
                argument, row = node.args
                text = f"load((const {C_TYPES[node.kind]}*)in[{self.place[argument]}] + b + {row} * n)"
            else:
                text = _expression(node, [self._operand(a) for a in node.args], self._kinds(node))
            yield f"  const {_vector(node.kind)} v{value} = {text};"
            if value in leaving:
                yield f"  s[{leaving[value]}].{'f' if node.kind == FLOAT else 'i'} = v{value};"
            for store in stores:
                yield f"  {store}, v{value}, past);"
        if c == 0:
            for value, stores in self.shared_stores.items():
                for store in stores:
                    yield f"  {store}, splat({self._scalar(value)}), past);"

    def _operand(self, value: int) -> str:
        node = self.program.nodes[value]
        return f"splat({self._scalar(value)})" if node.uniform else f"v{value}"

    # The loop over blocks -------------------------------------------------------------------------------

    def _main(self) -> str:
        sizes = {FLOAT: 4, INT: 4, BOOL: 1}
        read = [self.program.nodes[v] for v, _ in self.order if self.program.nodes[v].op == "input"]
        rows = {"in": [(FLOAT, 0)] * len(self.used), "out": [(o.kind, len(o.values)) for o in self.outputs]}
        for node in read:
            k = self.place[node.args[0]]
            rows["in"][k] = (node.kind, max(rows["in"][k][1], node.args[1] + 1))
        tables = "\n".join(
            f"static const int {name}_rows[] = {{{', '.join([str(n) for _, n in table] + ['0'])}}};\n"
            f"static const int {name}_size[] = {{{', '.join([str(sizes[kind]) for kind, _ in table] + ['0'])}}};"
            for name, table in rows.items()
        )
        calls = " ".join(f"chunk_{c}(in, out, n, b, u, s, past);" for c in range(self.num_chunks))
        total = {name: sum(n * sizes[kind] for kind, n in table) for name, table in rows.items()}
        return MAIN.format(
            tables=tables, calls=calls, uniforms=max(len(self.uniform), 1), leaving=max(self.num_leaving, 1),
            num_in=len(rows["in"]), num_out=len(rows["out"]), pad_in=max(total["in"], 1), pad_out=max(total["out"], 1),
        )  # fmt: skip


MAIN = """
{tables}

static void block(const void* const* in, void* const* out, long n, long b, const Uniform* u, bool past) {{
  alignas(64) Slot s[{leaving}];
  {calls}
}}

// The last grids, fewer than a vector holds: through copies of full width.
static void rest(const void* const* in, void* const* out, long n, long b, const Uniform* u) {{
  alignas(64) static thread_local char pad_in[{pad_in} * W], pad_out[{pad_out} * W];
  const void* from[{num_in} + 1];
  void* to[{num_out} + 1];
  char* p = pad_in;
  for (int k = 0; k < {num_in}; ++k) {{
    from[k] = p;
    for (int r = 0; r < in_rows[k]; ++r, p += W * in_size[k]) {{
      const char* row = (const char*)in[k] + (r * n + b) * in_size[k];
      fill(p, row, in_size[k]);
      if (n - b > 1) std::memcpy(p, row, (n - b) * in_size[k]);
    }}
  }}
  p = pad_out;
  for (int k = 0; k < {num_out}; p += out_rows[k] * W * out_size[k], ++k) to[k] = p;
  block(from, to, W, 0, u, false);
  for (int k = 0; k < {num_out}; ++k)
    for (int r = 0; r < out_rows[k]; ++r)
      std::memcpy((char*)out[k] + (r * n + b) * out_size[k], (char*)to[k] + r * W * out_size[k], (n - b) * out_size[k]);
}}

extern "C" void run(const void* const* in, void* const* out, long n, int threads) {{
  Uniform u[{uniforms}];
  shared(in, u);
  const long full = n / W;
  const bool past = n % 16 == 0 && n * {pad_out} > BEYOND_CACHE;
  threads = worth_waking(threads, full);
#pragma omp parallel num_threads(threads) if (threads > 1)
  {{
#pragma omp for schedule(static)
    for (long k = 0; k < full; ++k) block(in, out, n, k * W, u, past);
    fence();
  }}
  if (full * W < n) rest(in, out, n, full * W, u);
}}
"""


def _signature(chunk: int) -> str:
    return (
        f"static __attribute__((noinline)) void chunk_{chunk}"
        "(const void* const* in, void* const* out, long n, long b, const Uniform* u, Slot* s, bool past)"
    )


def _vector(kind: str) -> str:
    return "F" if kind == FLOAT else "I"


def _field(node: Node) -> str:
    return "f" if node.kind == FLOAT else "i"


def _literal(node: Node) -> str:
    value = node.args[0]
    if node.kind == FLOAT:
        if value != value or value in (float("inf"), float("-inf")):
            return "NAN" if value != value else "INFINITY" if value > 0 else "(-INFINITY)"
        return f"{float(value).hex()}f"
    return str(-int(value)) if node.kind == BOOL else f"{int(value)}"


def _expression(node: Node, args: Sequence[str], kinds: Sequence[str]) -> str:
    if node.op.startswith(TABLE):
        return f"look_up(table_{node.op.removeprefix(TABLE)}, {args[0]})"
    infix = INFIX.get(node.op)
    if infix:
        return f"{args[0]} {infix} {args[1]}"
    if node.op in ("neg", "not"):
        return f"{'-' if node.op == 'neg' else '~'}{args[0]}"
    name = f"{node.op}_of_{kinds[0]}" if node.op in ("to_float", "to_int") else f"{node.op}_"
    return f"{name}({', '.join(args)})"
