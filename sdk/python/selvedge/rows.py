"""Functions over rows: slower than over columns, as Python is asked for each of them."""

from collections import namedtuple
from inspect import isgenerator
from itertools import repeat

from .batch import Take
from .errors import Drop, Error, Reject
from .node import Stateless, Transform, parameters


def _row_type(names):
    fields = namedtuple("Row", names, rename=True)
    places = {name: at for at, name in enumerate(names)}

    class Row(fields):
        """A row: `row.price`, or `row["unit price"]` where the name is no Python name."""

        __slots__ = ()

        def __getitem__(self, key):
            return tuple.__getitem__(self, places[key] if isinstance(key, str) else key)

    return Row


def by_rows(function, settings):
    """A function over rows as one over columns."""
    call = (lambda row: function(row, settings)) if parameters(function) > 1 else function
    kinds = {}

    def process(batch):
        readable = {n: c for n, c in batch.columns.items() if c.type.kind != "other"}
        names = tuple(readable)
        row_type = kinds.get(names) or kinds.setdefault(names, _row_type(names))
        values = zip(*readable.values()) if readable else repeat((), batch.rows)
        ends, took, got = {}, [], []
        for at, row in enumerate(map(row_type._make, values)):
            try:
                out = call(row)
            except (Drop, Reject) as end:
                out = end
            if isinstance(out, dict):
                took.append(at)
                got.append(out)
            elif out is row or out is True:
                took.append(at)
                got.append({})
            elif isinstance(out, (Drop, Reject)):
                ends.setdefault((type(out), getattr(out, "code", None) or out.reason), []).append((at, out))
            elif isinstance(out, list) or isgenerator(out):
                more = list(out)
                if not more:
                    raise Error.bug("a function over rows gave no row", help='return `Drop("reason")` where a row ends')
                took.extend(repeat(at, len(more)))
                got.extend(more)
            else:
                words = f"a function over rows returned {out!r}"
                raise Error.bug(words, help="return a dict of new values, the row itself, a list of dicts, Drop or Reject")
        return _settle(batch, ends, took, got)

    return process


def _settle(batch, ends, took, got):
    for (kind, reason), rows in ends.items():
        mask = bytearray(batch.rows)
        for at, _ in rows:
            mask[at] = 1
        if kind is Drop:
            batch.drop(reason, mask)
        else:
            stories = {at: end.message for at, end in rows}
            batch.reject(reason, mask, stories.__getitem__)
    names = dict.fromkeys(name for one in got for name in one)
    return Take(took, {name: _values(name, took, got) for name in names})


def _values(name, took, got):
    try:
        return [one[name] for one in got]
    except KeyError:
        row = next(at for at, one in zip(took, got) if name not in one)
        raise Error.bug(f"a function over rows gave no `{name}` for row {row}, but for others") from None


class Rows(Transform):
    """A function over rows."""

    def __init__(self, work, **more):
        super().__init__(work, **more)
        if self.stateful:
            raise Error.bug("a class takes batches, not rows", help="decorate it with `transform`")

    def start(self, settings):
        return Stateless(by_rows(self.work, settings), None)
