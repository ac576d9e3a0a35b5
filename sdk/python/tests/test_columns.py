"""Columns both ways: what arrives as Python sees it, and what Python makes as Arrow has it."""

import unittest
from array import array
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal

from selvedge import Column, Error, Field, Type
from selvedge.bits import both, either, flip, pack, unpack
from selvedge.build import Node, column


def round_trip(type, values):
    f = Field("a", Type.of(type))
    nodes = column(f, values, len(values))
    return Column(f, len(values), 0, nodes)


class Columns(unittest.TestCase):
    def test_every_type_comes_back_as_it_went(self):
        utc = timezone.utc
        for type, values in [
            ("Boolean", [True, False, None] * 5),
            ("Int8", [-128, 127, None]),
            ("Int16", [-32768, None]),
            ("Int32", [2**31 - 1, None]),
            ("Int64", [-(2**63), None, 7]),
            ("UInt8", [255, None]),
            ("UInt16", [65535, None]),
            ("UInt32", [2**32 - 1, None]),
            ("UInt64", [2**64 - 1, None]),
            ("Float32", [1.5, None]),
            ("Float64", [0.1, None, float("inf")]),
            ("Utf8", ["né", "", None, "x|"]),
            ("Utf8", ["a", "", "bc"]),
            ("LargeUtf8", ["né", None]),
            ("Date", [date(1969, 12, 31), date(2024, 2, 29), None]),
            ("Timestamp(Second)", [datetime(1969, 12, 31, 23, 59, 59), None]),
            ("Timestamp(Micro, UTC)", [datetime(2024, 1, 1, 1, 2, 3, 456789, utc), None]),
            ("Timestamp(Nano)", [datetime(1960, 1, 1, 1, 2, 3, 456789)]),
            ("Decimal(10, 2)", [Decimal("-1.50"), Decimal(7), None]),
            ("Decimal(38, 0)", [Decimal(10**38 - 1), Decimal(1 - 10**38)]),
            ("Int64", []),
            ("Utf8", []),
        ]:
            found = round_trip(type, values)
            self.assertEqual(found.tolist(), values, type)
            self.assertEqual(found.null_count, values.count(None), type)

    def test_buffers_are_what_arrow_says(self):
        offsets = array("i", [0, 3, 3, 4]).tobytes()
        self.assertEqual(column(Field("a", Type.of("Utf8")), ["né", None, "x"], 3), [Node(3, 1, [b"\5", offsets, "néx".encode()])])
        self.assertEqual(column(Field("a", Type.of("Boolean")), [i % 2 == 0 for i in range(9)], 9), [Node(9, 0, [b"", b"\x55\1"])])
        self.assertEqual(column(Field("a", Type.of("Int32")), [1, None], 2), [Node(2, 1, [b"\1", b"\1\0\0\0\0\0\0\0"])])

    def test_numbers_are_views_without_a_copy(self):
        data = array("d", [1.5, 2.5]).tobytes()
        arrived = Column(Field("a", Type.of("Float64")), 2, 0, [Node(2, 0, [b"", data])])
        self.assertIs(arrived.values.obj, data)
        self.assertEqual(list(arrived.values), [1.5, 2.5])

    def test_one_value_is_for_all_rows_and_arrays_go_as_they_are(self):
        f = Field("a", Type.of("Utf8"))
        self.assertEqual(Column(f, 3, 0, column(f, "x", 3)).tolist(), ["x"] * 3)
        f = Field("a", Type.of("Int64"))
        self.assertEqual(Column(f, 2, 0, column(f, array("q", [4, 5]), 2)).tolist(), [4, 5])
        self.assertEqual(Column(f, 2, 0, column(f, (n for n in [4, 5]), 2)).tolist(), [4, 5])
        self.assertEqual(Column(f, 2, 0, column(f, None, 2)).tolist(), [None, None])

    def test_zones(self):
        paris = timezone(timedelta(hours=2))
        at = datetime(2024, 6, 1, 12, 0, tzinfo=paris)
        self.assertEqual(round_trip("Timestamp(Milli, Europe/Paris)", [at])[0], datetime(2024, 6, 1, 10, 0, tzinfo=timezone.utc))
        self.assertEqual(round_trip("Timestamp(Milli)", [at])[0], datetime(2024, 6, 1, 12, 0))

    def test_what_does_not_fit_is_named_with_its_row(self):
        for type, values, words in [
            ("Int64", [1, None, 1.5], "column `a` is Int64, but row 2 of it is 1.5"),
            ("Int8", [1, 128], "column `a` is Int8, but row 1 of it is 128"),
            ("Float64", [1, "x"], "column `a` is Float64, but row 1 of it is 'x'"),
            ("Utf8", ["x", 3], "column `a` is Utf8, but row 1 of it is 3"),
            ("Date", ["2024-01-01"], "column `a` is Date, but row 0 of it is '2024-01-01'"),
            ("Timestamp(Micro)", [1.5], "column `a` is Timestamp(Micro), but row 0 of it is 1.5"),
            ("Decimal(5, 2)", [Decimal("1.005")], "column `a` is Decimal(5, 2), but row 0 of it is Decimal('1.005'); `round(value, 2)` makes it fit"),
            ("Decimal(5, 2)", [1.5], "column `a` is Decimal(5, 2), but row 0 of it is 1.5"),
            ("+l", [[1]], "column `a` is +l, which can be passed on, but not made in Python"),
        ]:
            with self.assertRaises(Error) as told:
                round_trip(type, values)
            self.assertEqual(told.exception.message, words)
        with self.assertRaises(Error) as told:
            column(Field("a", Type.of("Int64")), [1], 2)
        self.assertEqual(told.exception.message, "gives 1 values in column `a` with 2 rows")
        with self.assertRaises(Error) as told:
            column(Field("a", Type.of("Int64"), nullable=False), [None], 1)
        self.assertEqual(told.exception.message, "gives null in column `a`, which is promised to have none")

    def test_what_the_host_gets_wrong_is_an_error(self):
        for type, node, words in [
            ("Int64", Node(9, 0, [b"", bytes(71)]), "column `a` is Int64, a buffer is too short"),
            ("Utf8", Node(9, 0, [b"", bytes(36), b""]), "column `a` is Utf8, a buffer is too short"),
            ("+s", Node(9, 0, [b""]), "column `a` is +s, which can be passed on, but not read in Python"),
        ]:
            with self.assertRaises(Error) as told:
                Column(Field("a", Type.of(type)), 9, 0, [node]).tolist()
            self.assertEqual(told.exception.message, words)
        with self.assertRaises(Error) as told:
            Column(Field("a", Type.of("Int64")), 9, 0, [Node(8, 0, [b"", bytes(64)])])
        self.assertEqual(told.exception.message, "column `a` is Int64, of 8 rows in a batch of 9")

    def test_days_that_python_does_not_know_are_the_datas_fault(self):
        days = Column(Field("a", Type.of("Date")), 1, 0, [Node(1, 0, [b"", array("i", [2**31 - 1]).tobytes()])])
        with self.assertRaises(Error) as told:
            days.tolist()
        self.assertEqual((told.exception.fault, told.exception.help), ("data", "look at the numbers themselves, in `values`"))

    def test_sets_of_rows(self):
        for rows in (0, 1, 7, 8, 9, 1000):
            mask = bytes(row % 3 == 0 for row in range(rows))
            self.assertEqual(unpack(pack(mask), rows), mask)
            self.assertEqual(len(pack(mask)), (rows + 7) // 8)
        # What stands behind the last row does not count.
        self.assertEqual(unpack(b"\xff", 3), b"\1\1\1")
        self.assertEqual((flip(b"\0\1"), both(b"\1\1", b"\0\1"), either(b"\1\0", b"\0\0")), (b"\1\0", b"\0\1", b"\1\0"))


class Types(unittest.TestCase):
    def test_names_and_formats(self):
        for name, format in [
            ("Int64", "l"),
            ("Timestamp", "tsu:UTC"),
            ("Timestamp(Micro)", "tsu:"),
            ("Timestamp(Nano, Europe/Paris)", "tsn:Europe/Paris"),
            ("Decimal(10, 2)", "d:10,2"),
        ]:
            self.assertEqual(Type.of(name).format, format)
        for format in ["n", "b", "l", "g", "u", "tdD", "tsu:UTC", "tsn:", "d:19,10", "d:5,-2", "+l"]:
            self.assertEqual(Type.of(format).format, format)
            self.assertEqual(Type.of(str(Type(format))).format, format)
        self.assertEqual((Type("z").kind, str(Type("d:19,10,256"))), ("other", "d:19,10,256"))

    def test_an_unknown_type_tells_the_nearest(self):
        with self.assertRaises(Error) as told:
            Type.of("Float6")
        self.assertEqual(str(told.exception), "no type named `Float6` (did you mean `Float64`?)")
