"""Quotas of tenants, checked as jobs are submitted.

Start at `quotas.py`. What a tenant uses is counted by the controller and read once a second (`usage_reader.py`); what
this process has accepted since is added to it (`accepted.py`). Imports `api.limits`, `api.web` and `common`.
"""
