"""`completion` and `version`."""

import click

from jobproc.cli.groups import command, pass_invocation
from jobproc.cli.invocation import Invocation

VARIABLE = "_JOBPROC_COMPLETE"


@command("completion")
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script of a shell.

    Such as: jobproc completion bash > ~/.local/share/bash-completion/completions/jobproc
    """
    from click.shell_completion import get_completion_class

    made = get_completion_class(shell)
    if made is not None:
        click.echo(made(context.find_root().command, {}, "jobproc", VARIABLE).source())


@command("version")
@click.option("--server", is_flag=True, help="Also the version of the API.")
@pass_invocation
def version(invocation: Invocation, *, server: bool) -> None:
    """Print the version."""
    from jobproc.client.connection.session import VERSION

    versions = {"client": VERSION} | ({"server": invocation.client.caller.version} if server else {})
    invocation.write(versions, "client")
