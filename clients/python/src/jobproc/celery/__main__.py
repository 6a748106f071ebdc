"""`python -m jobproc.celery`."""

import sys

from jobproc.celery.check import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
