"""Runs a node on small tables, without WebAssembly and without Selvedge, and tells what it did.

    done = testing.run(gross, {"column": "net"}, '''
        item | net:Float64
        pen  | 1.50
        lost | null
    ''')
    done.expect('''
        item | net:Float64 | gross:Float64
        pen  | 1.50        | 1.785
        lost | null        | null
    ''')

A table is a line of columns (`price:Float64`; text where no type is said) and a line for each row, parted by `|`. `null` is null, `"…"`
keeps blanks. Every node runs with the table whole, row by row, and by threes; all must agree, and the row law must hold in each.
"""

import json
import logging
from collections import Counter, namedtuple
from dataclasses import dataclass, field
from datetime import date, datetime, timezone
from decimal import Decimal
from itertools import compress

from . import build, host
from .bits import unpack
from .columns import Column
from .ends import Reader, Writer
from .errors import Error
from .node import Running
from .types import Schema

_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "p": "|", '"': '"'}


class Table:
    """A small table: a schema, and rows of Python values."""

    def __init__(self, schema, rows):
        self.schema, self.rows = schema, rows

    @staticmethod
    def of(text):
        """Reads a table."""
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        heads = [cell.strip() for cell in lines[0].split("|")]
        columns = dict((h.split(":", 1) if ":" in h else (h, "Utf8")) for h in heads)
        schema = Schema.of(columns)
        rows = []
        for line in lines[1:]:
            cells = [cell.strip() for cell in line.split("|")]
            if len(cells) != len(schema.fields):
                raise AssertionError(f"expected {len(schema.fields)} cells, found {len(cells)} in `{line}`")
            rows.append(tuple(_value(cell, f.type) for cell, f in zip(cells, schema.fields)))
        return Table(schema, rows)

    def nodes(self, index, rows=None):
        """The arrays of a column."""
        rows = self.rows if rows is None else rows
        return build.column(self.schema.fields[index], [row[index] for row in rows], len(rows))

    def __str__(self):
        heads = [f"{f.name}:{f.type}" for f in self.schema.fields]
        return "\n".join(" | ".join(cells) for cells in [heads, *([_text(v) for v in row] for row in self.rows)])


def _value(cell, type):
    if cell == "null":
        return None
    if type.kind == "text":
        if len(cell) < 2 or cell[0] + cell[-1] != '""':
            return cell
        parts = cell[1:-1].split("\\")
        return parts[0] + "".join(_ESCAPES.get(part[:1], "\\" + part[:1]) + part[1:] for part in parts[1:])
    if type.kind == "true or false":
        return {"true": True, "false": False}[cell]
    if type.kind == "timestamp":
        at = datetime.fromisoformat(cell.replace("Z", "+00:00"))
        return at.replace(tzinfo=timezone.utc) if type.zone and at.tzinfo is None else at
    read = {"whole number": int, "number": float, "date": date.fromisoformat, "decimal": Decimal}[type.kind]
    return read(cell)


def _text(value):
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if not isinstance(value, str) or (value and value == value.strip() and not set(value) & set('\n\t\r|"')):
        return str(value)
    quoted = {character: "\\" + letter for letter, character in _ESCAPES.items()}
    return '"' + "".join(quoted.get(c, c) for c in value) + '"'


Rejection = namedtuple("Rejection", "code message row")
Rejection.__doc__ = "A row that went to `errors`, with its values by name; or what a source could not read."


@dataclass
class Done:
    """What a node did."""

    sent: Table
    dropped: Counter = field(default_factory=Counter)
    rejected: list = field(default_factory=list)
    absorbed: Counter = field(default_factory=Counter)
    created: Counter = field(default_factory=Counter)
    altered: Counter = field(default_factory=Counter)
    counters: Counter = field(default_factory=Counter)
    log: list = field(default_factory=list)
    received: int = 0
    pending: list = field(default_factory=list)

    @property
    def rows(self):
        """What was sent, as dicts."""
        return [dict(zip(self.sent.schema.names, row)) for row in self.sent.rows]

    def expect(self, table):
        """Fails unless exactly these rows were sent."""
        found, expected = str(self.sent), str(Table.of(table))
        if found != expected:
            raise AssertionError(f"expected\n{expected}\n\nfound\n{found}")

    def _check_law(self):
        came = self.received + sum(self.created.values())
        went = len(self.sent.rows) + sum(self.dropped.values()) + len(self.rejected) + sum(self.absorbed.values())
        if came != went:
            raise AssertionError(
                f"rows must be sent, dropped, rejected or absorbed, each once: {came} came or were created, {went} went: {self}"
            )


