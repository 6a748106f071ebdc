"""A worker that has imported everything but the operations: it imports them, and serves, when it is told to.

`make run` starts its workers by it, and has the next one ready while one is at work: a restart does not wait for a
second of imports. It is told by lines of JSON on a socket; the first one asks for the operations, the second one has
the arguments and the environment of the worker.
"""

import json
import os
import socket
import sys
from importlib import import_module

from common.command_line import command_line

#: Modules that a worker imports at its start, those of Celery by their name.
AHEAD = (
    "worker.start",
    "worker.celery_adapter.consumer",
    "worker.celery_adapter.transport",
    "celery.apps.worker",
    "celery.concurrency.prefork",
    "celery.fixups.django",
    "celery.loaders.app",
    "celery.worker.components",
    "kombu.transport.redis",
    "psycopg2.extras",
)


def main() -> None:
    """Import, report the operations, and run the worker; end where the other side of the socket has ended."""
    parser = command_line("tools.run.worker", __doc__)
    parser.add_argument("socket", type=int, help="file descriptor of the socket by which it is told to start")
    with socket.socket(fileno=parser.parse_args().socket) as connection, connection.makefile("rw") as messages:
        for module in AHEAD:
            import_module(module)
        if not messages.readline():
            return
        from common.domain.errors import StartupError
        from worker.operations import check

        try:
            report: dict[str, object] = {"operations": check.check()}
        except StartupError as error:
            report = {"error": check.failure(error)}
        messages.write(f"{json.dumps(report)}\n")
        messages.flush()
        if not (line := messages.readline()):
            return
    start = json.loads(line)
    os.environ.update(start["env"])
    sys.argv = ["worker", *start["arguments"]]
    import_module("worker.start").main()


if __name__ == "__main__":
    main()
