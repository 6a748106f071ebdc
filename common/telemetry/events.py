"""Every event that can be in the log, with its meaning.

docs/reference/events.md is generated from this table and from the log calls in the code.
"""

EVENTS = {
    "api_key_created": "The migration has stored the first API key; `key` is its public id.",
    "api_serving": "The API takes requests at `urls`; `docs` is the page of its documentation.",
    "attempt_failed": "An attempt failed, and its job runs again in `retry_in_s` seconds; at most `attempts_left` more "
    "attempts will be charged. The traceback is in `GET /jobs/{id}`.",
    "attempt_left_processes": "Processes that an attempt had started outlived it, and were ended.",
    "audit": "A caller has changed something: who (`subject`, `tenant`, `address`) did what (`action`) to what "
    "(`thing`). The same is in the audit log.",
    "audit_partition_dropped": "A partition of the audit log past its retention was dropped.",
    "authentication_off": "JOBPROC_AUTHENTICATION is off: every caller may do everything.",
    "batch_closed_late": "A batch was still open after JOBPROC_BATCH_OPEN_SECONDS and is closed now.",
    "batch_end_failed": "PostgreSQL refused the end of a batch or its follow-up; each tick tries again.",
    "batch_ended": "All jobs of a closed batch have ended; its follow-up is stored.",
    "bulk_action_done": "A bulk action has processed all matching jobs.",
    "bulk_action_failed": "PostgreSQL refused a step of a bulk action; the step is rolled back and the action stopped.",
    "bulk_action_started": "A client started a bulk action; the controller works through its jobs.",
    "bulk_action_first_done": "A bulk action has changed as many jobs as its start asked for, and waits for another.",
    "bulk_action_stopped": "A client stopped a bulk action.",
    "bulk_action_undoing": "A client undoes a bulk action.",
    "bulk_action_undone": "A bulk action was undone, as far as possible.",
    "change_notifications_unavailable": "The API cannot receive change notifications from Redis; waiting clients are "
    "answered by polling, up to a second late.",
    "claim_failed": "PostgreSQL refused a claim; the process waits for the next doorbell.",
    "clients_refused": "A limit refused clients; `reason` is that of jobproc_refusals_total, `count` their number "
    "since the last such line, `address` that of the last one.",
    "controller_leading": "This controller leads: it runs the controller tasks.",
    "controller_ready": "The controller has begun to tick.",
    "controller_standing_by": "Another controller leads; this one takes over when that one's lease ends.",
    "controller_stopped": "The controller has shut down gracefully.",
    "database_unavailable": "PostgreSQL could not be reached or refused service; the process waits and retries.",
    "deletion_cost_write_failed": "The pod deletion cost could not be written; a scale-in may choose a busy pod.",
    "event_loop_failed": "The event loop of a process has ended unexpectedly, so the process ends; its jobs are "
    "recovered.",
    "exit_in_event_loop": "A task or callback of an async operation raised SystemExit or KeyboardInterrupt; its "
    "attempt fails, if it is known.",
    "failures_not_logged": "Attempts failed that got no line of their own, because the limit of lines a second was "
    "reached; `count` is their number since the last such line.",
    "index_created": "An index was created on a partition that is older than the index.",
    "input_schema_invalid": "The input schema of an operation is invalid; only its workers check its inputs.",
    "inputs_deleted": "Inputs of finished jobs of a partition were deleted; their results stay.",
    "invalid_message_dropped": "Messages in the Redis list of a queue were not doorbells and were dropped. Logged once "
    "a second at most: `count` is the number since the last line, `list` and `reason` the last one's.",
    "issuer_keys_read": "The keys of the OpenID provider were read: for the first time, with other keys than before, "
    "or after an outage. `keys` are their ids, `unused` is the number of those that sign no tokens here.",
    "issuer_unavailable": "A document of the OpenID provider could not be read; `reason` has its URL. Known keys stay "
    "valid for a while, which is logged once for each reason of an outage; meanwhile nobody can sign in there.",
    "job_logs_failed": "Lines of job logs could not be stored for an unexpected reason; the next try follows.",
    "job_logs_refused": "PostgreSQL refused `lines` lines of job logs; they are dropped.",
    "job_cancel_requested": "A process was told to cancel the job that it runs; after the grace it is killed.",
    "job_failed": "A job ended FAILED. `exception` is the traceback of its last attempt, null if no code of the "
    "operation raised.",
    "job_finished": "A job ended; logged if JOBPROC_JOB_LOG_SUMMARY is set.",
    "jobs_deleted": "Jobs past retention were deleted one by one, because too many jobs of their partition must stay.",
    "jobs_rescued": "Jobs of a worker process whose lease had ended were rescued: charged, and retried or failed.",
    "keys_unread": "The API keys could not be read; those that are known stay valid for a while.",
    "leader_resign_failed": "The leader could not resign as it shut down; another one leads once its lease has ended.",
    "lease_lost": "A lease had ended before its renewal; the process registers under a new id.",
    "library_log": "A log line of a library; its text is in `message`.",
    "metrics_serving": "A process serves /metrics, and the paths of its probes, on `port`; another than `first_port`, "
    "that of JOBPROC_METRICS_PORT, if that was taken.",
    "migrated": "The schema is at the head of this version.",
    "operations_forgotten": "No worker has known these operations for `hours`, though workers serve their queues: "
    "submissions of them are refused from now on. A worker that knows one brings it back.",
    "operation_log": "A line that an operation has logged or printed; `logger` is its logger, or the stream.",
    "operations_publish_failed": "PostgreSQL refused the operations in `operations`, so the API does not know them; "
    "the others are published, and these are retried.",
    "operations_refresh_failed": "The list of operations could not be refreshed; the cached one stays in use.",
    "operations_refused": "The operations of an installed package cannot be used, so the worker ends; has the "
    "traceback.",
    "partition_cleared": "The jobs past retention were removed from a partition.",
    "partition_created": "A partition of the next days was created.",
    "partition_missing": "A submission found no partition for its day; it is created at once.",
    "process_ended": "A process of a worker has ended, and its parent had not killed it; `cause` is the signal or the "
    "exit code. Another process replaces it.",
    "process_hook_failed": "A hook of a process has failed; has the traceback.",
    "process_hooks_skipped": "Hooks are `async def`, but no operation is: no process has an event loop to call them.",
    "process_killed": "The parent killed a process: a job exceeded its time limit, ignored a cancel request or blocked "
    "the event loop, or the shutdown grace was over.",
    "process_recovered": "The jobs of a crashed or killed process were released; the job that it ran was charged, if "
    "that job is known.",
    "process_start_failed": "A start hook of a process has failed, so the process ends and is replaced after "
    "`pause_s`; it held no job.",
    "process_stop_failed": "A stop hook of a process has failed, or took too long; the process ends all the same.",
    "quotas_unread": "The quotas and the usage of tenants could not be read; the last ones stand.",
    "rate_limits_local": "Redis does not answer, so each API process admits its share of each rate limit, or refuses "
    "what has one (JOBPROC_RATE_LIMITS_WITHOUT_REDIS). `processes`: the number of API processes that were seen last.",
    "rate_limits_shared": "Redis answers again: the API processes count together.",
    "read_timeout": "A statement of an expensive read took too long and was ended; the client got 503.",
    "reconnected": "A process reconnected to the database under a new id and settled the attempts that had ended.",
    "redis_unavailable": "Redis could not be reached or refused the worker, which reconnects, and polls for due jobs "
    "meanwhile. Logged once for each reason of an outage.",
    "request": "A request was answered; logged if JOBPROC_ACCESS_LOG is set.",
    "request_failed": "A request ended in an unexpected error; the client got 500.",
    "rescue_failed": "A batch of lost jobs could not be rescued; each is rescued alone, and failed if that is refused.",
    "requests_refused": "Requests were refused before any route got them, because they are not HTTP or exceed a limit. "
    "Logged once a second at most: `count` is the number since the last line, `reason` and `status` the last one's.",
    "results_fenced": "The fence refused results, because other attempts had the jobs by then.",
    "retention_deferred": "A partition could not be cleared now, mostly because of a reader; the next check retries.",
    "ring_failed": "A doorbell could not be rung; the controller rings at its next tick.",
    "roles_missing": "Roles of PostgreSQL do not exist and could not be created; their parts need another.",
    "schedule_instants_without_jobs": "Instants of schedules got no job: `missed` ones were late, `refused` ones could "
    "not be submitted. GET /schedules/{id}/fires has them, with their reasons.",
    "schedule_job_refused": "PostgreSQL refused the job of a schedule, so its instant got none; `reason` is the error.",
    "schedule_undecidable": "The instants of a schedule could not be computed, such as for a time zone that the "
    "controller does not know; it is tried again in a minute. Has the traceback.",
    "queues_applied": "The migration has applied the file of queues: how many policies it has `changed`, and how many "
    "it has `released`, because the file no longer declares them.",
    "schedules_applied": "The migration has applied the file of schedules: how many it has `created`, `changed` and "
    "`deleted`.",
    "schema_ready": "The database has the schema that this process needs.",
    "serving_failed": "A process met an unexpected error between two jobs; the jobs that it held were released.",
    "settle_failed": "PostgreSQL refused a batch of results; they are stored one by one.",
    "sign_in_refused": "A person came back from the OpenID provider and could not be signed in: `reason`.",
    "starting": "A process starts; shows every setting that differs from its default, with passwords masked.",
    "startup_waiting": "A process waits at its start for PostgreSQL, its schema or its rights; `reason` says for what, "
    "`ends_after_s` for how long at most (none: without limit). Logged once for each reason.",
    "stored_bytes_unwritten": "The bytes that tenants have stored could not be written; they are with the next ones.",
    "stray_jobs_requeued": "Strays, due jobs that every worker had passed by, got a new position in their queue.",
    "submissions_failed": "PostgreSQL refused a row of a group commit; the others are stored together.",
    "supervisor_failed": "A check of the supervisor failed with an unexpected error; the next check retries.",
    "tls_certificate_loaded": "The API has loaded a changed certificate; new connections get it.",
    "tls_certificate_refused": "The changed files of the API's certificate cannot be used; it keeps the earlier one.",
    "tenant_changed": "An operator has created, changed, suspended, resumed, drained or removed a tenant; `by` is who.",
    "tenant_removed": "The last row of a tenant that was being removed is deleted; its name can be used again.",
    "tracing_disabled": "A worker process could not set up the export of traces; it works without.",
    "wait_poll_failed": "A poll of jobs with waiting clients failed with an unexpected error; the next one retries.",
    "waiting_jobs_not_asked": "PostgreSQL refused to say if jobs of workflows may run; the controller asks for them.",
    "webhook_circuit_opened": "Several attempts in a row to deliver events to an endpoint have failed: its "
    "deliveries wait, and one at a time tries.",
    "webhook_endpoint_disabled": "An endpoint gets no more events: `reason` is `gone` (it has answered 410) or "
    "`failing` (for JOBPROC_WEBHOOK_DISABLE_AFTER_SECONDS).",
    "webhooks_refresh_failed": "The API could not read the endpoints of a tenant anew; it goes on with those that it "
    "knows, and tries again with the next submission.",
    "worker_ready": "A worker has begun to claim jobs: of its queues, and of its operations.",
    "worker_registered": "A worker process has registered; it has an id and a lease.",
}
