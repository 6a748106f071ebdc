"""`python -m jobproc.outbox relay`: sends the rows of an outbox to the API until it is stopped.

`python -m jobproc.outbox ddl postgresql` prints the statements that make the table.
"""

import argparse
import logging
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import fields

from jobproc.errors import JobprocError
from jobproc.outbox.relay import Relay
from jobproc.outbox.settings import RelaySettings
from jobproc.outbox.table import DIALECTS, TABLE, ddl


def run(arguments: argparse.Namespace) -> int:
    """Relay until SIGTERM or SIGINT, or until no row is due. Return the exit code."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO, stream=sys.stderr)
    names = [field.name for field in fields(RelaySettings)]
    try:
        settings = RelaySettings(**{name: getattr(arguments, name) for name in names})
        relay = Relay.to_api(
            arguments.database, arguments.api_url, arguments.api_key, settings, ca_file=arguments.ca_file
        )
    except (JobprocError, ValueError) as error:
        print(f"outbox: {error}", file=sys.stderr)
        return 2
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda *_: relay.stop(0))
    counts = relay.run(until_empty=arguments.until_empty)
    print(f"accepted {counts.accepted}, refused {counts.refused}, postponed {counts.postponed}")
    return 0


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the relay to a command."""
    environment = os.environ
    parser.add_argument("--database", default=environment.get("JOBPROC_OUTBOX_DATABASE", ""), metavar="URL")
    parser.add_argument("--api-url", default=environment.get("JOBPROC_URL", "http://127.0.0.1:8000"), metavar="URL")
    parser.add_argument("--ca-file", default="", metavar="FILE", help="the authorities that may certify the API")
    parser.add_argument("--until-empty", action="store_true", help="end when no row is due")
    parser.set_defaults(api_key=environment.get("JOBPROC_API_KEY", ""))  # not in the list of processes
    defaults = RelaySettings()
    for setting in fields(RelaySettings):
        default = getattr(defaults, setting.name)
        parser.add_argument(f"--{setting.name.replace('_', '-')}", type=type(default), default=default)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Return the exit code."""
    parser = argparse.ArgumentParser("jobproc.outbox", description=(__doc__ or "").partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    add_options(commands.add_parser("relay", formatter_class=argparse.ArgumentDefaultsHelpFormatter))
    table = commands.add_parser("ddl")
    table.add_argument("dialect", choices=DIALECTS)
    table.add_argument("--table", default=TABLE)
    arguments = parser.parse_args(argv)
    if arguments.command == "ddl":
        print(";\n".join(ddl(arguments.dialect, arguments.table)) + ";")
        return 0
    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
