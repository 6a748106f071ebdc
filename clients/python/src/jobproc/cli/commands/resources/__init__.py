"""Commands about what is not a job: queues, schedules, batches and others: start at `queues.py`.

Imports only the modules of the command line.
"""
