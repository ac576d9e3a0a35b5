"""Adds a column, to be measured by benches/guests.rs."""

from array import array
from selvedge import transform


@transform(name="Add", reads={"id": "Int64", "val": "Float64"}, adds={"extra": "Float64"})
def add(batch):
    """adds a number for each row"""
    ids, vals = batch["id"].values, batch["val"].values
    return {"extra": array("d", [val * 1.1 + number for number, val in zip(ids, vals)])}
