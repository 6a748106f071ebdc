"""What worker processes do, and what goes wrong with them."""

from common.telemetry import metrics
from k8s.dashboards.foreign import out_of_memory, restarts
from k8s.dashboards.panels import Query, Row, dashboard, figure, graph
from k8s.dashboards.queries import increase, mean, observed, quantile, rate, since, summed, told, total

BUSY = f"{total(metrics.WORKER_PROCESSES, state='busy')} / {total(metrics.WORKER_PROCESSES)}"

NOW = Row(
    "Now",
    (
        figure("Processes", "short", "Processes of all workers. Normal is pods x worker.concurrency.", total(metrics.WORKER_PROCESSES)),
        figure(
            "Busy",
            "percentunit",
            "Share of processes that run a job. 100 % for long means that more workers would be used; near 0 % that there are too many.",
            BUSY,
            most=1,
        ),
        figure("Claims", "ops", "Claims that took jobs, each second. One claim takes about 50 ms of work.", observed(metrics.CLAIM_JOBS)),
        figure("Jobs a claim", "short", "Mean of jobs that a claim took: 1 for long jobs, hundreds for very quick ones.", mean(metrics.CLAIM_JOBS)),
        figure(
            "Deaths",
            "short",
            "Processes that died over a job in the last interval. Normal is 0.",
            increase(metrics.PROCESS_DEATHS, reason="worker_lost|timeout|loop_blocked"),
            warn=1,
        ),
        figure(
            "Leases lost",
            "short",
            "Leases that had ended when they were to be renewed, in the last interval. Normal is 0.",
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
            "Busy processes run a job, idle ones wait for a doorbell. All busy while jobs wait: scale out. All idle while jobs wait: read the log of a worker.",
            Query(total(metrics.WORKER_PROCESSES, ["state"]), "{{state}}"),
            stacked=True,
        ),
        graph(
            "Attempts by outcome",
            "ops",
            "How attempts end: success, failed (the job ends), retried, released (given back, not charged), cancelled. Releases are normal when pods go.",
            Query(rate(metrics.ATTEMPTS, ["outcome"]), "{{outcome}}"),
        ),
        graph(
            "Claims by queue",
            "ops",
            "Claims that took jobs, each second. Falls while throughput stays when batches grow; that is normal under load.",
            Query(observed(metrics.CLAIM_JOBS, ["queue"]), "{{queue}}"),
        ),
        graph(
            "Empty looks by queue",
            "ops",
            "Looks that found no job: after a doorbell that another process answered, or at the end of a backlog. A few each second are normal; "
            "many more than claims cost the database for nothing.",
            Query(rate(metrics.EMPTY_CLAIMS, ["queue"]), "{{queue}}"),
        ),
        graph(
            "Jobs a claim",
            "short",
            "How many jobs a claim took. About 50 ms of work: 1 for jobs that take longer, at most JOBPROC_MAX_CLAIM_JOBS.",
            Query(mean(metrics.CLAIM_JOBS, ["queue"]), "{{queue}} mean"),
            Query(quantile(0.95, metrics.CLAIM_JOBS, ["queue"]), "{{queue}} p95"),
        ),
        graph(
            "Processes at work by operation",
            "short",
            "How many processes an operation keeps busy: seconds of work each second. Shows which operation the workers are there for.",
            Query(summed(metrics.RUN_DURATION, ["operation"]), "{{operation}}"),
            stacked=True,
        ),
    ),
)

TROUBLE = Row(
    "Trouble",
    (
        graph(
            "Deaths of processes by reason",
            "short",
            "worker_lost: it crashed, or was ended for want of memory. timeout: a job ran past its limit. released: it had to leave before its job ended. "
            "cancelled: its job did not stop when a client asked it to. loop_blocked: an async def operation kept all others of its process waiting. "
            "Normal is 0; timeouts are the operation's business.",
            Query(increase(metrics.PROCESS_DEATHS, ["reason"]), "{{reason}}"),
        ),
        graph(
            "Leases lost, results refused",
            "short",
            "A process was not heard of for JOBPROC_LEASE_SECONDS, so its jobs went to others and its late results were refused. Normal is 0; more means "
            "frozen pods, or a database that was away.",
            Query(increase(metrics.LEASES_LOST), "leases lost"),
            Query(increase(metrics.RESULTS_FENCED), "results refused"),
        ),
        graph(
            "Jobs moved by the controller",
            "short",
            "rescue and leftovers: jobs of workers that are gone. strays: jobs that every worker had passed by. Normal is 0, a few when a node dies. "
            "actions: what clients ask of many jobs.",
            Query(increase(metrics.TASK_JOBS, ["duty"]), "{{duty}}"),
        ),
        graph(
            "Jobs in actions",
            "short",
            "Jobs that had their turn in an action on all that match a filter. skipped: they had moved on, or lacked their input or unique key; the action "
            "says why.",
            Query(increase(metrics.BULK_ACTION_JOBS, ["action", "result"]), "{{action}} {{result}}"),
        ),
        graph(
            "Restarts of containers",
            "short",
            "Restarts of worker and controller containers. Normal is 0. Needs kube-state-metrics.",
            Query(restarts("worker|controller"), "{{pod}}"),
            Query(out_of_memory("worker|controller"), "{{pod}} last ended for want of memory"),
        ),
        graph(
            "Since a pod last looked for work",
            "s",
            "The pod that looked longest ago. Grows while every process of a pod has a long job, that is normal; an idle pod looks at each doorbell. "
            "Read it beside the oldest due job.",
            Query(since(metrics.LAST_CLAIM, ["namespace", "pod"]), "longest"),
        ),
        graph(
            "Alive by queue",
            "short",
            "Processes with a lease that serve a queue, as the database knows them. 0 beside a depth above 0 for longer than a pod takes to start is wrong.",
            Query(told(metrics.WORKERS_ALIVE, ["queue"]), "{{queue}}"),
        ),
    ),
)


def text() -> str:
    """Return the dashboard."""
    return dashboard("workers", "workers", "What worker processes do, and what goes wrong with them.", (NOW, WORK, TROUBLE))
