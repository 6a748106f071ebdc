"""Reasons for which the API refuses clients, by what they hold, and requests, by their bytes: values of labels."""

# Of refused clients.
CONNECTIONS, CONNECTIONS_OF_ADDRESS, OPEN_FILES = "connections", "connections_of_address", "open_files"
LONG_POLLS_FULL, LONG_POLLS_OF_ADDRESS = "long_polls", "long_polls_of_address"
EVENT_STREAMS_FULL, EVENT_STREAMS_OF_ADDRESS = "event_streams", "event_streams_of_address"
LOG_STREAMS_FULL, LOG_STREAMS_OF_ADDRESS = "log_streams", "log_streams_of_address"
FOLLOWED_LISTS, FOLLOWED_JOBS = "followed_lists", "followed_jobs"
BUFFERED_SUBMISSIONS, BUFFERED_BYTES, UNREAD_BYTES = "buffered_submissions", "buffered_bytes", "unread_bytes"
REQUESTS_OF_ADDRESS, REQUESTS_OF_TENANT, REQUESTS_OF_KEY = (
    "requests_of_address",
    "requests_of_tenant",
    "requests_of_key",
)
FAILED_AUTHENTICATIONS = "failed_authentications"
QUOTA_WAITING_JOBS, QUOTA_JOBS_PER_MINUTE = "quota_waiting_jobs", "quota_jobs_per_minute"
QUOTA_STORED_BYTES = "quota_stored_bytes"
REFUSAL_REASONS = (
    *(CONNECTIONS, CONNECTIONS_OF_ADDRESS, OPEN_FILES),
    *(LONG_POLLS_FULL, LONG_POLLS_OF_ADDRESS, EVENT_STREAMS_FULL, EVENT_STREAMS_OF_ADDRESS),
    *(LOG_STREAMS_FULL, LOG_STREAMS_OF_ADDRESS, FOLLOWED_LISTS, FOLLOWED_JOBS),
    *(BUFFERED_SUBMISSIONS, BUFFERED_BYTES, UNREAD_BYTES),
    *(REQUESTS_OF_ADDRESS, REQUESTS_OF_TENANT, REQUESTS_OF_KEY, FAILED_AUTHENTICATIONS),
    *(QUOTA_WAITING_JOBS, QUOTA_JOBS_PER_MINUTE, QUOTA_STORED_BYTES),
)
# Reasons of irregular requests.
MALFORMED, HEAD_BYTES, HEAD_FIELDS, TARGET = "malformed", "head_bytes", "head_fields", "target"
TRAILERS, CONNECT, UPGRADE = "trailers", "connect", "upgrade"
IRREGULARITIES = (MALFORMED, HEAD_BYTES, HEAD_FIELDS, TARGET, TRAILERS, CONNECT, UPGRADE)
