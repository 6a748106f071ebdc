"""Rate limits: so many events a minute for each subject, of which all API processes together take.

Start at `rate_limit.py`; `request_limits.py` applies it to requests. Counts are in Redis (`shared_windows.py`); while
Redis is away each process admits its share (`local_share.py`). Imports `api.limits`, `api.web` and `common`.
"""
