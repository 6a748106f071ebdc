"""PgBouncer in transaction mode in front of a PostgreSQL: the installed package, never run as root."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

from tools.servers import create_data_folder, free_port, spawn, start_on_a_free_port, stop, takes_connections, wait_for

#: The options of docs/howto/pgbouncer.md, and a pool smaller than the connections that a test's processes would open.
OPTIONS = {
    "pool_mode": "transaction",
    "default_pool_size": "8",
    "max_client_conn": "2000",
    "query_wait_timeout": "10",
    "server_login_retry": "1",
    "server_idle_timeout": "10",
}
_PROCESS = "finds or ends a connection by its process id at PostgreSQL, which a pooler's client does not know"
_PREPARED = "checks statements that are prepared once a connection, as without a pooler"
_COUNTED = (
    "counts the transactions of its own connections; a pooler adds transactions that set the names of connections"
)
_SCHEMAS = "looks into several schemas by a parameter of the connection; one of its tests has a pooler of its own"
#: By a part of a test's id: the reason why the test needs a direct connection to PostgreSQL.
NOT_THROUGH = {
    "test_a_claim_that_is_killed_before_its_commit_leaves_strays_that_are_requeued[terminate]": _PROCESS,
    "test_a_process_that_is_killed_while_it_claims_by_line_leaves_strays_that_are_requeued[terminate]": _PROCESS,
    "test_a_numbering_that_is_killed_leaves_the_changes_to_the_next": _PROCESS,
    "test_each_job_ends_once_whatever_sessions_do_at_the_same_time": _PROCESS,
    "test_a_connection_that_the_server_has_ended_is_an_outage": _PROCESS,
    "test_a_read_by_id_scans_one_partition_of_each_table": _PREPARED,
    "test_a_cancel_and_a_manual_retry_scan_one_partition_of_each_table": _PREPARED,
    "test_snapshots_of_hundreds_of_jobs_are_read_by_id": _PREPARED,
    "test_a_read_is_planned_once_and_not_as_a_sequential_scan": _PREPARED,
    "test_sqlalchemy_statements_are_planned_for_their_arguments": _PREPARED,
    "[none-": _PREPARED,  # of test_plans.py
    "_before_the_backlog_matters[none]": _PREPARED,
    "integration/test_schema.py": _SCHEMAS,
    "test_a_successful_job_is_four_row_writes_and_a_hundredth_of_a_transaction": _COUNTED,
}


def skip_reason(test: str) -> str:
    """Return the reason why a test does not run through a pooler, empty if it does."""
    return next((reason for part, reason in NOT_THROUGH.items() if part in test), "")


def missing() -> str:
    """Return the reason why PgBouncer cannot be started, empty if it is installed."""
    return "" if shutil.which("pgbouncer", path=_path()) else "pgbouncer is not installed (apt-get install pgbouncer)"


def _path() -> str:
    return f"{os.environ.get('PATH', '')}:/usr/sbin"  # not on the PATH of every user


class PgBouncer:
    """A pooler for every database of a server."""

    def __init__(self, folder: Path, server_port: int, *, user: str = "", **options: str) -> None:
        """`user`: who every client is at PostgreSQL; empty: each is who it says, as in an installation with roles."""
        self.folder = folder
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self._server = f"host=127.0.0.1 port={server_port}" + (f" user={user}" if user else "")
        self._options = OPTIONS | options
        self._user = "nobody" if os.geteuid() == 0 else None

    def url(self, database: str = "postgres") -> str:
        """Return the URL of a database through PgBouncer."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def start(self) -> "PgBouncer":
        """Start PgBouncer and wait until it accepts connections. Takes another port if its own is in use."""
        create_data_folder(self.folder, self._user)
        start_on_a_free_port(self, self._serve)
        return self

    def _serve(self) -> None:
        program = shutil.which("pgbouncer", path=_path())
        assert program is not None, missing()
        users = self.folder / "users.txt"
        users.write_text('"postgres" ""\n')
        options = {
            "listen_addr": "127.0.0.1",
            "listen_port": str(self.port),
            "unix_socket_dir": "",
            "auth_type": "any" if "user=" in self._server else "trust",
            "auth_file": str(users),
            "auth_user": "postgres",
            "auth_query": "SELECT rolname, '' FROM pg_roles WHERE rolname = $1",  # tests create roles
        } | self._options
        lines = [
            "[databases]",
            f"* = {self._server}",
            "[pgbouncer]",
            *(f"{name} = {value}" for name, value in options.items()),
        ]
        ini = self.folder / "pgbouncer.ini"
        ini.write_text("\n".join([*lines, ""]))
        ini.chmod(0o644)
        users.chmod(0o644)
        self.process = spawn([program, str(ini)], self.folder / "pgbouncer.log", user=self._user, cwd=Path("/"))
        wait_for("PgBouncer", self.answers, self.process)

    def answers(self) -> bool:
        """Return True if PgBouncer accepts connections."""
        return takes_connections(self.url())

    def stop(self, sign: int = signal.SIGINT) -> None:
        """Stop PgBouncer."""
        stop(self.process, sign)
