"""State of the queues: due jobs, depth, age, workers, and the reasons why a job waits.

Start at `queue_state.py`, which the controller reads each tick. Imports nothing of `listing`, `bulk_actions` or
`retention`.
"""
