"""Tools for developers, each behind a target of the Makefile."""
