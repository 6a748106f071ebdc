"""`watch`: follows jobs until they have ended."""

import click

from jobproc.cli.commands.jobs.ids import job_id
from jobproc.cli.exit_codes import OF_STATES
from jobproc.cli.groups import command, pass_invocation
from jobproc.cli.invocation import Invocation
from jobproc.cli.output.columns import plain


@command("watch")
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@pass_invocation
def watch(invocation: Invocation, ids: tuple[str, ...]) -> int:
    """Follow jobs until they have ended.

    One job: each new state and progress. Several: the end of each. The exit code is that of the job's fate, of several
    the highest.
    """
    found = [job_id(invocation, text) for text in ids]
    invocation.goes_on = "the job" if len(found) == 1 else "each job"
    if len(found) == 1:
        return follow(invocation, found[0])
    code = 0
    client = invocation.client
    for job in client.as_completed([client.job(id_) for id_ in found]):
        outcome = client.outcome(job.id)
        if invocation.format == "table":
            click.echo(f"{job.id}  {outcome.status}")
        else:
            invocation.stream(outcome, "job_id")
        code = max(code, OF_STATES[outcome.status])
    return code


def follow(invocation: Invocation, id_: str) -> int:
    """Write the events of a job until it has ended. Return the exit code."""
    status = ""
    for event in invocation.client.events(id_):
        status = event.status
        if invocation.format == "table":
            progress = event.get("progress") or {}
            fraction = "" if progress.get("fraction") is None else f"{progress['fraction']:.0%}"
            text = plain(" ".join(part for part in (fraction, progress.get("text") or "") if part))
            click.echo(f"{event.status:<11}  attempt {event.attempt}  {text}".rstrip())
        else:
            invocation.stream({"job_id": id_, **event}, "job_id")
    return OF_STATES[status or invocation.client.status(id_).status]
