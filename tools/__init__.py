"""Tools of the developers: each behind a target of the Makefile."""
