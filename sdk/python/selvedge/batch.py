"""A batch: its columns, and what becomes of its rows. Every row that nothing else is said about goes on."""

from array import array
from collections import Counter
from itertools import compress

from . import build, host
from .bits import both, either, flip, pack
from .columns import Column
from .errors import Error, meant


class Take:
    """Rows of a batch by number, with new columns for them: to repeat rows, or to bring them into another order."""

    def __init__(self, rows, columns=None):
        self.rows, self.columns = array("I", rows), columns or {}


class Batch:
    """Rows that arrived. `batch["price"]` is a column; only those that the node `reads` are there."""

    def __init__(self, schema, reads, rows, nodes):
        self.schema, self.rows = schema, rows
        self._gone = bytes(rows)
        self.columns = {}
        """The columns that are read, by name."""
        at = 0
        for index, field in enumerate(schema.fields):
            if reads is None or index in reads:
                count = field.nodes()
                self.columns[field.name] = Column(field, rows, index, nodes[at : at + count])
                at += count
        if at != len(nodes):
            raise Error.bug(f"expected {at} arrays of the batch, found {len(nodes)}")

    def __len__(self):
        return self.rows

    def __contains__(self, name):
        return name in self.columns

    def __getitem__(self, name):
        if name in self.columns:
            return self.columns[name]
        if self.schema.position(name) is not None:
            raise Error.bug(f"the plan does not read column `{name}`", help="add it to `reads`")
        raise Error.bug(f"no column named `{name}`", help=meant(name, list(self.columns), "no column is read"))

    def drop(self, reason, where):
        """Some rows end here. `where`: true or false for each row. Reasons are few and stable: `null in sku`."""
        mask = self._leave(where, f"dropped as `{reason}`")
        if 1 in mask:
            host.current().drop_rows(pack(mask), reason)

    def reject(self, code, where, message):
        """Some rows go to `errors`. `message`: a text, or a function that makes one for a row's number."""
        mask = self._leave(where, f"rejected as `{code}`")
        story = message if callable(message) else lambda _: message
        if rejected := [(row, story(row)) for row in compress(range(self.rows), mask)]:
            host.current().reject_rows(code, rejected)

    def absorb(self, reason="grouped", where=None):
        """Some rows, or all that are left, become part of something else."""
        mask = self._leave(flip(self._gone) if where is None else where, f"absorbed as `{reason}`")
        if 1 in mask:
            host.current().absorb(reason, mask.count(1))

    def altered(self, what, where):
        """Some rows go on, but not as they came: a value that could not be read became null."""
        mask = self._mask(where)
        if 1 in mask:
            host.current().altered(pack(mask), what)

    def left(self):
        """A byte for each row: 1 where it was not dropped, rejected or absorbed so far."""
        return flip(self._gone)

    def _mask(self, where):
        mask = bytes(map(bool, where))
        if len(mask) != self.rows:
            raise Error.bug(f"says of {len(mask)} rows what becomes of them, the batch has {self.rows}")
        return mask

    def _leave(self, where, how):
        mask = self._mask(where)
        if 1 in (twice := both(mask, self._gone)):
            raise Error.bug(f"row {twice.index(1)} is {how}, but it was dropped, rejected or absorbed before")
        self._gone = either(self._gone, mask)
        return mask

    def send(self, result, output):
        """Sends the rows that are left, as the author's function says: with new columns, or repeated."""
        if isinstance(result, Take):
            self._send_taken(result, output)
            return
        if result is not None and not hasattr(result, "items"):
            words = f"expected new columns as a dict, found {type(result).__name__}"
            raise Error.bug(words, help="return a dict of columns, or None where there are none")
        kept = self.left()
        count = kept.count(1)
        if not count:
            return
        if count == self.rows:
            columns = self._output(result or {}, output, count, lambda values: values)
            host.current().send(count, ("same", b""), columns)
        else:
            # New columns are as long as the batch: what became of its rows need not concern who computes them.
            columns = self._output(result or {}, output, count, lambda values: self._keep(values, kept))
            host.current().send(count, ("filter", pack(kept)), columns)

    def _keep(self, values, kept):
        if isinstance(values, build.SCALARS):
            return values
        values = list(values)
        if len(values) != self.rows:
            raise Error.bug(f"gives a column of {len(values)} values for a batch of {self.rows} rows")
        return list(compress(values, kept))

    def _send_taken(self, taken, output):
        times = Counter(taken.rows)
        for row in times:
            if row >= self.rows:
                raise Error.bug(f"takes row {row} of a batch of {self.rows}")
            if self._gone[row]:
                raise Error.bug(f"takes row {row}, but it was dropped, rejected or absorbed before")
        count = len(taken.rows)
        lost = bytes(ok and row not in times for row, ok in enumerate(self.left())) if len(times) < self.left().count(1) else b""
        if 1 in lost:
            raise Error.bug(f"row {lost.index(1)} is not taken, and nothing else is said of it", help="drop or reject it")
        if more := count - len(times):
            host.current().create("repeated", more)
        if count:
            columns = self._output(taken.columns, output, count, lambda values: values)
            all_in_order = count == self.rows and taken.rows == array("I", range(count))
            host.current().send(count, ("same", b"") if all_in_order else ("take", taken.rows.tobytes()), columns)

    def _output(self, new, output, rows, shape):
        """The columns of the output: numbers of those that pass by, arrays of the new ones."""
        for name in new:
            if output.position(name) is None:
                raise Error.bug(f"gives a column `{name}`, which was not announced", help=meant(name, output.names))
        columns = []
        for field in output.fields:
            passed = self.schema.position(field.name)
            if field.name in new:
                values = new[field.name]
                if isinstance(values, Column) and values.type == field.type:
                    columns.append(values.index)
                else:
                    columns.append(build.column(field, shape(values), rows))
            elif passed is not None and self.schema.fields[passed].type == field.type:
                columns.append(passed)
            else:
                found = f"found {', '.join(new)}" if new else "found no new column"
                raise Error.bug(f"expected a column `{field.name}`, as announced, {found}")
        return columns
