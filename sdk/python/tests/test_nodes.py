"""Nodes of all sorts, run by the harness that plugins are tested with; and what the harness finds wrong."""

import logging
import unittest
from dataclasses import dataclass

from selvedge import (
    Drop, Error, Idle, Reject, Take, Wish, count, now, row_transform, secret, sink, source, testing, transform, wanted,
)  # fmt: skip
from selvedge.errors import told


@dataclass
class Between:
    column: str
    low: float = 0.0
    high: float = 100.0


@transform(settings=Between, reads=lambda s: {s.column: "number"}, rejects=True, adds={"half": "Float64"}, example={"column": "price"})
def between(batch, settings):
    """lets rows through whose number is within bounds

    More words."""
    numbers = batch[settings.column]
    batch.reject("no_number", numbers.nulls, "expected a number, found null")
    batch.drop("out of bounds", [n is not None and not settings.low <= n <= settings.high for n in numbers])
    return {"half": [n and n / 2 for n in numbers]}


@row_transform(settings=Between, reads=lambda s: [s.column, "sku"], rejects=True, adds={"half": "Float64"})
def between_rows(row, settings):
    if row.price is None:
        raise Reject("no_number", f"expected a number for {row['sku']}, found null")
    if not settings.low <= row.price <= settings.high:
        return Drop("out of bounds")
    return {"half": row["price"] / 2}


@transform(keys=["who"], reads={"who": "text", "spent": "number"}, gives={"who": "Utf8", "total": "Float64"})
class Totals:
    """sums up what each has spent"""

    def __init__(self):
        self.totals = {}

    def process(self, batch):
        for who, spent in zip(batch["who"], batch["spent"]):
            self.totals[who] = self.totals.get(who, 0.0) + (spent or 0.0)
        batch.absorb("grouped")

    def finish(self):
        for who, total in sorted(self.totals.items()):
            yield {"who": who, "total": total}


SALES = """
    sku  | price:Float64
    pen  | 1.50
    free | -1
    lost | null
    car  | 20000
"""


