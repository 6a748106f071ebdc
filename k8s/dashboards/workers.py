"""Workers: load of the worker processes, batches, crashes, lost leases."""

from common.telemetry import metrics
from common.telemetry.job_log_metrics import JOB_LOG_LINES_DROPPED
from k8s.dashboards.panels import Query, Row, dashboard, figure, graph
from k8s.dashboards.queries import (
    deduplicated_sum,
    increase,
    mean,
    observed,
    out_of_memory,
    quantile,
    rate,
    restarts,
    since,
    summed,
    total,
)

BUSY = f"{total(metrics.WORKER_PROCESSES, state='busy')} / {total(metrics.WORKER_PROCESSES)}"

NOW = Row(
    "Now",
    (
        figure(
            "Processes",
            "short",
            "Processes of all workers. Normal is pods x worker.concurrency.",
            total(metrics.WORKER_PROCESSES),
        ),
        figure(
            "Busy",
            "percentunit",
            "Share of processes that run a job. 100 % for long means that there are too few workers; near 0 % that "
            "there are too many.",
            BUSY,
            max_value=1,
        ),
        figure(
            "Claims",
            "ops",
            "Claims per second that got jobs. One claim takes about 50 ms of work.",
            observed(metrics.CLAIM_JOBS),
        ),
        figure(
            "Jobs in a claim",
            "short",
            "Mean number of jobs in a claim: 1 for long jobs, hundreds for very short ones.",
            mean(metrics.CLAIM_JOBS),
        ),
        figure(
            "Lost processes",
            "short",
            "Processes that crashed or were killed while they ran a job, in the last interval. Normal is 0.",
            increase(metrics.PROCESS_DEATHS, reason="worker_lost|timeout|loop_blocked|exit_ignored|start_failed"),
            warn=1,
        ),
        figure(
            "Lost leases",
            "short",
            "Leases that had ended before their renewal, in the last interval. Normal is 0.",
            increase(metrics.LEASES_LOST),
            warn=1,
        ),
    ),
)

WORK = Row(
    "Work",
    (
        graph(
            "Processes",
            "short",
            "Busy processes run a job, idle ones wait for a doorbell. If all are busy while jobs wait, scale out. If "
            "all are idle while jobs wait, read the log of a worker.",
            Query(total(metrics.WORKER_PROCESSES, ["state"]), "{{state}}"),
            stacked=True,
        ),
        graph(
            "Attempts by outcome",
            "ops",
            "Attempts per second by outcome: success, failed (the job ends), retried, released (not charged), "
            "cancelled. Releases are normal when pods are removed.",
            Query(rate(metrics.ATTEMPTS, ["outcome"]), "{{outcome}}"),
        ),
        graph(
            "Claims by queue",
            "ops",
            "Claims per second that got jobs. Under load it normally falls while the throughput stays, because batches "
            "grow.",
            Query(observed(metrics.CLAIM_JOBS, ["queue"]), "{{queue}}"),
        ),
        graph(
            "Empty claims by queue",
            "ops",
            "Claims that found no job: after a doorbell that another process answered, or at the end of a backlog. A "
            "few per second are normal; many more than successful claims waste the database's time.",
            Query(rate(metrics.EMPTY_CLAIMS, ["queue"]), "{{queue}}"),
        ),
        graph(
            "Jobs in a claim",
            "short",
            "Number of jobs in a claim, about 50 ms of work: 1 for jobs that take longer, at most "
            "JOBPROC_MAX_CLAIM_JOBS.",
            Query(mean(metrics.CLAIM_JOBS, ["queue"]), "{{queue}} mean"),
            Query(quantile(0.95, metrics.CLAIM_JOBS, ["queue"]), "{{queue}} p95"),
        ),
        graph(
            "Busy processes by operation",
            "short",
            "Number of processes that an operation keeps busy: seconds of work per second. Shows the operations that "
            "take the workers' time.",
            Query(summed(metrics.RUN_DURATION, ["operation"]), "{{operation}}"),
            stacked=True,
        ),
    ),
)

FAILURES = Row(
    "Failures",
    (
        graph(
            "Lost processes by reason",
            "short",
            "worker_lost: the process crashed, or was killed for lack of memory. timeout: a job exceeded its timeout. "
            "released: the worker shut down before its job ended. cancelled: its job did not stop after a cancel. "
            "loop_blocked: an async def operation blocked the event loop. exit_ignored: it did not stop after an exit "
            "of one of its tasks. Normal is 0; timeouts depend on the operation.",
            Query(increase(metrics.PROCESS_DEATHS, ["reason"]), "{{reason}}"),
        ),
        graph(
            "Lost leases, fenced results",
            "short",
            "A process did not renew its lease for JOBPROC_LEASE_SECONDS, so its jobs went to other processes, and its "
            "late results were fenced. Normal is 0; more means frozen pods or an unavailable database.",
            Query(increase(metrics.LEASES_LOST), "lost leases"),
            Query(increase(metrics.RESULTS_FENCED), "fenced results"),
        ),
        graph(
            "Dropped log lines by reason",
            "short",
            "Lines of operations that were dropped. rate: an attempt logged more than "
            "JOBPROC_OPERATION_LOG_LINES_PER_SECOND. buffer: the database did not take them as fast as they came, or "
            "was away. refused: PostgreSQL refused them. capture: they could not be read. Normal is 0.",
            Query(increase(JOB_LOG_LINES_DROPPED, ["reason"]), "{{reason}}"),
        ),
        graph(
            "Jobs changed by controller tasks",
            "short",
            "rescue and orphaned_jobs: jobs of lost workers. strays: jobs that every worker had passed by. Normal is "
            "0, and a few when a node is lost. bulk_actions: jobs that bulk actions changed.",
            Query(increase(metrics.TASK_JOBS, ["task"]), "{{task}}"),
        ),
        graph(
            "Jobs of bulk actions",
            "short",
            "Jobs that bulk actions processed, by action and result. skipped: the state had changed, or the input or "
            "the unique key was not available; the bulk action has the reasons.",
            Query(increase(metrics.BULK_ACTION_JOBS, ["action", "result"]), "{{action}} {{result}}"),
        ),
        graph(
            "Container restarts",
            "short",
            "Restarts of worker and controller containers. Normal is 0. Needs kube-state-metrics.",
            Query(restarts("worker|controller"), "{{pod}}"),
            Query(out_of_memory("worker|controller"), "{{pod}} last terminated as OOMKilled"),
        ),
        graph(
            "Time since the last claim",
            "s",
            "For the pod whose last claim is the oldest. Grows normally while all processes of a pod have long jobs; "
            "an idle pod claims after each doorbell. Compare it with the oldest due job.",
            Query(since(metrics.LAST_CLAIM, ["namespace", "pod"]), "longest"),
        ),
        graph(
            "Workers alive by queue",
            "short",
            "Processes with a lease that serve a queue, from the database. 0 while the depth is above 0 for longer "
            "than the start time of a pod is a failure.",
            Query(deduplicated_sum(metrics.WORKERS_ALIVE, ["queue"]), "{{queue}}"),
        ),
    ),
)


def text() -> str:
    """Return the dashboard."""
    return dashboard(
        "workers", "workers", "Load of the worker processes, batches, crashes and lost leases.", (NOW, WORK, FAILURES)
    )
