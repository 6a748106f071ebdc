"""`make run`: all of jobproc on this machine until Ctrl-C, with PostgreSQL and Redis from wheels.

Start at `__main__.py`, which has the command line and the loop; `processes.py` starts and ends the processes, the
workers by `prepared_worker.py`, whose other side is `worker.py`. `packages.py` installs packages with operations,
`source_changes.py` sees changes of their sources, `folder.py` has the data, `authentication.py` the first API key, and
`addresses.py` says where everything is. Imports nothing of `api` and `worker`, except in the process of a worker.
"""
