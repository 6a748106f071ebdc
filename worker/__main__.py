"""`python -m worker --queues default --concurrency 2`: run jobs."""

import sys

from worker.operations import check


def main() -> None:
    """Run a worker, or with --check alone import its operations and end: that takes a third of the time."""
    if sys.argv[1:] == ["--check"]:
        sys.exit(check.main())
    from worker import start

    start.main()


if __name__ == "__main__":
    main()