class Transforms(unittest.TestCase):
    def test_columns_and_rows_do_the_same(self):
        for node in (between, between_rows):
            done = testing.run(node, {"column": "price"}, SALES)
            done.expect("sku | price:Float64 | half:Float64\n pen | 1.5 | 0.75")
            self.assertEqual(done.dropped, {"out of bounds": 2})
            self.assertEqual([(r.code, r.row["sku"]) for r in done.rejected], [("no_number", "lost")])

    def test_all_rows_may_go(self):
        done = testing.run(between, {"column": "price"}, "price:Float64\n 1000\n 2000")
        self.assertEqual((done.rows, done.dropped), ([], {"out of bounds": 2}))

    def test_a_class_keeps_its_state_through_save_and_load(self):
        done = testing.run(Totals, {}, "who | spent:Float64\n b | 1\n a | 2\n b | 3\n c | null\n a | 4")
        done.expect("who | total:Float64\n a | 6\n b | 4\n c | 0")
        self.assertEqual((done.absorbed, done.created), ({"grouped": 5}, {"groups": 3}))
        plan = Totals.plan(None, testing.Table.of("x:Int8 | who | spent:Int32").schema)
        self.assertEqual((plan.partitioning, plan.keys, plan.reads, plan.stateful), ("keys", [1], [1, 2], True))

    def test_state_may_be_saved_by_its_author(self):
        @transform(adds={"n": "Int64"}, partitioning="in order")
        class Numbered:
            def __init__(self):
                self.next, self.function = 0, lambda: None

            def process(self, batch):
                first, self.next = self.next, self.next + len(batch)
                return {"n": range(first, self.next)}

            def save(self):
                return self.next.to_bytes(8, "little")

            def load(self, state):
                self.next = int.from_bytes(state, "little")

        testing.run(Numbered, {}, "a\n x\n y\n z\n z").expect("a | n:Int64\n x | 0\n y | 1\n z | 2\n z | 3")

    def test_rows_may_become_many(self):
        @row_transform(reads=["words"], adds={"word": "Utf8"}, removes=["words"])
        def split(row):
            words = (row.words or "").split()
            return [{"word": word} for word in words] or Drop("no words")

        done = testing.run(split, {}, "id:Int64 | words\n 1 | a b\n 2 | null\n 3 | c")
        done.expect("id:Int64 | word\n 1 | a\n 1 | b\n 3 | c")
        self.assertEqual((done.created, done.dropped), ({"repeated": 1}, {"no words": 1}))

    def test_rows_by_number(self):
        @transform(reads=["a"])
        def backwards(batch):
            return Take(range(len(batch) - 1, -1, -1))

        whole = testing._run(backwards, "{}", testing.Table.of("a:Int8 | b\n 1 | x\n 2 | y"), 2, None)
        whole.expect("a:Int8 | b\n 2 | y\n 1 | x")

    def test_columns_may_be_renamed_removed_and_changed(self):
        @transform(reads=["a"], removes=["b"], adds={"a": "Utf8!", "c": "Int64"})
        def change(batch):
            return {"a": [str(n) for n in batch["a"]], "c": batch["a"]}

        testing.run(change, {}, "a:Int64 | b | d\n 7 | x | y").expect("a:Utf8 | d | c:Int64\n 7 | y | 7")

    def test_one_value_for_all_rows_and_filters(self):
        @transform(adds={"country": "Utf8", "n": "Int64"}, reads=["a"])
        def add(batch):
            batch.drop("even", [n % 2 == 0 for n in batch["a"]])
            return {"country": "US", "n": batch["a"].values}

        testing.run(add, {}, "a:Int64\n1\n2\n3").expect("a:Int64 | country | n:Int64\n1|US|1\n3|US|3")

    def test_problems_are_told_while_planning(self):
        for config, table, at, words in [
            ({"column": "prize"}, SALES, "column", "no column named `prize` (did you mean `price`?)"),
            ({"column": "sku"}, SALES, "column", "expected `sku` to be a number, found Utf8"),
            ({"colum": "sku"}, SALES, "colum", "no setting named `colum` (did you mean `column`?)"),
            ({"column": "x"}, "", "column", "no column named `x` (there are no columns)"),
        ]:
            table = table or " "
            if not table.strip():
                continue
            error = testing.problem(between, config, table)
            self.assertEqual((error.fault, error.at, str(error)), ("graph", at, words))

    def test_what_the_author_gets_wrong_is_told(self):
        def wrong(work, words, **said):
            with self.assertRaises(Error) as e:
                testing.run(transform(reads=["a"], **said)(work), {}, "a:Int64 | b\n 1 | x\n 2 | y\n 3 | z")
            self.assertEqual((e.exception.fault, str(e.exception)), ("bug", words))

        add = {"n": "Int64"}
        wrong(lambda b: None, "expected a column `n`, as announced, found no new column", adds=add)
        wrong(lambda b: {"mn": 1}, "gives a column `mn`, which was not announced (did you mean `n`?)", adds=add)
        wrong(lambda b: {"n": [1]}, "gives 1 values in column `n` with 3 rows", adds=add)
        wrong(lambda b: b["b"], "the plan does not read column `b` (add it to `reads`)")
        wrong(lambda b: b["aa"], "no column named `aa` (did you mean `a`?)")
        wrong(lambda b: [1], "expected new columns as a dict, found list (return a dict of columns, or None where there are none)")
        wrong(lambda b: b.drop("x", [1]), "says of 1 rows what becomes of them, the batch has 3")
        wrong(lambda b: b.drop("x", b.left()) or b.drop("y", [1] * 3), "row 0 is dropped as `y`, but it was dropped, rejected or absorbed before")
        wrong(lambda b: Take([9]), "takes row 9 of a batch of 3")
        wrong(lambda b: Take([0, 2]), "row 1 is not taken, and nothing else is said of it (drop or reject it)")

        with self.assertRaises(Error) as e:
            testing.run(row_transform(adds=add)(lambda row: None), {}, "a\n x")
        self.assertTrue(e.exception.message.startswith("a function over rows returned None"))
        with self.assertRaises(AssertionError) as e:
            testing.run(row_transform(lambda row: Reject("x", "y")), {}, "a\n x")
        self.assertIn("add `rejects=True`", str(e.exception))

    def test_a_function_that_depends_on_the_batch_is_found(self):
        @transform(adds={"n": "Int64"})
        def lengths(batch):
            return {"n": len(batch)}

        with self.assertRaises(AssertionError) as e:
            testing.run(lengths, {}, "a\n x\n y")
        self.assertIn("sent in batches of 1", str(e.exception))

    def test_an_exception_tells_its_innermost_lines(self):
        def inner(n):
            return 1 / n

        try:
            testing.run(transform(lambda batch: inner(0)), {}, "a\n x")
        except ZeroDivisionError as e:
            error = told(e)
        self.assertEqual((error.fault, error.message), ("bug", "ZeroDivisionError: division by zero"))
        self.assertRegex(error.help, r"^in the plugin: inner \(test_nodes.py:\d+\) ← <lambda> \(test_nodes.py:\d+\) ← ")

    def test_what_the_host_offers(self):
        log = logging.getLogger("mine")

        @transform(wishes=[Wish("secret", "KEY", "to sign")])
        def uses(batch):
            """uses the host"""
            count("batches", 1)
            log.warning("seen %d", len(batch), extra={"at": now().year, "secret": secret("KEY"), "rows": wanted()[0]})

        done = testing._run(uses, "{}", testing.Table.of("a\n x"), 9, {"KEY": "k"})
        self.assertEqual(done.counters, {"batches": 1})
        self.assertEqual(done.log, ["WARN seen 1 logger=mine at=2023 secret=k rows=8192"])
        self.assertEqual((uses.about.name, uses.about.about), ("Uses", "uses the host"))
        with self.assertRaises(Error):
            count("outside of a run")

    def test_a_decorated_function_says_what_it_is(self):
        self.assertEqual(between.about.about, "lets rows through whose number is within bounds")
        self.assertEqual(between.about.docs, "lets rows through whose number is within bounds\n\nMore words.")
        testing.example(between)


