"""A PostgreSQL server of a test's own, where one is installed."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

# Where distributions put the programs, of which most are not on PATH.
FOLDERS = ("/usr/lib/postgresql", "/usr/pgsql", "/opt/homebrew/opt")
PATIENCE = 120


def postgresql_programs():
    """The folder with initdb and postgres, None where there is none."""
    found = shutil.which("initdb")
    if found and shutil.which("postgres", path=Path(found).parent):
        return Path(found).parent
    installed = [
        file.parent
        for folder in map(Path, FOLDERS)
        for file in folder.glob("*/bin/initdb")
        if (file.parent / "postgres").exists()
    ]
    return max(installed, key=lambda folder: folder.stat().st_mtime, default=None)


class PostgreSQL:
    """A cluster with one server; use it as a context manager.

    PostgreSQL refuses to run as root: there the user postgres runs it. pytest's folders are closed
    to that user, so the cluster lies in a temporary folder that is removed at the end.

    Args:
        programs: the folder with initdb and postgres.
    """

    def __init__(self, programs: Path):
        self._programs = programs
        self._user = None
        self._server = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"postgresql://tester:secret@127.0.0.1:{self.port}/postgres"

    def __enter__(self):
        self._place = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self._folder = Path(self._place.name)
        if os.geteuid() == 0:
            self._user = pwd.getpwnam("postgres")
            os.chown(self._folder, self._user.pw_uid, self._user.pw_gid)
        password = self._folder / "password"
        password.write_text("secret")
        password.chmod(0o644)
        self._call(
            "initdb",
            *("--pgdata", self._folder / "data"),
            *("--username", "tester", "--pwfile", password),
            *("--auth", "scram-sha-256", "--no-sync", "--no-instructions"),
        )
        self.start()
        return self

    def __exit__(self, *error):
        self.kill()
        self._place.cleanup()

    def start(self):
        """Start the server and wait until it answers."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            # The path of a socket has a hundred characters at most.
            "unix_socket_directories": "",
            "fsync": "off",
            "max_connections": 20,
        }
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        data = self._folder / "data"
        # Its last line says "ready" as soon as connections are taken.
        status = data / "postmaster.pid"
        status.unlink(missing_ok=True)
        with open(self._folder / "log", "wb") as log:
            self._server = subprocess.Popen(
                [self._programs / "postgres", "-D", data, *words],
                stdout=log,
                stderr=log,
                cwd=self._folder,
                **self._as_user(),
            )
        while not (status.exists() and status.read_text().split()[-1:] == ["ready"]):
            if self._server.poll() is not None:
                raise RuntimeError((self._folder / "log").read_text())
            time.sleep(0.02)

    def kill(self):
        """End the server at once, with all its processes, as a power cut would."""
        if self._server is not None:
            # On SIGQUIT the server ends its processes without writing anything down.
            self._server.send_signal(3)
            self._server.wait(PATIENCE)
            self._server = None

    def _call(self, program, *arguments, check=True):
        done = subprocess.run(
            [self._programs / program, *arguments],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
            cwd=self._folder,
            **self._as_user(),
        )
        if check and done.returncode:
            raise RuntimeError(done.stdout + done.stderr)

    def _as_user(self):
        if self._user is None:
            return {}
        return {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}
