"""The command line `jobproc`: start at `__main__.py`, which lists the commands.

It needs the extra `jobproc[cli]`. Each command is imported when it is called. Imports only the client and Click.
"""
