"""A Selvedge plugin in Python: a node like a built-in one, that runs as a WebAssembly component.

A plugin is a module with one decorated function or class:

    from dataclasses import dataclass
    from selvedge import transform

    @dataclass
    class Settings:
        column: str
        rate: float = 0.19

    @transform(settings=Settings, reads=lambda s: {s.column: "number"}, adds={"gross": "Float64"})
    def gross(batch, settings):
        '''adds the price with tax'''
        return {"gross": [net and net * (1 + settings.rate) for net in batch[settings.column]]}

`python3 -m unittest` runs it natively (`selvedge.testing`); `selvedge plugin build` makes the component.

**The row law.** Every row that comes in is sent, dropped, rejected or absorbed, each exactly once, and the host counts. What the
function says nothing about goes on. A call that fails has sent nothing.
"""

import sys

from .batch import Batch, Take
from .columns import Column
from .ends import Idle, Sink, Source
from .errors import Drop, Error, Reject
from .host import count, now, secret, wanted
from .node import Node, Transform, Wish
from .rows import Rows
from .types import Field, Schema, Type

__all__ = [
    "Batch", "Column", "Drop", "Error", "Field", "Idle", "Node", "Reject", "Schema", "Take", "Type", "Wish",
    "count", "now", "row_transform", "secret", "sink", "source", "transform", "wanted",
]  # fmt: skip


def transform(work=None, **said):
    """A function over columns, or a class with state, as a transform.

    `reads` (names, or names with types), `adds` or `gives` or `removes` (columns of the output), `rejects`, `keys` or
    `partitioning`, each a value or a function of the settings and the schema; `settings`, a dataclass; `name`, `about`,
    `version`, `example`, `wishes`.
    """
    return _decorated(Transform, work, said)


def row_transform(work=None, **said):
    """A function over rows as a transform: simpler, and slower. It returns a dict of new values, the row itself, a list of
    dicts, `Drop("reason")` or `Reject("code", "message")`. All else is as in `transform`."""
    return _decorated(Rows, work, said)


def source(work=None, **said):
    """A generator of rows as a source: `gives` are its columns, `splits` its parts. It yields rows (dicts), dicts of columns,
    lists of rows, `Reject` or `Idle`; with a position to resume at, `yield row, "17"`."""
    return _decorated(Source, work, said)


def sink(work=None, **said):
    """A class with `write(batch)`, and `flush(epoch)`, `commit(settings, run, epoch, pending)`, `abort(settings, pending)` where
    it needs them, as a sink. `reads`, `rejects`, `keys` and `partitioning` are as in `transform`; `target` says what it writes."""
    return _decorated(Sink, work, said)


def _decorated(kind, work, said):
    def decorate(work):
        node = kind(work, **said)
        if sys.platform == "wasi":
            from ._component import export

            export(node, sys.modules[work.__module__])
        return node

    return decorate if work is None else decorate(work)
