"""The lines that `make run` prints, and the error that ends it with one sentence."""


class RunError(Exception):
    """The run failed; the message is what to print."""


def say(text: str) -> None:
    """Print a line of progress."""
    print(f"  {text}", flush=True)
