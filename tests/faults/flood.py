"""A tenant that floods a queue, and a quiet one beside it."""

from rig.system import TERMINAL

from faults.api_client import ApiClient
from faults.history import Answer
from faults.jobs import SentJob, request_body

FLOOD_JOBS, FLOOD_JOB_S = 1_500, 0.02  # more than seven seconds for four processes
QUIET_JOB_S = 0.001
WAIT_S, MAX_WAITS = 5, 6


def flood(client: ApiClient) -> None:
    """Submit many jobs at once, and wait for the last one."""
    sent = tuple(SentJob("effect", (FLOOD_JOB_S, client.new_job().tag)) for _ in range(FLOOD_JOBS))
    call = client.call("batch", "/jobs/batch", [request_body(job) for job in sent], sent)
    if call.answer is Answer.OK:
        _wait(client, call.job_ids[-1])


def be_quiet(client: ApiClient) -> None:
    """Submit a short job, and wait for it."""
    sent = SentJob("effect", (QUIET_JOB_S, client.new_job().tag))
    call = client.call("submit", "/jobs/", request_body(sent), (sent,))
    if call.answer is Answer.OK:
        _wait(client, call.job_ids[0])


def _wait(client: ApiClient, job_id: str) -> None:
    for _ in range(MAX_WAITS):
        call = client.call("wait", f"/jobs/{job_id}/result?wait={WAIT_S}", job_ids=(job_id,), wait_s=float(WAIT_S))
        if call.response.get("status") in TERMINAL or client.stopping.is_set():
            return
        client.pause(0.05)
