"""RecordDatabase: record-keeper's database, which does not lock itself out when the disk fails."""

import sqlite3

from record_keeper.db_utils import DBManager


class RecordDatabase(DBManager):
    """A ``DBManager`` that closes its connection after a statement that failed, too.

    record-keeper leaves the connection open then, with its transaction, and tries once more with
    another, which waits for a minute until it finds the database locked. Closed, the transaction is
    rolled back, and the second attempt succeeds or fails at once.

    Args:
        path: of the database.
    """

    conn: sqlite3.Connection | None
    cursor: sqlite3.Cursor | None

    def __init__(self, path: str):
        super().__init__(path, is_global=False)

    def execute(self, *arguments, **options) -> list[sqlite3.Row] | None:
        """Execute a statement as record-keeper does: its rows with ``fetch=True``, else None."""
        self.conn = self.cursor = None
        try:
            return super().execute(*arguments, **options)
        except BaseException:
            # A cursor whose statement is going on would keep the connection alive.
            for opened in (self.cursor, self.conn):
                if opened is not None:
                    opened.close()
            raise
