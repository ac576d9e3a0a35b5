"""Rows that did not come in but go out: what a source reads, and what is left at the end."""

from . import build, host
from .errors import Error, meant


def is_row(item):
    """Whether it is one row, a dict of values, and not a dict of columns."""
    return hasattr(item, "items") and all(isinstance(value, build.SCALARS) for value in item.values())


def chunks(items, size):
    """Rows that come one by one in lists of about `size`; dicts of columns and lists of rows as they are."""
    rows = []
    for item in items:
        if is_row(item):
            rows.append(item)
        if rows and (len(rows) >= size or not is_row(item)):
            yield rows
            rows = []
        if not is_row(item):
            yield item
    if rows:
        yield rows


def send_fresh(columns, output, reason):
    """Sends rows of their own: columns by name, or rows, each a dict. Answers how many they are."""
    if hasattr(columns, "items"):
        columns = {n: v if isinstance(v, build.SCALARS) or hasattr(v, "__len__") else list(v) for n, v in columns.items()}
        count = next((len(v) for v in columns.values() if not isinstance(v, build.SCALARS)), 1)
    else:
        rows = list(columns)
        count = len(rows)
        names = dict.fromkeys(name for row in rows for name in row)
        columns = {name: [row.get(name) for row in rows] for name in names}
    for name in columns:
        if output.position(name) is None:
            raise Error.bug(f"gives a column `{name}`, which was not announced", help=meant(name, output.names))
    if count:
        for field in output.fields:
            if field.name not in columns:
                raise Error.bug(f"expected a column `{field.name}`, as announced, found {', '.join(columns) or 'none'}")
        host.current().create(reason, count)
        arrays = [build.column(field, columns[field.name], count) for field in output.fields]
        host.current().send(count, ("fresh", b""), arrays)
    return count
