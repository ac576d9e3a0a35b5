"""What goes wrong: whose fault it is, whether trying again can help, and which setting is to blame."""

import os
import traceback


class Error(Exception):
    """An error of a node. It never names the node itself: the host knows who and where.

    Make one by whose fault it is: `raise Error.data("expected a date, found 2024-02-31")`. The message is lower case without a
    full stop: what was expected and what was found. `help` is what to do about it; `at` is the path of the setting at fault,
    as in `sizes.0.from`; `retry` says that the same call may succeed later.
    """

    def __init__(self, fault, message, help=None, at=None, retry=False):
        super().__init__(message)
        self.fault, self.message, self.help, self.at, self.retry = fault, message, help, at, retry

    @classmethod
    def graph(cls, message, help=None, at=None):
        """The graph asks for what cannot be done."""
        return cls("graph", message, help, at)

    @classmethod
    def data(cls, message, help=None):
        """A row is not what it should be."""
        return cls("data", message, help)

    @classmethod
    def world(cls, message, help=None, retry=False):
        """Disk, network, another system."""
        return cls("world", message, help, retry=retry)

    @classmethod
    def bug(cls, message, help=None):
        """The plugin itself is wrong."""
        return cls("bug", message, help)

    def __str__(self):
        return f"{self.message} ({self.help})" if self.help else self.message


class Drop(Exception):
    """What becomes of a row: it ends here. Return or raise it. Reasons are few and stable: `null in sku`."""

    def __init__(self, reason):
        super().__init__(reason)
        self.reason = reason


class Reject(Exception):
    """What becomes of a row: it goes to `errors`. Return or raise it. Codes are few and stable (`upc.check_digit`); the message
    is this row's own story. A source adds `raw`: what it could not read, as it stands there."""

    def __init__(self, code, message, raw=None):
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.raw = code, message, raw


_HERE = os.path.dirname(os.path.abspath(__file__))
_DEPTH = 6


def told(failure):
    """Any exception as an Error: one that is none is a mistake in the plugin, and the innermost lines of it are told."""
    if isinstance(failure, Error):
        return failure
    name = type(failure).__name__
    text = str(failure)
    frames = traceback.extract_tb(failure.__traceback__)
    own = [f for f in frames if os.path.dirname(os.path.abspath(f.filename)) != _HERE] or frames
    places = [f"{f.name} ({os.path.basename(f.filename)}:{f.lineno})" for f in reversed(own)]
    shown = " ← ".join(places[:_DEPTH]) + (" ← …" if len(places) > _DEPTH else "")
    return Error.bug(f"{name}: {text}" if text else name, help=f"in the plugin: {shown}" if shown else None)


def nearest(found, known):
    """The one of `known` that was probably meant by `found`; None where nothing is near."""
    best = None
    for name in known:
        far = _distance(found.lower(), name.lower())
        if far <= -(-max(len(name), len(found)) // 3) and (best is None or far < best[0]):
            best = (far, name)
    return best and best[1]


def _distance(a, b):
    """Edit distance (Levenshtein). Neighbours swapped count as two."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        diagonal, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            diagonal, row[j] = row[j], min(diagonal + (x != y), row[j] + 1, row[j - 1] + 1)
    return row[-1]


def listed(known):
    """`known` as words for a message."""
    return ", ".join(f"`{name}`" for name in known)


def meant(found, known, none="there are none"):
    """The help for a name that is not known."""
    near = nearest(found, known)
    if near:
        return f"did you mean `{near}`?"
    return f"there are {listed(known)}" if known else none