class Sources(unittest.TestCase):
    def test_rows_columns_and_what_cannot_be_read(self):
        @source(gives={"n": "Int64"}, rejects=True, splits=["a", "b"])
        def numbers(split):
            yield {"n": 1}
            yield [{"n": 2}, {"n": 3}]
            yield Reject("numbers.text", "expected a number, found x", raw=f"{split}:x")
            yield {"n": [4, 5]}
            yield Idle(10)

        done = testing.source(numbers)
        self.assertEqual([row["n"] for row in done.rows], [1, 2, 3, 4, 5] * 2)
        self.assertEqual((done.created, [r.row for r in done.rejected]), ({"read": 12}, ["a:x", "b:x"]))

    def test_a_source_goes_on_where_it_stopped(self):
        @source(gives={"n": "Int64"})
        def numbers(position):
            for n in range(int(position or 0), 5):
                yield {"n": [n]}, str(n + 1)

        self.assertEqual([row["n"] for row in testing.source(numbers).rows], [0, 1, 2, 3, 4])


class Sinks(unittest.TestCase):
    def test_rows_are_written_and_committed_twice(self):
        published = []

        @sink(settings=Between, reads=lambda s: [s.column], target=lambda s: s.column)
        class Writes:
            def __init__(self, settings):
                self.column, self.lines = settings.column, []

            def write(self, batch):
                batch.drop("null", batch[self.column].nulls)
                self.lines += [str(n) for n in batch[self.column] if n is not None]

            def flush(self, epoch):
                return ",".join(self.lines)

            def commit(pending, epoch):
                published[:] = pending

        done = testing.sink(Writes, {"column": "price"}, SALES)
        self.assertEqual((done.pending, published), (["1.5,-1.0,20000.0"], done.pending))
        self.assertEqual((done.absorbed, done.dropped), ({"written": 3}, {"null": 1}))
