"""Sets of rows: a byte of 0 or 1 for each row in Python, a bit for each row in Arrow. Nothing here is done row by row."""

_TO_DIGITS = bytes.maketrans(b"\0\1", b"01")
_FROM_DIGITS = bytes.maketrans(b"01", b"\0\1")
_OTHER = bytes.maketrans(b"\0\1", b"\1\0")


def pack(mask):
    """A byte for each row as an Arrow bitmap. Numbers in base two are the fastest way there is without packages."""
    if not mask:
        return b""
    return int(mask[::-1].translate(_TO_DIGITS), 2).to_bytes((len(mask) + 7) // 8, "little")


def unpack(bitmap, rows):
    """An Arrow bitmap as a byte for each row."""
    if not rows:
        return b""
    number = int.from_bytes(bitmap, "little") & ((1 << rows) - 1)
    return format(number, f"0{rows}b").encode().translate(_FROM_DIGITS)[::-1]


def flip(mask):
    """The other rows."""
    return bytes(mask).translate(_OTHER)


def both(a, b):
    """The rows in both sets."""
    return (int.from_bytes(a, "little") & int.from_bytes(b, "little")).to_bytes(len(a), "little")


def either(a, b):
    """The rows in one of the sets."""
    return (int.from_bytes(a, "little") | int.from_bytes(b, "little")).to_bytes(len(a), "little")
