"""`make run`: runs all of jobproc on this machine until Ctrl-C, with PostgreSQL and Redis from wheels."""

import os
import signal
import sys
import time
import urllib.error
from collections.abc import Sequence
from pathlib import Path

from common.command_line import command_line
from tools import ROOT
from tools.run.addresses import print_addresses
from tools.run.console import RunError, say
from tools.run.first_job import run_first_job
from tools.run.folder import delete_data, locked
from tools.run.packages import Environment, Package, package_in
from tools.run.processes import Run
from tools.run.source_changes import SourceChanges

CHECK_INTERVAL_S = 0.5


def serve(run: Run, environment: Environment, changes: SourceChanges | None) -> None:
    """Watch over the processes until a signal ends this one; restart the worker when sources change."""
    while True:
        run.check()
        if changes is None:
            time.sleep(CHECK_INTERVAL_S)
            continue
        files, projects = changes.wait(), changes.changed_projects()
        if files or projects:
            restart(run, environment, projects, [*sorted(files), *(package.project_file for package in projects)])


def restart(run: Run, environment: Environment, projects: Sequence[Package], changed: Sequence[Path]) -> None:
    """Replace the worker after a change, or say why the old one stays."""
    first = os.path.relpath(changed[0])
    more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
    began = time.monotonic()
    try:
        for package in projects:
            environment.install(package)
            run.forget_prepared_worker()
        run.restart_worker()
    except RunError as error:
        print(f"\n{error}\n")
        say(f"{first}{more} changed: not restarted, the worker before the change goes on")
        return
    say(f"{first}{more} changed: the worker is restarted ({time.monotonic() - began:.1f} s)")


def run_until_a_signal(run: Run, environment: Environment, packages: Sequence[Package], *, once: bool) -> None:
    """Start everything, show the first job and serve; stop everything at the end."""
    try:
        changes = SourceChanges(packages) if packages else None  # before the worker imports them: no change is missed
        run.start()
        run_first_job(run)
        if not once:
            folder = "" if run.folder.resolve() == ROOT / ".local" else f" FOLDER={run.folder}"
            print_addresses(run, packages, f"make clean-data{folder}")
            print(f"\n  serving on {run.base} (docs at {run.base}/docs); Ctrl-C ends it", flush=True)
            serve(run, environment, changes)
    finally:
        say("stopping")
        run.stop()
        environment.release()


def main() -> int:
    """Run until Ctrl-C, or with --once until the first job has ended. Return the exit code."""
    parser = command_line("tools.run", __doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address of the API (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="port of the API (default: %(default)s)")
    parser.add_argument(
        "--auth",
        action="store_true",
        help="requests need an API key: a first one, kept in the folder, is printed. Not given: they need none, unless "
        "JOBPROC_AUTHENTICATION is `required`",
    )
    parser.add_argument("--folder", type=Path, default=ROOT / ".local", help="folder of the data and logs")
    parser.add_argument(
        "--operations",
        metavar="FOLDERS",
        help="comma-separated folders of packages with operations: they are installed, and watched for changes; those "
        "that earlier runs have installed are uninstalled. Not given: the environment stays as it is",
    )
    parser.add_argument("--once", action="store_true", help="stop after the first job")
    parser.add_argument("--clean-data", action="store_true", help="delete the data and logs of all runs, and end")
    arguments = parser.parse_args()
    folder = Path(os.path.relpath(arguments.folder.resolve()))
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        if arguments.clean_data:
            deleted = ", ".join(map(str, delete_data(folder)))
            say(f"deleted {deleted}" if deleted else f"nothing to delete in {folder}")
            return 0
        names = [] if arguments.operations is None else arguments.operations.split(",")
        packages = [package_in(Path(name.strip())) for name in names if name.strip()]
        run = Run(arguments.host, arguments.port, folder, restarts=bool(packages), auth=arguments.auth)
        environment = Environment()
        with locked(folder):
            if arguments.operations is not None:
                environment.provide(packages)
            run_until_a_signal(run, environment, packages, once=arguments.once)
    except KeyboardInterrupt:
        return 0
    except (RunError, RuntimeError, urllib.error.URLError) as error:
        print(f"run: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
