"""Output of commands: tables, JSON, YAML and ids: start at `writing.py`.

Imports only the standard library and Click; YAML where it is asked for.
"""
