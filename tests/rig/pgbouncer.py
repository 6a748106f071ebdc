"""PgBouncer in transaction mode in front of a PostgreSQL: as its package installs it, never as root."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

from tools.servers import free_port, hand_over, spawn, start_on_a_free_port, stop, takes_connections, wait_for

#: What docs/howto/pgbouncer.md says, and a pool that is smaller than what the processes of a test would open without it.
OPTIONS = {
    "pool_mode": "transaction",
    "default_pool_size": "8",
    "max_client_conn": "2000",
    "query_wait_timeout": "10",
    "server_login_retry": "1",
    "server_idle_timeout": "10",
}
_PROCESS = "finds or ends a connection by its process id at PostgreSQL, which a pooler's client does not know"
_NAMED = "finds connections by the names that the parts of jobproc have without a pooler"
_PREPARED = "looks at statements that are prepared once a connection, as without a pooler"
_COUNTED = "counts the transactions of its own connections; a pooler adds those in which it passes on the names of tests' own connections"
#: Tests by a part of their ids that are about a connection to PostgreSQL itself, and what they would miss behind a pooler.
NOT_THROUGH = {
    "test_strays.py::test_a_claim_that_is_killed_before_its_commit_leaves_strays_that_are_floated[terminate]": _PROCESS,
    "test_model.py::test_whatever_sessions_do_beside_each_other_each_job_ends_once": _PROCESS,
    "test_stats.py::test_many_who_ask_at_once_are_one_question": _NAMED,
    "test_database_away.py::test_connections_that_are_cut_are_replaced_without_an_error[ended by the server]": _NAMED,
    "test_database_away.py::test_idle_connections_that_the_server_has_ended_are_not_noticed_by_the_next_client": _NAMED,
    "test_database_faults.py::test_backends_terminated_under_load_lose_no_result": _NAMED,
    "test_leadership.py::test_a_controller_whose_database_goes_away_and_comes_back_leads_on": _NAMED,
    "test_together_faults.py::test_what_runs_while_connections_are_lost_runs_once_and_is_settled_after": _NAMED,
    "test_plans.py::test_a_read_by_id_looks_into_one_partition_of_each_table": _PREPARED,
    "test_plans.py::test_to_cancel_or_retry_a_job_looks_into_one_partition_of_each_table": _PREPARED,
    "test_plans.py::test_a_look_at_hundreds_of_jobs_finds_each_by_its_id": _PREPARED,
    "test_plans_of_the_api.py::test_a_read_is_planned_once": _PREPARED,
    "test_plans_of_the_api.py::test_what_sqlalchemy_runs": _PREPARED,
    "[none-": _PREPARED,  # of test_plans.py
    "test_costs.py::test_a_job_that_succeeds_at_once_is_written_four_times_and_takes_a_hundredth_of_a_transaction": _COUNTED,
}


def not_through(test: str) -> str:
    """Return why a test does not run through a pooler, empty for one that does."""
    return next((reason for part, reason in NOT_THROUGH.items() if part in test), "")


def missing() -> str:
    """Return why there is no PgBouncer here, empty where there is one."""
    return "" if shutil.which("pgbouncer", path=_path()) else "pgbouncer is not installed (apt-get install pgbouncer)"


def _path() -> str:
    return f"{os.environ.get('PATH', '')}:/usr/sbin"  # not on the PATH of every user


class Bouncer:
    """A pooler for every database of a server."""

    def __init__(self, folder: Path, server_port: int, **options: str) -> None:
        self.folder = folder
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self._server_port = server_port
        self._options = OPTIONS | options
        self._user = "nobody" if os.geteuid() == 0 else None

    def url(self, database: str = "postgres") -> str:
        """Return the URL of a database through it."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def start(self) -> "Bouncer":
        """Start it and wait until it answers; on another port when somebody took its own."""
        hand_over(self.folder, self._user)
        start_on_a_free_port(self, self._serve)
        return self

    def _serve(self) -> None:
        program = shutil.which("pgbouncer", path=_path())
        assert program is not None, missing()
        options = {"listen_addr": "127.0.0.1", "listen_port": str(self.port), "unix_socket_dir": "", "auth_type": "any"} | self._options
        lines = ["[databases]", f"* = host=127.0.0.1 port={self._server_port} user=postgres", "[pgbouncer]", *(f"{n} = {v}" for n, v in options.items())]
        ini = self.folder / "pgbouncer.ini"
        ini.write_text("\n".join([*lines, ""]))
        ini.chmod(0o644)
        self.process = spawn([program, str(ini)], self.folder / "pgbouncer.log", user=self._user, cwd=Path("/"))
        wait_for("PgBouncer", self.answers, self.process)

    def answers(self) -> bool:
        """Return whether it lends connections."""
        return takes_connections(self.url())

    def stop(self, sign: int = signal.SIGINT) -> None:
        """Stop it."""
        stop(self.process, sign)
