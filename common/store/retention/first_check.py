"""The time at which a job with its own retention is first checked: SQL that inserts need, without a driver."""

# Late by a margin for the job to run, so most jobs are checked once: by then their `keep_s` is over.
FIRST_CHECK_AT = "clock_timestamp() + keep_s * interval '1 s' + least(keep_s / 8.0, 60) * interval '1 s'"
