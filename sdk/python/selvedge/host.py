"""What a node may ask of the host: a log, counters, the time, secrets, how much to send at once."""

import logging
import sys
from datetime import timedelta

from .columns import EPOCH_UTC
from .errors import Error

# The component's host, or the one of `selvedge.testing`.
_current = None


def use(host):
    """Puts a host in place; answers with the one before."""
    global _current
    before, _current = _current, host
    return before


def current():
    """The host of the call in process."""
    if _current is None:
        raise Error.bug("there is no host here", help="run the node by `selvedge.testing`, or as a plugin")
    return _current


def count(name, value=1):
    """Adds to a counter of the plugin's own, in the run's report."""
    current().count(name, value)


def now():
    """The time as the run sees it, in UTC: tests replace it."""
    return EPOCH_UTC + timedelta(microseconds=current().now() // 1000)


def secret(name):
    """A secret; None where the graph does not grant it."""
    return current().secret(name)


def wanted():
    """How much to send at once: rows and bytes. A batch is best when it reaches one of both, and has few rows more."""
    return current().wanted()


LEVELS = ((logging.ERROR, "ERROR"), (logging.WARNING, "WARN"), (logging.INFO, "INFO"), (logging.DEBUG, "DEBUG"), (0, "TRACE"))
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class Log(logging.Handler):
    """Takes the lines of Python's `logging` to the log of the run; `extra={…}` becomes fields."""

    def emit(self, record):
        if _current is None:
            return
        level = next(name for least, name in LEVELS if record.levelno >= least)
        message = record.getMessage()
        if record.exc_info:
            message += "\n" + logging.Formatter().formatException(record.exc_info)
        fields = [(name, str(value)) for name, value in vars(record).items() if name not in _OWN]
        if record.name != "root":
            fields.insert(0, ("logger", record.name))
        _current.log(level, message, fields)


class Prints:
    """Stands in the place of standard output: what is printed becomes lines of the log."""

    def __init__(self):
        self.rest = ""

    def write(self, text):
        *lines, self.rest = (self.rest + text).split("\n")
        for line in filter(None, lines):
            logging.getLogger("print").info(line)
        return len(text)

    def flush(self):
        pass


def listen(enabled):
    """Sends `logging` and `print` to the host from now on. `enabled`: whether anybody reads a level."""
    root = logging.getLogger()
    if not any(isinstance(handler, Log) for handler in root.handlers):
        root.addHandler(Log())
    root.setLevel(min((level or 1 for level, name in LEVELS if enabled(name)), default=logging.CRITICAL))
    if not isinstance(sys.stdout, Prints):
        sys.stdout = Prints()
