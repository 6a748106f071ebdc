"""Commands about jobs: start at `submit.py`.

Imports only the modules of the command line.
"""
