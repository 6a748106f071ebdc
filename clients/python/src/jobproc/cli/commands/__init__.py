"""The commands, by what they are about: start at `jobs`.

Imports only the modules of the command line.
"""
