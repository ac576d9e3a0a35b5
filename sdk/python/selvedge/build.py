"""New columns: what a plugin's author has in hand, as Arrow has it."""

from array import array
from collections import namedtuple
from datetime import date, datetime, timezone
from decimal import Decimal, InvalidOperation
from itertools import accumulate

from .bits import pack
from .columns import _EXACT, EPOCH_DAY, EPOCH_UTC, Column
from .errors import Error

Node = namedtuple("Node", "length null_count buffers")

SCALARS = (str, int, float, bool, Decimal, date, type(None))


def column(field, values, rows):
    """The arrays of a column of `rows` rows: from a sequence, or from one value for all of them."""
    if isinstance(values, SCALARS):
        values = [values] * rows
    elif isinstance(values, Column):
        values = values.tolist()
    elif not hasattr(values, "__len__"):
        values = list(values)
    if len(values) != rows:
        raise Error.bug(f"gives {len(values)} values in column `{field.name}` with {rows} rows")
    valid, buffers = _Builder(field).build(values)
    nulls = valid.count(0) if valid else 0
    if nulls and not field.nullable:
        raise Error.bug(f"gives null in column `{field.name}`, which is promised to have none")
    return [Node(rows, nulls, [pack(valid) if nulls else b"", *buffers])]


class _Builder:
    def __init__(self, field):
        self.field, self.type = field, field.type

    def build(self, values):
        """A byte for each row that tells whether there is a value (None: there are all), and the buffers behind the validity."""
        make = {
            "number": self.numbers,
            "whole number": self.numbers,
            "true or false": self.bools,
            "text": self.texts,
            "date": self.dates,
            "timestamp": self.timestamps,
            "decimal": self.decimals,
        }.get(self.type.kind)
        if make is None:
            raise Error.bug(f"column `{self.field.name}` is {self.type}, which can be passed on, but not made in Python")
        return make(values)

    def numbers(self, values):
        code = self.type.code
        if isinstance(values, (array, memoryview)) and getattr(values, "typecode", getattr(values, "format", None)) == code:
            return None, [values.tobytes()]
        try:
            return None, [array(code, values).tobytes()]
        except (TypeError, OverflowError):
            valid, filled = _without_nulls(values, 0)
        try:
            return valid, [array(code, filled).tobytes()]
        except (TypeError, OverflowError):
            for row, value in enumerate(filled):
                try:
                    array(code, [value])
                except (TypeError, OverflowError):
                    raise self.wrong(row, value) from None
            raise

    def bools(self, values):
        valid, filled = _without_nulls(values, False) if None in values else (None, values)
        return valid, [pack(bytes(map(bool, filled)))]

    def texts(self, values):
        valid = None
        try:
            joined = "".join(values)
        except TypeError:
            valid, values = _without_nulls(values, "")
            for row, value in enumerate(values):
                if not isinstance(value, str):
                    raise self.wrong(row, value) from None
            joined = "".join(values)
        data = joined.encode()
        # One character is one byte nearly always, and then nothing is encoded twice.
        sizes = map(len, values) if len(data) == len(joined) else map(len, map(str.encode, values))
        offsets = array("q" if self.type.format == "U" else "i", accumulate(sizes, initial=0))
        return valid, [offsets.tobytes(), data]

    def dates(self, values):
        def days(row, value):
            if isinstance(value, date):
                return value.toordinal() - EPOCH_DAY
            return self.whole(row, value)

        return self.converted(values, days)

    def timestamps(self, values):
        per_second = self.type.unit

        def units(row, value):
            if not isinstance(value, datetime):
                return self.whole(row, value)
            # Without a time zone in the type, what the clock shows is what counts.
            if value.tzinfo is None or not self.type.zone:
                value = value.replace(tzinfo=timezone.utc)
            span = value - EPOCH_UTC
            return (span.days * 86400 + span.seconds) * per_second + span.microseconds * per_second // 10**6

        return self.converted(values, units)

    def converted(self, values, convert):
        valid, filled = _without_nulls(values, 0) if None in values else (None, values)
        return valid, [array(self.type.code, map(convert, range(len(filled)), filled)).tobytes()]

    def decimals(self, values):
        scale = self.type.scale

        def unscaled(row, value):
            if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
                raise self.wrong(row, value)
            try:
                scaled = _EXACT.scaleb(Decimal(value), scale)
                whole = int(scaled)
                if whole != scaled:
                    raise self.wrong(row, value, f"; `round(value, {scale})` makes it fit")
                return whole.to_bytes(16, "little", signed=True)
            except (InvalidOperation, OverflowError, ValueError):
                raise self.wrong(row, value) from None

        valid, filled = _without_nulls(values, 0) if None in values else (None, values)
        return valid, [b"".join(map(unscaled, range(len(filled)), filled))]

    def whole(self, row, value):
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.wrong(row, value)
        return value

    def wrong(self, row, value, help=""):
        return Error.bug(f"column `{self.field.name}` is {self.type}, but row {row} of it is {value!r}{help}")


def _without_nulls(values, instead):
    valid = bytes(value is not None for value in values)
    return valid, [instead if value is None else value for value in values]


