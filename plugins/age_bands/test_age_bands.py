"""What `AgeBands` makes of small tables. `PYTHONPATH=../../sdk/python python3 -m unittest`, in this folder."""

import unittest

from age_bands import age_bands
from selvedge import testing

PEOPLE = """
    name | age:Float64 | born:Date  | seen:Date
    ann  | 17.9        | 2006-07-01 | 2024-06-30
    bob  | 18          | 2006-06-30 | 2024-06-30
    cy   | 64          | 1960-02-29 | 2024-02-28
    dee  | 65          | 1959-06-30 | null
    eve  | null        | null       | 2024-06-30
    fay  | -1          | 2024-07-01 | 2024-06-30
    gus  | 121         | 1903-06-30 | 2024-06-30
"""


def bands(config, table=PEOPLE):
    done = testing.run(age_bands, config, table)
    return {row["name"]: row[config.get("output", "age_band")] for row in done.rows}, done


class AgeBands(unittest.TestCase):
    def test_from_ages(self):
        found, done = bands({"age": "age"})
        self.assertEqual(
            found,
            {"ann": "under 18", "bob": "18-24", "cy": "55-64", "dee": "65+", "eve": None, "fay": None, "gus": None},
        )
        self.assertEqual(done.altered, {"implausible age": 2})

    def test_from_birth_dates(self):
        expected = {"ann": "under 18", "bob": "18-24", "cy": "55-64", "dee": "65+", "eve": None, "fay": None, "gus": None}
        self.assertEqual(bands({"birth_date": "born", "as_of": "2024-06-30"})[0], expected)
        self.assertEqual(bands({"birth_date": "born", "as_of": "seen"})[0], expected | {"dee": None})

    def test_birthdays_on_a_leap_day(self):
        table = "name | born:Date\n a | 2004-02-28\n b | 2004-02-29\n c | 2004-03-01"
        for day, expected in {
            "2024-02-29": {"a": "20+", "b": "20+", "c": "under 20"},
            "2024-02-28": {"a": "20+", "b": "under 20", "c": "under 20"},
            "2025-02-28": {"a": "20+", "b": "20+", "c": "20+"},
        }.items():
            config = {"birth_date": "born", "as_of": day, "edges": [20]}
            self.assertEqual(bands(config, table)[0], expected, day)
        # A day that no year before had.
        self.assertEqual(
            bands({"birth_date": "born", "as_of": "2024-02-29", "edges": [1]}, "name | born:Date\n a | 2023-02-28\n b | 2023-03-01")[0],
            {"a": "1+", "b": "under 1"},
        )

    def test_what_cannot_be_is_rejected_where_the_graph_says_so(self):
        _, done = bands({"age": "age", "unknown": "reject", "implausible": "reject"})
        told = [(r.code, r.message, r.row["name"]) for r in done.rejected]
        self.assertEqual(
            sorted(told),
            [
                ("age.implausible", "expected an age from 0 to 120, found age -1.0", "fay"),
                ("age.implausible", "expected an age from 0 to 120, found age 121.0", "gus"),
                ("age.unknown", "expected an age, found null", "eve"),
            ],
        )
        _, done = bands({"birth_date": "born", "as_of": "2024-06-30", "implausible": "reject"})
        self.assertEqual(done.rejected[0].message, "expected an age from 0 to 120, found born 2024-07-01")

    def test_labels(self):
        ages = "name | age:Int32\n a | 3\n b | 4\n c | 5\n d | 9"
        for config, expected in [
            ({"style": "dash"}, ["under 4", "4", "5-8", "9+"]),
            ({"style": "words"}, ["under 4", "4", "5 to 8", "9 and over"]),
            ({"style": "interval"}, ["[0,4)", "[4,5)", "[5,9)", "[9,)"]),
            ({"labels": ["baby", "four", "child", "kid"]}, ["baby", "four", "child", "kid"]),
        ]:
            config |= {"age": "age", "edges": [4, 5, 9], "output": "band"}
            self.assertEqual(list(bands(config, ages)[0].values()), expected)

    def test_wrong_settings_are_told_with_their_place(self):
        for config, at, words in [
            ({}, None, "expected one of `age` and `birth_date`: the column to look at"),
            ({"age": "aage"}, "age", "no column named `aage` (did you mean `age`?)"),
            ({"age": "name"}, "age", "expected `name` to be a number, found Utf8"),
            ({"birth_date": "born"}, "as_of", "needs `as_of`: a date as 2024-06-30, or a column of dates"),
            ({"birth_date": "born", "as_of": "2024-06-31"}, "as_of", "no column named `2024-06-31` (there are `name`, `age`, `born`, `seen`)"),
            ({"age": "age", "as_of": "seen"}, "as_of", "`as_of` goes with `birth_date`, an age is one already (leave it out)"),
            ({"age": "age", "edges": [18, 18]}, "edges.1", "expected an age above 18, found 18 (edges ascend)"),
            ({"age": "age", "edges": []}, "edges", "expected at least one edge, found none"),
            ({"age": "age", "oldest": 60}, "oldest", "`oldest` is 60, below the last edge, 65 (edges ascend)"),
            ({"age": "age", "edges": [18], "labels": ["a"]}, "labels", "expected 2 labels for 1 edges, found 1 (below the first edge, between each two, from the last one on)"),
            ({"age": "age", "style": "dsh"}, "style", "expected `dash`, `words`, `interval`, found `dsh` (did you mean `dash`?)"),
        ]:
            error = testing.problem(age_bands, config, PEOPLE)
            self.assertEqual((error.fault, error.at, str(error)), ("graph", at, words))

    def test_the_example_is_a_config(self):
        testing.example(age_bands)


if __name__ == "__main__":
    unittest.main()
