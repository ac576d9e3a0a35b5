"""Types of columns, and schemas: by the names that graphs and messages use, and as they stand in the contract."""

import re
from dataclasses import dataclass, field, replace

from .errors import Error, meant

# Format of the Arrow C data interface: name, and the code of the numbers in the values' buffer.
_PLAIN = {
    "n": ("Null", None),
    "b": ("Boolean", None),
    "c": ("Int8", "b"),
    "s": ("Int16", "h"),
    "i": ("Int32", "i"),
    "l": ("Int64", "q"),
    "C": ("UInt8", "B"),
    "S": ("UInt16", "H"),
    "I": ("UInt32", "I"),
    "L": ("UInt64", "Q"),
    "f": ("Float32", "f"),
    "g": ("Float64", "d"),
    "u": ("Utf8", None),
    "U": ("LargeUtf8", None),
    "tdD": ("Date", "i"),
}
_FORMATS = {name: format for format, (name, _) in _PLAIN.items()}
_UNITS = {"s": ("Second", 1), "m": ("Milli", 10**3), "u": ("Micro", 10**6), "n": ("Nano", 10**9)}
_TIMESTAMP = re.compile(r"ts([smun]):(.*)")
_DECIMAL = re.compile(r"d:(\d+),(-?\d+)(?:,128)?")
_NAMED_TIMESTAMP = re.compile(r"Timestamp\((\w+)(?:,\s*\"?([^\")]+)\"?)?\)")
_NAMED_DECIMAL = re.compile(r"Decimal\((\d+),\s*(-?\d+)\)")


@dataclass(frozen=True)
class Type:
    """The type of a column. `Type.of("Int64")`, `Type.of("Timestamp(Micro, UTC)")`, `Type.of("Decimal(10, 2)")`."""

    format: str
    """As in the Arrow C data interface: `l`, `tsu:UTC`, `d:10,2`."""

    @staticmethod
    def of(text):
        """A type by its name or its format."""
        if isinstance(text, Type):
            return text
        if text in _FORMATS:
            return Type(_FORMATS[text])
        if text == "Timestamp":
            return Type("tsu:UTC")
        if found := _NAMED_TIMESTAMP.fullmatch(text):
            for letter, (name, _) in _UNITS.items():
                if name == found[1]:
                    return Type(f"ts{letter}:{found[2] or ''}")
        if found := _NAMED_DECIMAL.fullmatch(text):
            return Type(f"d:{found[1]},{found[2]}")
        if text in _PLAIN or text[:1] == "+" or _TIMESTAMP.fullmatch(text) or _DECIMAL.fullmatch(text):
            return Type(text)
        known = [*_FORMATS, "Timestamp", "Timestamp(Micro)", "Timestamp(Micro, UTC)", "Decimal(10, 2)"]
        raise Error.bug(f"no type named `{text}`", help=meant(text, known))

    @property
    def code(self):
        """The code of the numbers that it is made of, as in `array` and `memoryview`; None where it is made of others."""
        return "q" if self.unit else _PLAIN.get(self.format, (None, None))[1]

    @property
    def unit(self):
        """How many of a timestamp's units are a second."""
        found = _TIMESTAMP.fullmatch(self.format)
        return found and _UNITS[found[1]][1]

    @property
    def zone(self):
        """The time zone of a timestamp. With one, the numbers are UTC; without, they are what a clock on the wall shows."""
        found = _TIMESTAMP.fullmatch(self.format)
        return (found and found[2]) or None

    @property
    def scale(self):
        """The digits behind the point of a decimal."""
        found = _DECIMAL.fullmatch(self.format)
        return int(found[2]) if found else None

    @property
    def kind(self):
        """`whole number`, `number` (floating point), `text`, `true or false`, `date`, `timestamp`, `decimal`, `null` or `other`."""
        if self.format in ("f", "g"):
            return "number"
        if self.format == "tdD":
            return "date"
        if self.format in ("u", "U"):
            return "text"
        if self.unit:
            return "timestamp"
        if self.scale is not None:
            return "decimal"
        special = {"b": "true or false", "n": "null"}
        return special.get(self.format) or ("whole number" if self.format in _PLAIN else "other")

    def __str__(self):
        if found := _TIMESTAMP.fullmatch(self.format):
            return f"Timestamp({_UNITS[found[1]][0]}{', ' + found[2] if found[2] else ''})"
        if found := _DECIMAL.fullmatch(self.format):
            return f"Decimal({found[1]}, {found[2]})"
        return _PLAIN.get(self.format, (self.format,))[0]


@dataclass(frozen=True)
class Field:
    """A column, or a part of a nested one."""

    name: str
    type: Type
    nullable: bool = True
    children: tuple = ()

    def nodes(self):
        """How many arrays it is made of: itself and all below it."""
        return 1 + sum(child.nodes() for child in self.children)


# What `reads` may ask for besides a type, and the words of messages.
_CLASSES = {
    "any": (None, "anything"),
    "number": (("whole number", "number"), "a number"),
    "whole number": (("whole number",), "a whole number"),
    "text": (("text",), "a text"),
    "date": (("date",), "a date"),
    "timestamp": (("timestamp",), "a timestamp"),
    "decimal": (("decimal",), "a decimal"),
    "true or false": (("true or false",), "true or false"),
}


def _fits(type, wanted):
    kinds = _CLASSES[wanted][0] if wanted in _CLASSES else None
    if wanted in _CLASSES:
        return kinds is None or type.kind in kinds
    return type == Type.of(wanted)


def _words(wanted):
    return _CLASSES[wanted][1] if wanted in _CLASSES else str(Type.of(wanted))


@dataclass(frozen=True)
class Schema:
    """The columns of a port, in their order."""

    fields: tuple = field(default=())

    @staticmethod
    def of(columns):
        """A schema from `{"name": "Type"}`; a type with `!` at its end is never null."""
        if isinstance(columns, Schema):
            return columns
        return Schema(tuple(_field(name, type) for name, type in columns.items()))

    @property
    def names(self):
        """The names of the columns."""
        return [f.name for f in self.fields]

    def position(self, name):
        """The number of a column; None where there is none of that name."""
        return next((i for i, f in enumerate(self.fields) if f.name == name), None)

    def __getitem__(self, name):
        at = self.position(name)
        if at is None:
            raise KeyError(name)
        return self.fields[at]

    def column(self, name, wanted="any", at=None):
        """The number of a column of a type that fits: a type's name, or a class such as `number`, or several of them."""
        position = self.position(name)
        if position is None:
            help = meant(name, self.names, "there are no columns")
            raise Error.graph(f"no column named `{name}`", help=help, at=at)
        several = (wanted,) if isinstance(wanted, (str, Type)) else tuple(wanted)
        if not any(_fits(self.fields[position].type, one) for one in several):
            words = " or ".join(_words(one) for one in several)
            found = self.fields[position].type
            raise Error.graph(f"expected `{name}` to be {words}, found {found}", at=at)
        return position

    def with_columns(self, columns):
        """With columns set: in the place of those of the same name, or as the last ones."""
        fields = {f.name: f for f in self.fields}
        fields.update((f.name, f) for f in Schema.of(columns).fields)
        return Schema(tuple(fields.values()))

    def without(self, names):
        """Without some columns."""
        return Schema(tuple(f for f in self.fields if f.name not in names))


def _field(name, type):
    if isinstance(type, Field):
        return replace(type, name=name)
    if isinstance(type, str) and type.endswith("!"):
        return Field(name, Type.of(type[:-1]), nullable=False)
    return Field(name, Type.of(type))
