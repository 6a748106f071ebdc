"""Tools for developers, each behind a target of the Makefile."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent  #: the folder of the checkout
