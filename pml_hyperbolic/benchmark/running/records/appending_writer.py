"""AppendingWriter: record-keeper's writer, with one header a CSV file whatever the disk says."""

import csv
from pathlib import Path
from typing import Any

from record_keeper import RecordWriter
from record_keeper.utils import separate_iterations_from_series

from ...results.run_files import DATABASE_FILE
from .record_database import RecordDatabase


class AppendingWriter(RecordWriter):
    """A ``RecordWriter`` whose groups keep the columns that they start with.

    record-keeper looks for a CSV file before it appends to it, and writes a second header if the
    disk fails just then, because the standard library takes that for a file that is not there. Here
    a file has its header if it is not empty. Nor is it read anew for each row.

    Args:
        folder: for the database and the CSV files; it is made.
    """

    # Group -> series -> iteration -> value.
    records: dict[str, dict[str, dict[int, Any]]]

    def __init__(self, folder: str):
        super().__init__(folder)
        self.local_db = RecordDatabase(str(Path(folder, DATABASE_FILE)))

    def save_records(self) -> None:
        """Append the records since the last call to the CSV files and to the database."""
        for group, series in self.records.items():
            # A look at a group is enough for record-keeper to have it.
            if not series:
                continue
            columns = separate_iterations_from_series(series)
            with Path(self.folder, f"{group}.csv").open("a") as file:
                writer = csv.writer(file)
                if file.tell() == 0:
                    writer.writerow(columns)
                writer.writerows(zip(*columns.values(), strict=True))
            self.local_db.write(group, columns)
        self.records = self.get_empty_nested_dict()
