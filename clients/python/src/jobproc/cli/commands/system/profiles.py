"""`login`, `profiles` and `config`: where the API is, and with which key."""

import json
import os
import sys
import tomllib
from pathlib import Path
from typing import Any

import click

from jobproc.cli.exit_codes import ExitCode
from jobproc.cli.groups import Group, command, pass_invocation
from jobproc.cli.invocation import Invocation, usage
from jobproc.cli.output.columns import columns
from jobproc.client.connection.configuration import DEFAULT_PROFILE, VARIABLES, config_file, configuration
from jobproc.client.errors import ConfigurationError

OWNER_ALONE = 0o600
SECRETS = {"api_key", "oidc_client_secret"}
SHOWN_CHARACTERS = 12  # of a secret: enough to know the key by its id


def read(file: Path) -> dict[str, dict[str, Any]]:
    """Return the profiles of the file; none if there is no file. Raises ConfigurationError."""
    try:
        return dict(tomllib.loads(file.read_text(encoding="utf-8")).get("profiles", {}))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{file} cannot be read: {error}") from error


def write(file: Path, profiles: dict[str, dict[str, Any]]) -> None:
    """Write the profiles, readable by their owner alone. The file is replaced whole or not at all."""
    lines: list[str] = []
    for name, values in profiles.items():
        # A JSON text is a TOML text too, but for the character DEL, which JSON leaves as it is.
        lines += [f"[profiles.{_text(name)}]", *(f"{member} = {_text(value)}" for member, value in values.items()), ""]
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(f".{file.name}.{os.getpid()}")
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ALONE), "w", encoding="utf-8") as output:  # noqa: PTH123 - with its rights from the start
        output.write("\n".join(lines))
    new.replace(file)


def _text(value: Any) -> str:
    return json.dumps(value).replace("\x7f", "\\u007f")


def shown(name: str, value: Any) -> Any:
    """Return a field of a profile as it may be shown."""
    return f"{str(value)[:SHOWN_CHARACTERS]}…" if name in SECRETS and value else value


@command("login")
@click.argument("url_", metavar="URL", required=False)
@click.option("--name", metavar="PROFILE", help="Default: `default`.")
@click.option("--ca-file", metavar="FILE", help="The authorities that may certify the API.")
@pass_invocation
def login(invocation: Invocation, url_: str | None, name: str | None, ca_file: str | None) -> int:
    """Store the URL and the API key of a profile.

    The key is asked for, or read from a pipe. It is tried before it is stored.
    """
    from jobproc.cli.connection import Connection

    name = name or invocation.options.get("profile") or DEFAULT_PROFILE
    url = str(url_ or invocation.options.get("url") or click.prompt("URL of the API", err=True))
    is_asked = sys.stdin.isatty()
    key = click.prompt("API key", hide_input=True, err=True, default="") if is_asked else sys.stdin.readline().strip()
    values: dict[str, Any] = {
        "url": url.rstrip("/"),
        "api_key": key,
        "ca_file": str(Path(ca_file).resolve()) if ca_file else "",
    }
    values = {member: value for member, value in values.items() if value}
    with Connection(**values) as client:
        caller = client.caller
    file = config_file()
    write(file, {**read(file), name: values})
    who = caller.subject or "a caller without a key"
    invocation.say(f"{who} of tenant {caller.tenant}: stored as profile {name} in {file}")
    return ExitCode.DONE


@click.group("profiles", cls=Group)
def profiles() -> None:
    """Profiles: the APIs that `login` has stored."""


@profiles.command("list")
@pass_invocation
def list_(invocation: Invocation) -> None:
    """List the profiles, without their keys."""
    found = [
        {"name": name, **{member: shown(member, value) for member, value in values.items()}}
        for name, values in read(config_file()).items()
    ]
    invocation.write_list(found, columns("name", "url", "api_key", "oidc_issuer"), "name")


@profiles.command("delete")
@click.argument("name")
@pass_invocation
def delete(invocation: Invocation, name: str) -> None:
    """Delete a profile, and its key with it."""
    file = config_file()
    found = read(file)
    if name not in found:
        usage(f"{file} has no profile {name!r}, but: {', '.join(found) or 'none'}")
    write(file, {other: values for other, values in found.items() if other != name})
    invocation.say(f"profile {name} is deleted")


@command("config")
@pass_invocation
def config(invocation: Invocation) -> None:
    """Show the configuration as it is used: from options, variables and the profile. Secrets are cut."""
    made = configuration(invocation.arguments)
    fields = {name: getattr(made, name) for name in made.__dataclass_fields__}
    values = {name: shown(name, value) for name, value in fields.items() if value not in ("", None)}
    file = config_file()
    variables = [name for name in VARIABLES if os.environ.get(name)]
    invocation.write({**values, "file": str(file), "file_exists": file.exists(), "variables": variables}, "url")
