"""`dev`: everything on this machine, for those who have the repository of the server."""

import os
import subprocess
import sys
from pathlib import Path

import click

from jobproc.cli.exit_codes import ExitCode
from jobproc.cli.groups import command, pass_invocation
from jobproc.cli.invocation import Invocation, usage
from jobproc.testing.server import REPOSITORY_VARIABLE, ServerError, python_of, repository_at


@command("dev")
@click.option("--port", type=int, default=8000, show_default=True, help="Of the API.")
@click.option("--folder", metavar="FOLDER", help="Of data and logs; default: .local of the repository.")
@click.option("--operations", metavar="FOLDER", multiple=True, help="A package with operations; may be repeated.")
@click.option("--auth", is_flag=True, help="Requests need a key.")
@click.option("--once", is_flag=True, help="Stop after the first job.")
@pass_invocation
def dev(
    invocation: Invocation, port: int, folder: str | None, operations: tuple[str, ...], *, auth: bool, once: bool
) -> int:
    """Run everything on this machine until Ctrl-C: PostgreSQL, Redis, API, worker and controller.

    It is `make run` of the repository of the server, which JOBPROC_REPOSITORY names where it is not importable.
    """
    try:
        repository = repository_at(os.environ.get(REPOSITORY_VARIABLE))
    except ServerError as error:
        usage(str(error))
    if repository is None:
        usage(f"dev needs the repository of the server: {REPOSITORY_VARIABLE} names its folder")
    argv = [python_of(repository), "-m", "tools.run", "--port", str(port)]
    argv += ["--folder", str(Path(folder).resolve())] if folder else []
    argv += ["--operations", " ".join(str(Path(path).resolve()) for path in operations)] if operations else []
    argv += [flag for flag, is_set in (("--auth", auth), ("--once", once)) if is_set]
    sys.stdout.flush()
    with subprocess.Popen(argv, cwd=repository) as process:  # noqa: S603 - the repository that the caller has named
        while True:
            try:
                code = process.wait()
                break
            except KeyboardInterrupt:  # the terminal sends Ctrl-C to that process too, which then stops everything
                invocation.say("everything is stopped")
    return ExitCode.DONE if code == 0 else ExitCode.FAILED
