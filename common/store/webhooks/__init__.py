"""Webhooks: endpoints, the jobs that deliver events, and the search for ends that no settle has told of.

Start at `deliveries.py`, which has what the drivers share. `endpoints.py` and `records.py` are the API's, `settle.py`
and `attempts.py` the workers', `sweep.py` the controller's. A delivery is a job whose id is made of that of the job or
batch and its run, so it is stored once, by the settle or by the controller. Imports nothing from
`batches` and `schedules`.
"""
