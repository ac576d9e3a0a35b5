"""Columns as they arrive: numbers without a copy, text when somebody looks at it."""

from datetime import date, datetime, timedelta, timezone
from decimal import Context, Decimal
from itertools import compress

from .bits import flip, unpack
from .errors import Error

EPOCH = datetime(1970, 1, 1)
EPOCH_UTC = EPOCH.replace(tzinfo=timezone.utc)
EPOCH_DAY = date(1970, 1, 1).toordinal()
_EXACT = Context(prec=76)


class Column:
    """A column of a batch: a sequence of Python values, None where it is null.

    | type | values |
    |---|---|
    | `Int8` … `UInt64`, `Float32`, `Float64` | `int`, `float` |
    | `Boolean` | `bool` |
    | `Utf8`, `LargeUtf8` | `str` |
    | `Date` | `datetime.date` |
    | `Timestamp` | `datetime.datetime`, in UTC where the type has a time zone; nanoseconds are cut to microseconds |
    | `Decimal` | `decimal.Decimal` |
    """

    __slots__ = ("field", "rows", "index", "nodes", "_valid", "_raw", "_list")

    def __init__(self, field, rows, index, nodes):
        self.field, self.rows, self.index, self.nodes = field, rows, index, nodes
        self._valid = self._raw = self._list = None
        if nodes and nodes[0].length != rows:
            raise self._wrong(f"of {nodes[0].length} rows in a batch of {rows}")

    @property
    def name(self):
        """Its name."""
        return self.field.name

    @property
    def type(self):
        """Its type."""
        return self.field.type

    @property
    def null_count(self):
        """How many of its rows are null."""
        return self.rows if self.type.kind == "null" else self.nodes[0].null_count

    @property
    def valid(self):
        """A byte for each row: 1 where there is a value, 0 where it is null. None where nothing is null."""
        if not self.null_count:
            return None
        if self._valid is None:
            bitmap = self.nodes[0].buffers[0] if self.type.kind != "null" else b""
            self._valid = unpack(bitmap, self.rows)
        return self._valid

    @property
    def nulls(self):
        """A byte for each row: 1 where it is null. Fit for `drop` and `reject`."""
        return bytes(self.rows) if self.valid is None else flip(self.valid)

    @property
    def values(self):
        """What stands in the buffer, nulls not regarded: where it is null, there is anything.

        Numbers come as a `memoryview`, without a copy: dates as days since 1970, timestamps in the unit of their type.
        Decimals come as a list of whole numbers of their scale, text as a list of `str`.
        """
        if self._raw is None:
            self._raw = self._view()
        return self._raw

    def _buffer(self, which, needed):
        buffers = self.nodes[0].buffers
        if len(buffers) <= which or len(buffers[which]) < needed:
            raise self._wrong("a buffer is too short")
        return memoryview(buffers[which])[:needed]

    def _view(self):
        kind, code, rows = self.type.kind, self.type.code, self.rows
        if code:
            width = memoryview(bytes(8)).cast(code).itemsize
            return self._buffer(1, rows * width).cast(code)
        if kind == "true or false":
            return memoryview(unpack(self._buffer(1, (rows + 7) // 8), rows)).cast("?")
        if kind == "decimal":
            data = self._buffer(1, rows * 16)
            return [int.from_bytes(data[at : at + 16], "little", signed=True) for at in range(0, rows * 16, 16)]
        if kind == "text":
            return self._text()
        if kind == "null":
            return [None] * rows
        raise self._wrong("which can be passed on, but not read in Python")

    def _text(self):
        if not self.rows:
            return []
        wide = self.type.format == "U"
        offsets = self._buffer(1, (self.rows + 1) * (8 if wide else 4)).cast("q" if wide else "i")
        data = bytes(self.nodes[0].buffers[2])
        text = data.decode()
        if len(text) == len(data):
            return list(map(text.__getitem__, map(slice, offsets, offsets[1:])))
        return [data[a:b].decode() for a, b in zip(offsets, offsets[1:])]

    def tolist(self):
        """All values as a list, None where it is null."""
        if self._list is None:
            values, valid = self.values, self.valid
            convert = self._converter()
            if convert is None:
                values = values.tolist() if isinstance(values, memoryview) else values
                self._list = values if valid is None else [v if ok else None for v, ok in zip(values, valid)]
            else:
                valid = valid or b"\1" * self.rows
                self._list = [convert(v) if ok else None for v, ok in zip(values, valid)]
        return self._list

    def _converter(self):
        kind = self.type.kind
        if kind == "date":
            return self._checked(lambda days: date.fromordinal(days + EPOCH_DAY), "day")
        if kind == "timestamp":
            per_second, epoch = self.type.unit, EPOCH_UTC if self.type.zone else EPOCH
            return self._checked(
                lambda t: epoch + timedelta(t // per_second // 86400, t // per_second % 86400, t % per_second * 10**6 // per_second),
                "time",
            )
        if kind == "decimal":
            scale = self.type.scale
            return lambda n: _EXACT.scaleb(Decimal(n), -scale)
        return None

    def _checked(self, convert, what):
        def checked(value):
            try:
                return convert(value)
            except (ValueError, OverflowError):
                message = f"column `{self.name}` has the {what} {value} since 1970, Python's end with the year 9999"
                raise Error.data(message, help="look at the numbers themselves, in `values`") from None

        return checked

    def fill(self, value):
        """All values as a list, with this one instead of null."""
        if self.valid is None:
            return self.tolist()
        return [value if v is None else v for v in self.tolist()]

    def kept(self, mask):
        """The values of some rows, as a list."""
        return list(compress(self.tolist(), mask))

    def __len__(self):
        return self.rows

    def __iter__(self):
        return iter(self.tolist())

    def __getitem__(self, row):
        return self.tolist()[row]

    def __repr__(self):
        shown = ", ".join(map(repr, self.tolist()[:5])) + (", …" if self.rows > 5 else "")
        return f"<column `{self.name}`, {self.type}, {self.rows} rows: {shown}>"

    def _wrong(self, what):
        return Error.bug(f"column `{self.name}` is {self.type}, {what}")
