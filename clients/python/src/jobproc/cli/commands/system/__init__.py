"""Commands about the system and this command line: start at `profiles.py`.

Imports only the modules of the command line.
"""
