"""`cancel`, `retry` and `reprioritise`: of jobs by their ids, or of all jobs that match filters."""

from collections.abc import Callable
from typing import Any

import click

from jobproc.cli.commands.jobs.filters import chosen, filters
from jobproc.cli.commands.jobs.ids import job_id
from jobproc.cli.commands.jobs.inputs import value_of
from jobproc.cli.exit_codes import ExitCode
from jobproc.cli.failures import code_of, sentence_of
from jobproc.cli.groups import command, pass_invocation
from jobproc.cli.invocation import Invocation, usage
from jobproc.cli.output.columns import plain
from jobproc.client.calls import bulk_actions
from jobproc.client.calls.jobs import retry as retry_job
from jobproc.client.progress_bar import ProgressBar
from jobproc.errors import JobprocError

POLL_S = 0.5


def bulk_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the filters, and the options of a bulk action."""
    options = (
        click.option("--all", "is_all", is_flag=True, help="All jobs, without a filter."),
        click.option("--rate", type=int, metavar="N", help="At most N jobs a second."),
        click.option("--first", type=click.IntRange(min=1), metavar="N", help="Stop after N jobs; you go on with it."),
        click.option("--dry-run", is_flag=True, help="Count the jobs, and change nothing."),
        click.option("-y", "--yes", is_flag=True, help="Do not ask."),
    )
    for option in reversed(options):
        function = option(function)
    return filters(function)


@command("cancel")
@click.argument("ids", metavar="[ID...]", nargs=-1)
@bulk_options
@pass_invocation
def cancel(invocation: Invocation, ids: tuple[str, ...], **options: Any) -> int:
    """Cancel jobs: waiting ones end, running ones are asked to stop.

    With ids, or with filters: then the jobs are counted, you are asked, and the command that takes it back is printed.
    """
    if ids:
        return each(invocation, ids, options, invocation.client.cancel)
    return act(invocation, "cancel", options)


@command("retry")
@click.argument("ids", metavar="[ID...]", nargs=-1)
@click.option("--input", "new_input", metavar="JSON", help="A new input, for ids: JSON or @file.")
@bulk_options
@pass_invocation
def retry(invocation: Invocation, ids: tuple[str, ...], new_input: str | None, **options: Any) -> int:
    """Run jobs that are FAILED or CANCELLED once more.

    With ids, or with filters: then the jobs are counted, you are asked, and the command that takes it back is printed.
    """
    if ids:
        given = () if new_input is None else (value_of(new_input, "--input"),)
        return each(invocation, ids, options, lambda id_: invocation.client.send(retry_job(id_, *given)))
    if new_input is not None:
        usage("--input is for ids, not for filters")
    return act(invocation, "retry", options)


@command("reprioritise")
@click.argument("priority", type=click.IntRange(0, 9))
@bulk_options
@pass_invocation
def reprioritise(invocation: Invocation, priority: int, **options: Any) -> int:
    """Give all waiting jobs that match filters a priority, from 0, first, to 9."""
    return act(invocation, "reprioritise", options, priority)


def each(invocation: Invocation, ids: tuple[str, ...], options: dict[str, Any], change: Callable[[str], Any]) -> int:
    """Change jobs one by one; a refused one does not stop the others. Return the exit code of the last failure."""
    if chosen(options) or any(options.values()):
        usage("ids or filters are expected, not both; --all, --rate, --first, --dry-run and --yes are for filters")
    code = ExitCode.DONE
    for text in ids:
        try:
            view = change(job_id(invocation, text))
        except JobprocError as error:
            invocation.say(f"{text}: {sentence_of(error)}")
            code = code_of(error)
            continue
        if invocation.format == "table":
            click.echo(f"{view.job_id}  {view.status}")
        else:
            invocation.stream(view, "job_id")
    return code


def act(invocation: Invocation, action: str, options: dict[str, Any], priority: int | None = None) -> int:
    """Preview an action on all jobs that match, ask, start it and show its progress. Return the exit code."""
    filter_ = chosen(options)
    if not filter_ and not options["is_all"]:
        usage("ids or filters are expected, such as --status FAILED; --all means every job")
    given = {"priority": priority, "jobs_per_second": options["rate"], "all": options["is_all"] or None}
    view = invocation.client.send(bulk_actions.preview(action, filter_, given))
    about = "" if view.count_is_exact else "about "
    invocation.say(f"{action}: {about}{view.count:,} jobs, at most {view.jobs_per_second:,} a second, such as")
    for job in view.sample[:5]:
        invocation.say(f"  {job.job_id}  {job.status}  {plain(job.operation)}")
    for reason, number in sorted(view.get("would_skip", {}).items()):
        invocation.say(f"{'' if view.would_skip_is_exact else 'at least '}{number:,} would be skipped: {reason}")
    if options["dry_run"] or not view.count:
        invocation.write(view, "bulk_action_id")
        return ExitCode.DONE
    first = options["first"]
    which = "" if first is None else f"the first {first:,} of "
    if not invocation.confirm(f"{action} {which}{about}{view.count:,} jobs?", yes=options["yes"]):
        invocation.say("nothing is changed")
        return ExitCode.FAILED
    id_ = view.bulk_action_id
    invocation.client.send(bulk_actions.start(id_, view.count, first))
    invocation.goes_on = f"the action (`jobproc actions stop {id_}` stops it)"
    done = progress(invocation, id_)
    invocation.write(done, "bulk_action_id")
    skipped = sum(done.skipped.values())
    invocation.say(f"{done.done:,} jobs are changed, {skipped:,} skipped; to take it back: jobproc actions undo {id_}")
    if done.get("stop_reason") == "first":
        invocation.say(f"it has stopped after them; to go on: jobproc actions start {id_}")
        return ExitCode.DONE
    return ExitCode.DONE if done.phase in {"DONE", "UNDONE"} else ExitCode.FAILED


def progress(invocation: Invocation, id_: str) -> Any:
    """Show the progress of an action on a terminal until it rests. Return it."""
    import time

    bar = ProgressBar(None)
    while True:
        view = invocation.client.send(bulk_actions.bulk_action(id_))
        bar.update(view.count, view.done + sum(view.skipped.values()))
        if view.phase in bulk_actions.RESTING:
            bar.end()
            return view
        time.sleep(POLL_S)
