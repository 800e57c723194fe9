"""RunLog: the log file of one run."""

import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from ...escaping import printable, printable_lines


class RunLog:
    """A context manager that writes a log file, to which PML's own messages go as well.

    Args:
        path: of the file; messages are appended.
    """

    def __init__(self, path: Path):
        self.path = path
        self.logger = logging.getLogger("pml_hyperbolic.run")

    def __enter__(self) -> logging.Logger:
        self._handler = _LogFile(self.path, encoding="utf-8")
        self._handler.setFormatter(_Escaped("%(asctime)s %(levelname)s %(message)s"))
        self._before = []
        for logger in (self.logger, logging.getLogger("PML")):
            self._before.append((logger, logger.level, logger.propagate))
            logger.addHandler(self._handler)
            logger.setLevel(logging.INFO)
            logger.propagate = False
        return self.logger

    def __exit__(self, *exception) -> None:
        for logger, level, propagate in self._before:
            logger.removeHandler(self._handler)
            logger.setLevel(level)
            logger.propagate = propagate
        # What cannot be written is lost: a full disk is said by the files that matter.
        with suppress(OSError):
            self._handler.close()


class _Escaped(logging.Formatter):
    """One line for each message, and tracebacks, with their control characters as escapes."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = printable(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:
        return printable_lines(super().formatException(ei))


class _LogFile(logging.FileHandler):
    """A log file that is never reached through a link, and whose errors are not printed."""

    def _open(self):
        def opener(path, flags):
            return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)

        return open(self.baseFilename, self.mode, encoding=self.encoding, opener=opener)

    def handleError(self, record: logging.LogRecord) -> None:
        """Lose the line, where logging would print a traceback."""
