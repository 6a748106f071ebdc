"""The change feed: its limits."""

MAX_FOLLOWED_QUEUES = 200  #: of an installation; each write of a job compares its queue with them
MAX_PAGE_CHANGES = 1_000  #: changes that are numbered at once, and stored in a row
