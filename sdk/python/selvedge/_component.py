"""A node as the exports of a component. Imported while the component is made, when the contract's bindings are there."""

# Python imports some modules when they are first needed. A component has no files to import from, so they come along.
import _strptime  # noqa: F401
import encodings.ascii  # noqa: F401
import encodings.cp1252  # noqa: F401
import encodings.idna  # noqa: F401
import encodings.latin_1  # noqa: F401
import encodings.utf_16  # noqa: F401

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import batches, clock, counters, logging, rows, secrets, types

from . import host
from .ends import Reader, Writer
from .errors import told
from .node import Running
from .types import Field, Schema, Type


class Host:
    """The host of the contract."""

    _FROM = {
        "same": lambda _: types.RowsFrom_Same(),
        "fresh": lambda _: types.RowsFrom_Fresh(),
        "filter": types.RowsFrom_Filter,
        "take": types.RowsFrom_Take,
    }

    def send(self, count, rows_from, columns):
        out = [types.OutColumn_Input(c) if isinstance(c, int) else types.OutColumn_Data(_nodes(c)) for c in columns]
        kind, data = rows_from
        rows.send(0, types.Output(count, self._FROM[kind](data), out))

    def drop_rows(self, mask, reason):
        rows.drop_rows(mask, reason)

    def reject_rows(self, code, rejected):
        rows.reject_rows(code, rejected)

    def reject_raw(self, code, message, raw):
        rows.reject_raw(code, message, raw)

    def absorb(self, reason, count):
        rows.absorb(reason, count)

    def create(self, reason, count):
        rows.create(reason, count)

    def altered(self, mask, what):
        rows.altered(mask, what)

    def log(self, level, message, fields):
        logging.log(logging.Level[level], message, fields)

    def enabled(self, level):
        return logging.enabled(logging.Level[level])

    def count(self, name, value):
        counters.add(name, value)

    def now(self):
        return clock.now()

    def secret(self, name):
        return secrets.get(name)

    def wanted(self):
        size = batches.wanted()
        return size.rows, size.bytes


def _nodes(nodes):
    return [types.Node(n.length, n.null_count, n.buffers) for n in nodes]


# Fields of the one node and of its one instance: what is kept in objects of the exports is gone after a call.
_node = None
_running = None


def export(node, module):
    """Puts the exports into the plugin's module, where componentize-py looks for them."""
    global _node
    if _node is not None:
        raise RuntimeError(f"a plugin is one node: `{_node.about.name}` and `{node.about.name}` are two")
    _node = node
    host.use(Host())
    module.About = About
    name = {"transform": "TransformNode", "source": "SourceNode", "sink": "SinkNode"}[node.role]
    setattr(module, name, globals()[name])


def _guarded(call):
    """What goes wrong in a call becomes the contract's error."""

    def guarded(self, *arguments):
        try:
            return call(self, *arguments)
        except BaseException as failure:
            e = told(failure)
            fault = types.Fault[e.fault.upper()]
            raise Err(types.Error(fault, e.retry, e.message, e.help, e.at)) from None

    return guarded


def _schema(schema):
    fields = iter(schema.fields)

    def pull(f):
        return Field(f.name, Type(f.format), f.nullable, tuple(pull(next(fields)) for _ in range(f.children)))

    return Schema(tuple(pull(f) for f in fields))


def _wire(schema):
    def push(f):
        yield types.Field(f.name, f.type.format, f.nullable, len(f.children))
        for child in f.children:
            yield from push(child)

    return types.Schema([wire for f in schema.fields for wire in push(f)])


def _partitioning(plan):
    plain = {"any": types.Partitioning_Any, "single": types.Partitioning_Single, "in order": types.Partitioning_InOrder}
    return types.Partitioning_Keys([plan.keys]) if plan.partitioning == "keys" else plain[plan.partitioning]()


_WISHES = {
    "files": types.Capability_Files,
    "network": types.Capability_Network,
    "environment": types.Capability_Environment,
    "secret": types.Capability_Secret,
}


class About:
    def about(self):
        a = _node.about
        wishes = [types.Wish(_WISHES[w.kind](w.name), w.reason, w.needed) for w in a.wishes]
        return types.Info(a.name, a.version, a.about, a.docs, a.example, wishes)


class TransformNode:
    @_guarded
    def describe(self, config):
        _node.config(config)
        return types.Ports(types.Inputs_One(), ["out"])

    @_guarded
    def output_schema(self, config, inputs):
        plan = _node.plan(_node.config(config), _schema(inputs[0].schema))
        return exports.transform_node.Plan(
            [_wire(plan.output)], [plan.reads], _partitioning(plan), plan.stateful, plan.may_reject
        )

    @_guarded
    def open(self, config, inputs, task):
        global _running
        host.listen(host.current().enabled)
        _running = Running(_node, config, _schema(inputs[0].schema), task)

    @_guarded
    def load(self, state):
        _running.load(state)

    @_guarded
    def process(self, input, batch):
        _running.process(batch.rows, batch.nodes)

    @_guarded
    def watermark(self, time):
        _running.watermark(time)

    @_guarded
    def finish(self):
        return _running.finish()

    @_guarded
    def save(self):
        return _running.save()


class SourceNode:
    @_guarded
    def output_schema(self, config):
        plan = _node.plan(_node.config(config))
        return exports.source_node.Plan([("out", _wire(plan.output))], _node.unbounded, plan.may_reject)

    @_guarded
    def splits(self, config, positions):
        return _node.splits(_node.config(config))

    @_guarded
    def open(self, config, task, split, position):
        global _running
        host.listen(host.current().enabled)
        _running = Reader(_node, config, split, position)

    @_guarded
    def read(self):
        next = _running.read()
        if isinstance(next, int):
            return exports.source_node.Next_Idle(next)
        return exports.source_node.Next_Done() if next == "done" else exports.source_node.Next_More()

    @_guarded
    def position(self):
        return _running.position()


class SinkNode:
    @_guarded
    def describe(self, config):
        _node.config(config)
        return types.Inputs_One()

    @_guarded
    def check(self, config, inputs):
        settings = _node.config(config)
        plan = _node.plan(settings, _schema(inputs[0].schema))
        target = _node.target(settings) if callable(_node.target) else _node.target
        return exports.sink_node.Plan([plan.reads], _partitioning(plan), plan.may_reject, target)

    @_guarded
    def open(self, config, inputs, task):
        global _running
        host.listen(host.current().enabled)
        _running = Writer(_node, config, _schema(inputs[0].schema), task)

    @_guarded
    def write(self, input, batch):
        _running.write(batch.rows, batch.nodes)

    @_guarded
    def flush(self, epoch):
        return _running.flush(epoch)

    @_guarded
    def commit(self, config, run, epoch, pending):
        _node.commit(config, run, epoch, pending)

    @_guarded
    def abort(self, config, pending):
        _node.abort(config, pending)
