"""`AgeBands`: the band that a person's age falls into, from an age or from a birth date."""

from bisect import bisect_right
from dataclasses import dataclass, field
from datetime import date
from typing import Literal, Optional

from selvedge import Error, transform

EPOCH = date(1970, 1, 1).toordinal()


@dataclass
class Settings:
    """The settings, as a graph gives them: `config: (age: "age")`."""

    age: Optional[str] = None
    birth_date: Optional[str] = None
    as_of: Optional[str] = None
    output: str = "age_band"
    edges: list[int] = field(default_factory=lambda: [18, 25, 35, 45, 55, 65])
    style: Literal["dash", "words", "interval"] = "dash"
    labels: Optional[list[str]] = None
    oldest: int = 120
    unknown: Literal["null", "reject"] = "null"
    implausible: Literal["null", "reject"] = "null"

    def __post_init__(self):
        if (self.age is None) == (self.birth_date is None):
            raise Error.graph("expected one of `age` and `birth_date`: the column to look at")
        if self.birth_date is not None and self.as_of is None:
            raise Error.graph("needs `as_of`: a date as 2024-06-30, or a column of dates", at="as_of")
        if self.birth_date is None and self.as_of is not None:
            raise Error.graph("`as_of` goes with `birth_date`, an age is one already", help="leave it out", at="as_of")
        if not self.edges:
            raise Error.graph("expected at least one edge, found none", at="edges")
        for i, (low, high) in enumerate(zip([0, *self.edges], [*self.edges, self.oldest + 1])):
            if low >= high:
                last = i == len(self.edges)
                words = f"`oldest` is {self.oldest}, below the last edge, {low}" if last else f"expected an age above {low}, found {high}"
                raise Error.graph(words, help="edges ascend", at="oldest" if last else f"edges.{i}")
        if self.labels is not None and len(self.labels) != len(self.edges) + 1:
            words = f"expected {len(self.edges) + 1} labels for {len(self.edges)} edges, found {len(self.labels)}"
            raise Error.graph(words, help="below the first edge, between each two, from the last one on", at="labels")

    def day(self):
        """The one day that ages are counted at; None where each row has its own."""
        try:
            return date.fromisoformat(self.as_of)
        except ValueError:
            return None

    def reads(self):
        """The columns to look at."""
        if self.age is not None:
            return {self.age: "number"}
        return {self.birth_date: "date"} if self.day() else {self.birth_date: "date", self.as_of: "date"}

    def bands(self):
        """The labels of the bands, from below the first edge to above the last one."""
        if self.labels is not None:
            return self.labels
        first, last = self.edges[0], self.edges[-1]
        pairs = list(zip(self.edges, self.edges[1:]))
        if self.style == "interval":
            return [f"[0,{first})", *(f"[{a},{b})" for a, b in pairs), f"[{last},)"]
        dash = " to " if self.style == "words" else "-"
        middle = [f"{a}{dash}{b - 1}" if b - 1 > a else str(a) for a, b in pairs]
        words = self.style == "words"
        return [f"under {first}", *middle, f"{last} and over" if words else f"{last}+"]


def years_before(day, years):
    """The same day so many years earlier; who was born on it or before is so old. None before the calendar begins."""
    if day.year <= years:
        return date.min
    try:
        return day.replace(year=day.year - years)
    except ValueError:
        return day.replace(year=day.year - years, day=28)


def age_at(birth, day):
    """Whole years from a birth to a day."""
    return day.year - birth.year - ((day.month, day.day) < (birth.month, birth.day))


def looked_up(batch, settings):
    """Numbers that ascend with age, None where the age is unknown, and the numbers at which bands begin."""
    steps = [0, *settings.edges, settings.oldest + 1]
    if settings.age is not None:
        return batch[settings.age].tolist(), steps
    births, day = batch[settings.birth_date], settings.day()
    if day is None:
        pairs = zip(births, batch[settings.as_of])
        return [None if born is None or at is None else age_at(born, at) for born, at in pairs], steps
    # On one day for all rows, days of birth are compared: no row needs a calendar.
    begins = [EPOCH - years_before(day, years).toordinal() for years in steps]
    days = births.values
    return [-d for d in days] if births.valid is None else [-d if ok else None for d, ok in zip(days, births.valid)], begins


@transform(
    name="AgeBands",
    about="the band that a person's age falls into, from an age or a birth date",
    settings=Settings,
    reads=Settings.reads,
    adds=lambda s: {s.output: "Utf8"},
    rejects=lambda s: "reject" in (s.unknown, s.implausible),
    example={"age": "age", "edges": [18, 25, 35, 45, 55, 65]},
)
def age_bands(batch, settings):
    """Settings: `age` (a column of numbers), or `birth_date` (a column of dates) and `as_of` (a date as `2024-06-30`, or a column of
    dates); `output` (`age_band`); `edges` (18, 25, 35, 45, 55, 65: the ages at which bands begin); `style` of the labels: `dash`
    (`under 18`, `18-24`, `65+`), `words` (`18 to 24`, `65 and over`) or `interval` (`[18,25)`); or `labels`, one more than edges.

    An age below 0 or above `oldest` (120) is implausible: `implausible` says `null` or `reject` (code `age.implausible`), as
    `unknown` says of a missing one (code `age.unknown`). An implausible age made null is counted as altered."""
    values, steps = looked_up(batch, settings)
    bands = [None, *settings.bands(), None]
    places = [None if value is None else bisect_right(steps, value) for value in values]
    last = len(bands) - 1
    outside = [place == 0 or place == last for place in places]
    if True in outside:
        if settings.implausible == "reject":
            column = settings.age or settings.birth_date
            seen = batch[column]
            batch.reject("age.implausible", outside, lambda row: f"expected an age from 0 to {settings.oldest}, found {column} {seen[row]}")
        else:
            batch.altered("implausible age", outside)
    if settings.unknown == "reject" and None in places:
        batch.reject("age.unknown", [place is None for place in places], "expected an age, found null")
    return {settings.output: [None if place is None else bands[place] for place in places]}
