"""Settings: errors say where and what, in the words of the Rust SDK."""

import unittest
from dataclasses import dataclass, field
from typing import Any, Literal, Optional

from selvedge import Error
from selvedge.config import path_of, read


@dataclass
class Part:
    deep: bool


@dataclass
class Size:
    start: float


@dataclass
class Settings:
    column: str
    length: int = 14
    on_error: Literal["keep", "reject"] = "keep"
    part: Optional[Part] = None
    sizes: list[Size] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)
    any: Any = None

    def __post_init__(self):
        if self.length < 0:
            raise ValueError("`length` is below 0")
        if self.length == 99:
            raise Error.graph("too long", at="length")


@dataclass
class Outer:
    inner: Settings


def told(config, settings=Settings):
    with unittest.TestCase().assertRaises(Error) as e:
        read(settings, config)
    return f"{e.exception.at or ''}: {e.exception}"


class Config(unittest.TestCase):
    def test_values(self):
        found = read(Settings, '{"column": "a", "names": ["b"], "length": null, "part": {"deep": true}, "labels": {"x": 1}, "sizes": [{"start": 1}]}')
        self.assertEqual(found, Settings("a", names=["b"], part=Part(True), labels={"x": 1}, sizes=[Size(1.0)]))
        self.assertEqual(path_of(found, "b"), "names.0")
        self.assertEqual((path_of(found, "zz"), path_of(None, "b")), (None, None))

    def test_errors_say_where_and_what(self):
        for config, expected in [
            ("{}", "column: needs `column`: a text"),
            ("", "column: needs `column`: a text"),
            ("[]", ": expected an object, found a list"),
            ('{"colunm": "a"}', "colunm: no setting named `colunm` (did you mean `column`?)"),
            ('{"column": 7}', "column: expected a text, found 7"),
            ('{"column": "a", "length": 1.5}', "length: expected a whole number, found 1.5"),
            ('{"column": "a", "length": true}', "length: expected a whole number, found true"),
            ('{"column": "a", "on_error": "rejct"}', "on_error: expected `keep`, `reject`, found `rejct` (did you mean `reject`?)"),
            ('{"column": "a", "part": {"depp": true}}', "part.depp: no setting named `depp` (did you mean `deep`?)"),
            ('{"column": "a", "sizes": [{"start": 1}, {"start": "x"}]}', 'sizes.1.start: expected a number, found the text "x"'),
            ('{"column": "a", "names": ["b", 3]}', "names.1: expected a text, found 3"),
            ('{"column": "a", "names": {}}', "names: expected a list, found an object"),
            ('{"column": "a", "labels": {"x": "y"}}', 'labels.x: expected a whole number, found the text "y"'),
            ('{"column": "a", "length": -1}', ": `length` is below 0"),
        ]:
            self.assertEqual(told(config), expected, config)
        self.assertTrue(told("{").startswith(": the config is no JSON: "))
        self.assertEqual(told('{"inner": {"column": "a", "length": 99}}', Outer), "inner.length: too long")
        self.assertEqual(told('{"a": 1}', None), "a: no setting named `a` (there are none)")
        self.assertIsNone(read(None, ""))

    def test_words_of_python_have_an_underscore(self):
        @dataclass
        class Bounds:
            from_: float
            to: float

        self.assertEqual(read(Bounds, '{"from": 1, "to": 2}'), Bounds(1.0, 2.0))
        self.assertEqual(told('{"to": 2}', Bounds), "from: needs `from`: a number")
