"""Settings of the API: TLS, limits of requests and submissions."""

from typing import Annotated

from pydantic import Field

from common.settings.field_types import Bytes, Count, Seconds, SettingsGroup


class RequestSettings(SettingsGroup):
    """TLS of the connections of clients, and limits of what a request may contain, and of what it may scan."""

    tls_certificate_file: str = Field(
        "",
        description="API: file of its certificate, and of those between it and the root. The API then serves HTTPS, "
        "from TLS 1.2 on, and loads changed files within two seconds. Empty: it serves HTTP.",
    )
    tls_key_file: str = Field("", description="API: file of the key of that certificate, without a password.")
    tls_client_ca_file: str = Field(
        "",
        description="API: file of the root certificates of clients, of which each then needs a certificate. "
        "Empty: clients need none.",
    )

    max_body_bytes: Count = Field(
        1_048_576, description="API: largest request body in bytes; a larger one is refused with 413."
    )
    max_head_bytes: Annotated[int, Field(ge=1_024, le=1_048_576)] = Field(
        32_768,
        description="API: largest request line with all header fields in bytes, and largest trailer section; "
        "a larger one is refused with 431.",
    )
    max_head_fields: Count = Field(
        100,
        description="API: largest number of header fields of a request, and of trailers; more are refused with 431.",
    )
    max_target_bytes: Count = Field(
        8_192, description="API: longest request target (path and query) in bytes; a longer one is refused with 414."
    )
    max_pipelined_requests: Count = Field(
        16,
        description="API: largest number of requests of one connection that wait behind the one that is being "
        "answered; then the API reads no more from the connection until it has answered one.",
    )
    discard_seconds: Seconds = Field(
        10,
        description="API: longest time in seconds for which the API reads and discards what a client still sends "
        "after the answer, so that the client gets the answer; then the connection is reset.",
    )
    max_discard_bytes: Annotated[int, Field(ge=0, le=1_073_741_824)] = Field(
        33_554_432,
        description="API: largest number of bytes that the API reads and discards after the answer; "
        "then the connection is reset.",
    )
    max_body_containers: Count = Field(
        100_000,
        description="API: largest number of arrays and objects in a request body, at any depth; "
        "more are refused with 422.",
    )
    large_body_bytes: Count = Field(
        65_536, description="API: size in bytes from which a request body is large, and waits for its turn."
    )
    large_body_concurrency: Annotated[int, Field(ge=1, le=100)] = Field(
        2,
        description="API: number of large bodies that one process parses and checks at a time, and stores if they are "
        "batches.",
    )
    large_bodies_waiting: Count = Field(
        64,
        description="API: largest number of large bodies that wait for their turn in one process; "
        "more are refused with 503.",
    )
    large_body_wait_seconds: Seconds = Field(
        10, description="API: longest time in seconds for a large body to wait for its turn; then it gets 503."
    )
    max_numbers: Count = Field(
        10_000,
        description="API: largest number of items in the `data` or the `input.data` of one job; "
        "more are refused with 422.",
    )
    max_batch_jobs: Count = Field(
        10_000, description="API: largest number of jobs in one POST /jobs/batch; more are refused with 422."
    )
    max_ndjson_jobs: Annotated[int, Field(ge=1, le=100_000_000)] = Field(
        1_000_000,
        description="API: largest number of jobs in one body of NDJSON, and in one batch; more are refused with 422.",
    )
    max_ndjson_line_bytes: Count = Field(
        262_144, description="API: longest line of a body of NDJSON in bytes; a longer one is refused with 422."
    )
    max_ndjson_body_bytes: Bytes = Field(
        104_857_600,
        description="API: largest body of NDJSON in bytes; a larger one is refused with 413. One whose jobs are stored "
        "all or none is in a temporary file until its end. Times JOBPROC_NDJSON_CONCURRENCY it must fit in /tmp.",
    )
    ndjson_body_seconds: Seconds = Field(
        600, description="API: longest time in seconds for a body of NDJSON to arrive; then the request gets 408."
    )
    ndjson_concurrency: Annotated[int, Field(ge=1, le=100)] = Field(
        2,
        description="API: number of bodies of NDJSON that one process reads at a time; more are refused with 503.",
    )
    ndjson_chunk_jobs: Annotated[int, Field(ge=1, le=10_000)] = Field(
        1_000, description="API: largest number of jobs of a body of NDJSON that one statement stores."
    )
    max_workflow_dependencies: Count = Field(
        1_000_000,
        description="API: largest number of entries of `depends_on` in one workflow; more are refused with 422.",
    )
    workflow_graph_jobs: Count = Field(
        100_000,
        description="API: largest number of jobs of a workflow of which GET /workflows/{workflow_id} has the graph, "
        "which reads all of them.",
    )
    max_jobs_per_parent: Annotated[int, Field(ge=1, le=100_000)] = Field(
        10_000,
        description="API: largest number of jobs of a workflow that wait for one job; more are refused with 422.",
    )
    max_attempts: Annotated[int, Field(ge=1, le=1_000)] = Field(
        100, description="API: largest `max_attempts` of a submission; a larger one is refused with 422."
    )
    max_backoff_seconds: Annotated[float, Field(gt=0, le=86_400)] = Field(
        86_400, description="API: longest backoff of a submission in seconds; a longer one is refused with 422."
    )
    max_timeout_seconds: Annotated[float, Field(gt=0, le=2_147_483)] = Field(
        86_400, description="API: longest `timeout_seconds` of a submission; a longer one is refused with 422."
    )
    max_delay_days: Annotated[int, Field(ge=1, le=3_650)] = Field(
        365,
        description="API: largest distance in days from a submission to its start time or deadline; "
        "a larger one is refused with 422.",
    )
    max_keep_days: Annotated[int, Field(ge=1, le=3_650)] = Field(
        90,
        description="API: longest `keep_seconds` of a submission, in days; a longer one is refused with 422.",
    )
    max_metadata_bytes: Count = Field(
        4_096, description="API: largest `metadata` of a job in bytes of JSON; a larger one is refused with 422."
    )
    list_scan_inputs: Annotated[int, Field(ge=10, le=1_000_000)] = Field(
        2_000,
        description="API: largest number of index rows that a page of GET /jobs or a preview of a bulk action scans if "
        "it has the filter `input`: each input is read.",
    )
    errors_scan_jobs: Annotated[int, Field(ge=100, le=100_000)] = Field(
        5_000,
        description="API: largest number of the newest failed and cancelled jobs that one GET /errors groups.",
    )
