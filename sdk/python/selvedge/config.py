"""The settings of a node: JSON as a dataclass. Each error has the path of the setting, unknown names the nearest known one."""

import dataclasses
import json
import types
import typing

from .errors import Error, listed, meant, nearest

_PLAIN = {
    str: ("a text", lambda v: isinstance(v, str)),
    bool: ("true or false", lambda v: isinstance(v, bool)),
    int: ("a whole number", lambda v: isinstance(v, int) and not isinstance(v, bool)),
    float: ("a number", lambda v: isinstance(v, (int, float)) and not isinstance(v, bool)),
}


def read(settings, text):
    """Reads a config. `settings` is a dataclass, or None for a node without settings."""
    try:
        value = json.loads(text) if text.strip() else {}
    except ValueError as e:
        raise Error.graph(f"the config is no JSON: {e}") from None
    if settings is not None:
        return _part(settings, value, "")
    if not isinstance(value, dict):
        raise _unexpected("an object", value, "")
    for name in value:
        raise Error.graph(f"no setting named `{name}`", help="there are none", at=name)
    return None


def _part(settings, value, path):
    if not isinstance(value, dict):
        raise _unexpected("an object", value, path)
    hints = typing.get_type_hints(settings)
    # A name that is a word of Python's has a `_` behind it there: `from_` is the setting `from`.
    fields = {f.name.rstrip("_"): f for f in dataclasses.fields(settings) if f.init}
    read, missing = {}, None
    for name, field in fields.items():
        at, wanted = _below(path, name), hints[field.name]
        if value.get(name) is not None:
            read[field.name] = _value(wanted, value[name], at)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            if type(None) in typing.get_args(wanted):
                read[field.name] = None
            else:
                missing = missing or Error.graph(f"needs `{name}`: {_expected(wanted)}", at=at)
    # Where a known name is missing, an unknown one may be its misspelling: that says more.
    for name in value:
        if name not in fields:
            free = [known for known in fields if known not in value]
            help = f"did you mean `{near}`?" if (near := nearest(name, free)) else None
            help = help or (f"there are {listed(fields)}" if fields else "there are none")
            raise Error.graph(f"no setting named `{name}`", help=help, at=_below(path, name))
    if missing:
        raise missing
    try:
        return settings(**read)
    except Error as e:
        if e.at is not None:
            e.at = _below(path, e.at)
        raise
    except ValueError as e:
        # As Python's own checks of arguments do in `__post_init__`.
        raise Error.graph(str(e), at=path or None) from None


def _value(wanted, value, at):
    origin, args = typing.get_origin(wanted), typing.get_args(wanted)
    if wanted in _PLAIN:
        if not _PLAIN[wanted][1](value):
            raise _unexpected(_PLAIN[wanted][0], value, at)
        return wanted(value)
    if wanted is typing.Any:
        return value
    if dataclasses.is_dataclass(wanted):
        return _part(wanted, value, at)
    if origin is typing.Literal:
        if value not in args:
            near = meant(value, list(map(str, args))) if isinstance(value, str) else None
            help = near if near and near.startswith("did") else None
            found = f"`{value}`" if isinstance(value, str) else describe(value)
            raise Error.graph(f"expected {_expected(wanted)}, found {found}", help=help, at=at)
        return value
    if origin in (typing.Union, types.UnionType):
        wishes = [w for w in args if w is not type(None)]
        if len(wishes) == 1:
            return _value(wishes[0], value, at)
        for wish in wishes:
            try:
                return _value(wish, value, at)
            except Error:
                continue
        raise _unexpected(_expected(wanted), value, at)
    if origin is list or wanted is list:
        if not isinstance(value, list):
            raise _unexpected("a list", value, at)
        item = args[0] if args else typing.Any
        return [_value(item, one, _below(at, str(i))) for i, one in enumerate(value)]
    if origin is dict or wanted is dict:
        if not isinstance(value, dict):
            raise _unexpected("an object", value, at)
        item = args[1] if args else typing.Any
        return {name: _value(item, one, _below(at, name)) for name, one in value.items()}
    raise Error.bug(f"a setting cannot be {wanted}: use str, int, float, bool, Literal, list, dict, or a dataclass")


def _expected(wanted):
    origin, args = typing.get_origin(wanted), typing.get_args(wanted)
    if wanted in _PLAIN:
        return _PLAIN[wanted][0]
    if origin is typing.Literal:
        return listed(args)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_expected(w) for w in args if w is not type(None))
    if origin is list or wanted is list:
        return "a list"
    return "anything" if wanted is typing.Any else "an object"


def _below(path, name):
    return f"{path}.{name}" if path else name


def _unexpected(expected, found, at):
    return Error.graph(f"expected {expected}, found {describe(found)}", at=at or None)


def describe(value):
    """What a value of JSON is, for messages: `the text "abc"`."""
    if isinstance(value, str):
        return f'the text "{value[:40]}{"…" if len(value) > 40 else ""}"'
    if isinstance(value, list):
        return "a list"
    return "an object" if isinstance(value, dict) else json.dumps(value)


def path_of(settings, wanted):
    """The path of the setting whose value is this text, as the name of a column is; None where there is none."""

    def search(value, path):
        if value == wanted and isinstance(value, str):
            return path
        if dataclasses.is_dataclass(value):
            value = vars(value)
        pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        found = (search(inner, _below(path, str(name).rstrip("_"))) for name, inner in pairs)
        return next((path for path in found if path is not None), None)

    return None if settings is None else search(settings, "")
