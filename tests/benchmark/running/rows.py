"""Rows as plain data, to compare them with those of a file or of another run."""


def plain(rows):
    """Return rows, or plain data, as plain data."""
    return [row if isinstance(row, dict) else row.plain() for row in rows]


def numbers(rows):
    """Return rows as plain data without the time that the runs took."""
    return [{key: value for key, value in row.items() if key != "seconds"} for row in plain(rows)]
