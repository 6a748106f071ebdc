"""`jobproc`: start here. The list of the commands, and the end of each: a sentence and an exit code."""

import os
import sys
from collections.abc import Sequence

import click

from jobproc.cli.exit_codes import ExitCode
from jobproc.cli.groups import LazyGroup, Place
from jobproc.cli.invocation import Invocation
from jobproc.errors import JobprocError

_READS, _BULK, _OTHERS, _SYSTEM = "jobs.reads", "jobs.bulk", "resources.reads", "system.profiles"

COMMANDS = {
    "submit": Place("jobs.submit", "submit", "Submit a job, or one for each line of stdin."),
    "get": Place(_READS, "get", "Show a job: options, attempts, timeline, result."),
    "result": Place(_READS, "result", "Wait for a job, and print its result."),
    "why": Place(_READS, "why", "Say why a job is in its state."),
    "watch": Place("jobs.watch", "watch", "Follow jobs until they have ended."),
    "logs": Place(_READS, "logs", "Print what a job has logged."),
    "list": Place(_READS, "list_", "List jobs."),
    "cancel": Place(_BULK, "cancel", "Cancel jobs, by ids or filters."),
    "retry": Place(_BULK, "retry", "Run jobs once more, by ids or filters."),
    "reprioritise": Place(_BULK, "reprioritise", "Change the priority of waiting jobs, by filters."),
    "errors": Place("jobs.errors", "errors", "Error groups of failed jobs."),
    "actions": Place("jobs.bulk_actions", "actions", "Bulk actions: list, stop, undo."),
    "queues": Place("resources.queues", "queues", "Queues: pause, resume, limits."),
    "operations": Place(_OTHERS, "operations", "Operations: list, schemas."),
    "workers": Place(_OTHERS, "workers", "Worker processes and their jobs."),
    "schedules": Place("resources.schedules", "schedules", "Schedules: create, edit, pause, run."),
    "batches": Place("resources.batches", "batches", "Batches: list, wait, cancel."),
    "workflows": Place("resources.workflows", "workflows", "Workflows: submit, wait, cancel, retry."),
    "keys": Place("resources.keys", "keys", "API keys: create, rotate, revoke."),
    "webhooks": Place("resources.webhooks", "webhooks", "Webhooks: endpoints and deliveries."),
    "apply": Place("system.apply", "apply", "Make schedules and queues as a file has them."),
    "stats": Place(_OTHERS, "stats", "Show the numbers of jobs of each queue."),
    "top": Place("system.top", "top", "Show queues and workers, live."),
    "doctor": Place("system.doctor", "doctor", "Look for what is wrong, and say what to do."),
    "api": Place("system.api", "api", "Send any request to the API."),
    "open": Place("jobs.console", "open_", "Open the console, or a job in it."),
    "dev": Place("system.dev", "dev", "Run everything on this machine."),
    "login": Place(_SYSTEM, "login", "Store the URL and the key of a profile."),
    "profiles": Place(_SYSTEM, "profiles", "Profiles: list, delete."),
    "config": Place(_SYSTEM, "config", "Show the configuration as it is used."),
    "completion": Place("system.shells", "completion", "Print the completion script of a shell."),
    "version": Place("system.shells", "version", "Print the version."),
}
HELP = """Submit, watch and change jobs of jobproc, and look after its queues and workers.

Data is written to stdout, sentences to stderr: on a terminal as a table, through a pipe as JSON, an object a line.

Exit codes: 0 done, 1 failed otherwise, 2 usage, 3 the job is FAILED, 4 it is CANCELLED, 5 not found, 6 refused,
7 no permission, 8 unavailable, 9 the time of a wait is up, 10 doctor found something, 130 interrupted."""


def commands() -> LazyGroup:
    """Return the group of all commands."""
    return LazyGroup("jobproc", places=COMMANDS, help=HELP, context_settings={"help_option_names": ["-h", "--help"]})


def run(arguments: Sequence[str] | None = None, invocation: Invocation | None = None) -> int:
    """Run a command. Return its exit code."""
    invocation = invocation or Invocation()
    try:
        code = commands().main(arguments, prog_name="jobproc", standalone_mode=False, obj=invocation)
        sys.stdout.flush()
        return int(code or ExitCode.DONE)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        goes_on = f"; {invocation.goes_on} goes on" if invocation.goes_on else ""
        invocation.say(f"interrupted{goes_on}")
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter flushes it once more
        return ExitCode.FAILED
    except JobprocError as error:
        from jobproc.cli.failures import code_of, sentence_of

        click.echo(f"Error: {sentence_of(error)}", err=True)
        return code_of(error)
    finally:
        invocation.close()


def main() -> None:
    """Run the command of the command line."""
    sys.exit(run())


if __name__ == "__main__":
    main()