class Recorder:
    """Stands in the place of the host. What is sent in a call counts when the call has ended well."""

    def __init__(self, schema, secrets):
        self.done, self.secrets, self.batch = Done(Table(schema, [])), secrets or {}, Table(Schema(), [])

    def send(self, count, rows_from, columns):
        kind, data = rows_from
        rows = len(self.batch.rows)
        if kind == "filter":
            assert len(data) == (rows + 7) // 8, "bytes of a bitmap"
        taken = {
            "same": lambda: range(rows),
            "filter": lambda: compress(range(rows), unpack(data, rows)),
            "take": lambda: memoryview(data).cast("I"),
            "fresh": lambda: [],
        }[kind]()
        taken, made = list(taken), []
        for f, column in zip(self.done.sent.schema.fields, columns, strict=True):
            if isinstance(column, int):
                made.append([self.batch.rows[row][column] for row in taken])
            else:
                made.append(Column(f, count, 0, column).tolist())
        assert all(len(column) == count for column in made), f"{count} rows in every column of {made}"
        self.done.sent.rows.extend(zip(*made) if made else [()] * count)

    def _rows(self, mask):
        return list(compress(self.batch.rows, unpack(mask, len(self.batch.rows))))

    def drop_rows(self, mask, reason):
        self.done.dropped[reason] += len(self._rows(mask))

    def reject_rows(self, code, rejected):
        for row, message in rejected:
            values = dict(zip(self.batch.schema.names, self.batch.rows[row]))
            self.done.rejected.append(Rejection(code, message, values))

    def reject_raw(self, code, message, raw):
        self.done.rejected.append(Rejection(code, message, raw))

    def absorb(self, reason, count):
        self.done.absorbed[reason] += count

    def create(self, reason, count):
        self.done.created[reason] += count

    def altered(self, mask, what):
        self.done.altered[what] += len(self._rows(mask))

    def log(self, level, message, fields):
        self.done.log.append(" ".join([level, message, *(f"{name}={value}" for name, value in fields)]))

    def count(self, name, value):
        self.done.counters[name] += value

    def now(self):
        # A time of its own: tests do not depend on the day.
        return 1_700_000_000_000_000_000

    def secret(self, name):
        return self.secrets.get(name)

    def wanted(self):
        return 8192, 4 << 20


class _Recording:
    """A host and a log for the calls inside."""

    def __init__(self, schema, secrets=None):
        self.host, self.handler = Recorder(schema, secrets), host.Log()

    def __enter__(self):
        self.before, root = host.use(self.host), logging.getLogger()
        self.level = root.level
        root.addHandler(self.handler)
        root.setLevel(logging.DEBUG)
        return self.host

    def __exit__(self, *_):
        root = logging.getLogger()
        root.removeHandler(self.handler)
        root.setLevel(self.level)
        host.use(self.before)


def _json(config):
    return config if isinstance(config, str) else json.dumps(config or {})


def _sent(table, reads, rows):
    reads = range(len(table.schema.fields)) if reads is None else reads
    return [node for index in reads for node in table.nodes(index, rows)]


def _batches(table, size):
    return [table.rows[at : at + size] for at in range(0, len(table.rows), size)]


def run(node, config=None, table="", secrets=None):
    """Runs a transform on a table. Its state, if it has some, is saved and loaded after every batch."""
    table = Table.of(table)
    whole = _run(node, _json(config), table, max(len(table.rows), 1), secrets)
    for size in (1, 3):
        parts = _run(node, _json(config), table, size, secrets)
        for what in ("sent", "dropped", "rejected", "altered"):
            a, b = (str(getattr(done, what)) for done in (whole, parts))
            if what == "rejected":
                a, b = (sorted(map(str, done.rejected)) for done in (whole, parts))
            if a != b:
                raise AssertionError(f"{what} in one batch:\n{a}\n{what} in batches of {size}:\n{b}")
    return whole


def _run(node, config, table, size, secrets):
    plan = node.plan(node.config(config), table.schema)
    with _Recording(plan.output, secrets) as recorder:
        running = Running(node, config, table.schema)
        for rows in _batches(table, size):
            recorder.batch = Table(table.schema, rows)
            recorder.done.received += len(rows)
            running.process(len(rows), _sent(table, plan.reads, rows))
            if plan.stateful:
                # The host may replace an instance between any two batches.
                state = running.save()
                running = Running(node, config, table.schema)
                running.load(state)
        recorder.batch = Table(Schema(), [])
        while plan.stateful and running.finish():
            pass
    return _checked(recorder.done, plan)


def _checked(done, plan):
    done._check_law()
    if done.rejected and not plan.may_reject:
        raise AssertionError("rejects rows, but does not say so: add `rejects=True` to the decorator")
    for row in done.sent.rows:
        for value, f in zip(row, done.sent.schema.fields):
            assert value is not None or f.nullable, f"null in column `{f.name}`, which is promised to have none"
    return done


def problem(node, config=None, table=None):
    """What is wrong with a config before this table: an Error. Fails where nothing is."""
    try:
        settings = node.config(_json(config))
        node.plan(settings, Table.of(table).schema) if table is not None else None
    except Error as e:
        return e
    raise AssertionError(f"nothing is wrong with {config}")


def example(node):
    """Fails unless the example of a node is a config of it."""
    node.config(node.about.example)


def source(node, config=None, secrets=None):
    """Reads all splits of a source to their end, and resumes at its own position after every batch."""
    text = _json(config)
    settings = node.config(text)
    plan = node.plan(settings)
    with _Recording(plan.output, secrets) as recorder:
        for split in node.splits(settings):
            reader, next = Reader(node, text, split), "more"
            # A source that only waits has nothing more for a test.
            while next == "more":
                next = reader.read()
                if next == "more" and reader.position() is not None:
                    reader = Reader(node, text, split, reader.position())
    return _checked(recorder.done, plan)


def sink(node, config=None, table="", secrets=None):
    """Writes a table by threes, flushes, and commits twice, as after a crash."""
    text, table = _json(config), Table.of(table)
    plan = node.plan(node.config(text), table.schema)
    with _Recording(Schema(), secrets) as recorder:
        writer = Writer(node, text, table.schema)
        for rows in _batches(table, 3):
            recorder.batch = Table(table.schema, rows)
            recorder.done.received += len(rows)
            writer.write(len(rows), _sent(table, plan.reads, rows))
        recorder.done.pending = [writer.flush(1)]
        for _ in range(2):
            node.commit(text, "run", 1, recorder.done.pending)
    return _checked(recorder.done, plan)
