"""From database rows to response bodies: a job, lists, queues, operations, bulk actions, explanations.

Start at `job_detail.py`. The parameters of lists and the filters of bulk actions are validated here too (`job_list.py`,
`filters.py`, `cursors.py`). Imports nothing from `routes`, `submit` or `watch`.
"""
