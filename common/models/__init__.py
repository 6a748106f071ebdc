"""The tables. Only common.store and the migrations see them."""

from common.models.action import Action, ActionJob
from common.models.attempt import Attempt
from common.models.base import Base
from common.models.deadline import Deadline
from common.models.expiry import Expiry
from common.models.job import Job
from common.models.key import Key, Uniq
from common.models.leader import Leader
from common.models.live import Live
from common.models.operation import Operation
from common.models.outcome import Outcome
from common.models.rerun import Rerun
from common.models.tag import Tag
from common.models.worker import Worker

__all__ = [
    "Action",
    "ActionJob",
    "Attempt",
    "Base",
    "Deadline",
    "Expiry",
    "Job",
    "Key",
    "Leader",
    "Live",
    "Operation",
    "Outcome",
    "Rerun",
    "Tag",
    "Uniq",
    "Worker",
]
