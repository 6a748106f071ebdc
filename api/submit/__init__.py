"""From a request body to a committed job: parsing, idempotency, back-pressure, group commit, doorbells.

Start at `parsing.py`, which turns a body into a `NewJob`, then `group_commit.py`, which stores it. Imports nothing of
`routes`, `watch` or `views`.
"""
