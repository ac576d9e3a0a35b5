"""What a decorated function or class becomes: a node, with all that the plan needs to know of it."""

import inspect
import json
import pickle
from dataclasses import dataclass, field

from . import config, host
from .batch import Batch
from .errors import Error
from .fresh import chunks, send_fresh
from .types import Schema


@dataclass(frozen=True)
class Wish:
    """What a plugin would like to be granted; the graph decides. `kind` is `files` (a folder as the plugin sees it: `/models`),
    `network` (`host:port`), `environment` or `secret` (a name). `needed`: whether the plugin is useless without."""

    kind: str
    name: str
    reason: str
    needed: bool = False


@dataclass(frozen=True)
class About:
    """What `selvedge plugin inspect` shows."""

    name: str
    version: str
    about: str
    docs: str
    example: str
    wishes: tuple


@dataclass
class Plan:
    """What a node says of itself once it knows its settings and what arrives."""

    output: Schema
    reads: list = None
    """Numbers of the columns that are sent to it, ascending; None: all."""
    partitioning: str = "any"
    """`any`, `keys`, `single` or `in order`."""
    keys: list = field(default_factory=list)
    stateful: bool = False
    may_reject: bool = False


def parameters(function):
    """How many arguments a function takes by position."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(p.kind in kinds for p in inspect.signature(function).parameters.values())


def some(function, *arguments):
    """Calls a function with as many of the arguments as it takes."""
    return function(*arguments[: parameters(function)])


class Node:
    """A decorated function or class. It can still be called as before."""

    role = "transform"

    def __init__(self, work, name=None, about=None, settings=None, version="0.1.0", example=None, wishes=()):
        self.work, self.settings = work, settings
        docs = inspect.getdoc(work) or ""
        # `age_bands` is `AgeBands` in a graph, a class keeps its name.
        name = name or "".join(word[:1].upper() + word[1:] for word in work.__name__.split("_"))
        about = about or docs.split("\n\n")[0].replace("\n", " ").strip().rstrip(".")
        self.about = About(name, version, about, docs, json.dumps(example or {}), tuple(wishes))
        self.__doc__, self.__name__, self.__module__ = work.__doc__, work.__name__, work.__module__

    def __call__(self, *arguments, **named):
        return self.work(*arguments, **named)

    def config(self, text):
        """The settings, typed."""
        return config.read(self.settings, text)


def said(value, *arguments):
    """What the author said once and for all, or as a function of the settings and the schema."""
    return some(value, *arguments) if callable(value) and not isinstance(value, type) else value


class Reading(Node):
    """A node that rows arrive at."""

    def __init__(self, work, *, reads=None, rejects=False, keys=None, partitioning=None, **more):
        super().__init__(work, **more)
        self.reads, self.rejects, self.keys, self.partitioning = reads, rejects, keys, partitioning

    def plan(self, settings, schema):
        """Checks the settings against the schema that arrives."""
        plan = Plan(schema)
        reads = said(self.reads, settings, schema)
        if reads is not None:
            wanted = reads if isinstance(reads, dict) else dict.fromkeys(_names(reads, "reads"), "any")
            columns = {schema.column(n, w, config.path_of(settings, n)) for n, w in wanted.items()}
            plan.reads = sorted(columns)
        keys = said(self.keys, settings, schema)
        if keys is not None:
            plan.keys = [schema.column(n, at=config.path_of(settings, n)) for n in _names(keys, "keys")]
            plan.partitioning = "keys"
        elif self.partitioning:
            plan.partitioning = self.partitioning
        plan.may_reject = bool(said(self.rejects, settings, schema))
        return plan


def _names(names, what):
    if isinstance(names, str):
        raise Error.bug(f"`{what}` is the text {names!r}, expected a list of names or a dict")
    return list(names)


class Transform(Reading):
    """A function over columns, or a class with state."""

    def __init__(self, work, *, adds=None, gives=None, removes=(), **more):
        self.stateful = inspect.isclass(work)
        if self.stateful and more.get("keys") is None:
            more["partitioning"] = more.get("partitioning") or "single"
        super().__init__(work, **more)
        self.adds, self.gives, self.removes = adds, gives, removes

    def plan(self, settings, schema):
        plan = super().plan(settings, schema)
        plan.stateful = self.stateful
        gives = said(self.gives, settings, schema)
        if gives is not None:
            plan.output = Schema.of(gives)
        else:
            plan.output = schema.without(said(self.removes, settings, schema)).with_columns(
                said(self.adds, settings, schema) or {}
            )
        return plan

    def start(self, settings):
        """What processes batches: an instance of the class, or the function."""
        return some(self.work, settings) if self.stateful else Stateless(self.work, settings)


class Stateless:
    """A function in the place of an instance of a class."""

    def __init__(self, function, settings):
        self.process = (lambda batch: function(batch, settings)) if parameters(function) > 1 else function


class Running:
    """A node in a run: one for each instance of the component. It is held in a module, as objects of exports do not live on."""

    def __init__(self, node, text, schema, task=None):
        settings = node.config(text)
        self.plan, self.schema = node.plan(settings, schema), schema
        self.work = node.start(settings)
        self.rest = None
        if hasattr(self.work, "open"):
            some(self.work.open, task)

    def batch(self, rows, nodes):
        """A batch of the contract as the author sees it."""
        return Batch(self.schema, self.plan.reads, rows, nodes)

    def process(self, rows, nodes):
        """Takes a batch, and sends what becomes of it."""
        batch = self.batch(rows, nodes)
        batch.send(self.work.process(batch), self.plan.output)

    def watermark(self, time):
        """No row of an earlier time will come."""
        if hasattr(self.work, "watermark"):
            self.work.watermark(time)

    def finish(self):
        """Sends some of what is left; whether there is more."""
        if self.rest is None:
            left = self.work.finish() if hasattr(self.work, "finish") else None
            left = () if left is None else (left,) if hasattr(left, "items") else left
            self.rest = chunks(left, host.wanted()[0])
        for rows in self.rest:
            send_fresh(rows, self.plan.output, "groups")
            return True
        return False

    def save(self):
        """Everything that the following batches depend on."""
        if hasattr(self.work, "save"):
            return self.work.save()
        return pickle.dumps(vars(self.work))

    def load(self, state):
        """Takes back what `save` gave."""
        if hasattr(self.work, "load"):
            self.work.load(state)
        else:
            vars(self.work).update(pickle.loads(state))
