"""SQL fragments about workers, shared by statements of the API, of workers and of the controller."""

#: True if the lease of worker process w has not ended.
LEASE_ALIVE = "w.ended_at IS NULL AND w.alive_until > clock_timestamp()"
