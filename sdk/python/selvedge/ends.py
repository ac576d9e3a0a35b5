"""Sources, which rows come from, and sinks, where they end."""

import inspect

from . import host
from .batch import Batch
from .errors import Error, Reject
from .fresh import is_row, send_fresh
from .node import Node, Plan, Reading, said
from .types import Schema


def named(function, **arguments):
    """Calls a function with those of the arguments that it has a name for."""
    names = inspect.signature(function).parameters
    return function(**{name: value for name, value in arguments.items() if name in names})


class Idle:
    """What a source gives when there is nothing now: it is asked again after so many milliseconds."""

    def __init__(self, milliseconds):
        self.milliseconds = milliseconds


class Source(Node):
    """A generator of rows."""

    role = "source"

    def __init__(self, work, *, gives, splits=None, unbounded=False, rejects=False, **more):
        super().__init__(work, **more)
        self.gives, self.parts, self.unbounded, self.rejects = gives, splits, unbounded, rejects

    def plan(self, settings):
        """Checks the settings."""
        return Plan(Schema.of(said(self.gives, settings)), may_reject=bool(said(self.rejects, settings)))

    def splits(self, settings):
        """The parts that may be read in parallel, by names that are stable between runs."""
        parts = said(self.parts, settings)
        return ["all"] if parts is None else list(parts)


class Reader:
    """A split of a source in a run. A position is known where the author gives one with each item: `yield row, "17"`."""

    def __init__(self, node, text, split, position=None):
        settings = node.config(text)
        self.plan, self.place = node.plan(settings), position
        self.items = iter(named(node.work, settings=settings, split=split, position=position))

    def read(self):
        """Sends about one batch: `more`, `done`, or for how many milliseconds there is nothing."""
        rows, size, next = [], host.wanted()[0], None
        while next is None:
            item = self._item()
            if is_row(item):
                rows.append(item)
                next = "more" if len(rows) >= size else None
                continue
            self._send(rows)
            rows = []
            if item is None:
                next = "done"
            elif isinstance(item, Idle):
                next = item.milliseconds
            elif isinstance(item, Reject):
                host.current().create("read", 1)
                host.current().reject_raw(item.code, item.message, item.raw if item.raw is not None else "")
            else:
                next = "more" if send_fresh(item, self.plan.output, "read") else None
        self._send(rows)
        return next

    def _send(self, rows):
        if rows:
            send_fresh(rows, self.plan.output, "read")

    def _item(self):
        """The next item; None at the end."""
        for item in self.items:
            if isinstance(item, tuple):
                item, self.place = item
            if item is None:
                raise Error.bug("a source gave None", help="yield a row (a dict), columns, a list of rows, Reject or Idle")
            return item
        return None

    def position(self):
        """Where to resume after everything sent so far."""
        return self.place


class Sink(Reading):
    """A class that writes rows."""

    role = "sink"

    def __init__(self, work, *, target=None, **more):
        if not inspect.isclass(work):
            raise Error.bug("a sink is a class with `write`")
        super().__init__(work, **more)
        self.target = target

    def commit(self, text, run, epoch, pending):
        """Publishes what all writers have flushed. May be called again with the same arguments."""
        self._after("commit", settings=self.config(text), run=run, epoch=epoch, pending=pending)

    def abort(self, text, pending):
        """Takes back what was flushed and will never be committed."""
        self._after("abort", settings=self.config(text), pending=pending)

    def _after(self, name, **arguments):
        # On no instance: another process may do it, after a crash.
        if hasattr(self.work, name):
            named(getattr(self.work, name), **arguments)


class Writer:
    """An instance of a sink in a run."""

    def __init__(self, node, text, schema, task=None):
        settings = node.config(text)
        self.plan, self.schema = node.plan(settings, schema), schema
        self.work = named(node.work, settings=settings, task=task)

    def write(self, rows, nodes):
        """Takes the rows: those that the author neither drops nor rejects are written."""
        batch = Batch(self.schema, self.plan.reads, rows, nodes)
        self.work.write(batch)
        batch.absorb("written")

    def flush(self, epoch):
        """Everything written so far is safe and waits for the commit."""
        return (named(self.work.flush, epoch=epoch) if hasattr(self.work, "flush") else None) or ""
