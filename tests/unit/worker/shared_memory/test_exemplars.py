"""The traces that a worker's histograms point to, in the memory that it shares with its processes."""

import itertools
import os

import pytest

from common.domain.operation_spec import OperationSpec
from worker.shared_memory.exemplars import _RECORD, Exemplars
from worker.shared_memory.metrics import Layout, OutcomeLabel, WorkerMetrics

A, B = 0x0AF7651916CD43DD8448EB211C80319C, 0x1
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")


def test_the_newest_of_all_places_is_shown() -> None:
    exemplars = Exemplars(3, 4, itertools.count(1.0).__next__)
    assert exemplars.newest(0, 4) == [None] * 4
    exemplars.by_slot[2].write(1, 0.5, A)
    exemplars.by_slot[0].write(1, 0.7, B)
    exemplars.by_slot[1].write(3, 0.0, A)
    first, second, third, fourth = exemplars.newest(0, 4)
    assert first is third is None
    assert second is not None
    assert (second.labels, second.value, second.timestamp) == ({"trace_id": f"{B:032x}"}, 0.7, 2.0)
    assert fourth is not None
    assert fourth.labels == {"trace_id": "0af7651916cd43dd8448eb211c80319c"}


def test_another_process_writes_and_one_that_died_leaves_its_own() -> None:
    exemplars = Exemplars(1, 1)
    child = os.fork()
    if child == 0:
        exemplars.by_slot[0].write(0, 1.5, A)
        os._exit(0)
    os.waitpid(child, 0)
    assert [one and one.value for one in exemplars.newest(0, 1)] == [1.5]


@pytest.mark.parametrize("written", range(1, _RECORD.size))
def test_a_record_that_is_half_written_is_left_out(written: int) -> None:
    """Whatever the order in which the bytes arrive: the old ones up to here, the new ones from here on."""
    old, new = bytearray(_RECORD.size), bytearray(_RECORD.size)
    memory = bytearray(_RECORD.size)
    clock = itertools.count(1764_000_000.25).__next__
    for kept, trace in ((old, A), (new, A ^ ((1 << 128) - 1))):
        place = Exemplars(1, 1, clock).by_slot[0]
        place._memory = memoryview(memory)
        place.write(0, 0.1 if trace == A else 7.3, trace)
        kept[:] = memory
    for half in (old[:written] + new[written:], new[:written] + old[written:]):
        memory[:] = half
        assert half in (old, new) or place.read(0) is None


def test_a_histogram_shows_the_trace_in_the_bucket_that_counted_it() -> None:
    meters = WorkerMetrics(Layout([OperationSpec("add"), OperationSpec("sub")], ["default"]), 2, traced=True)
    metrics = meters.by_slot[1]
    metrics.count_attempt("add", "default", OutcomeLabel.SUCCESS, 0.02)
    metrics.set_run_exemplar(A, "add", "default", 0.02)
    metrics.set_delay_exemplar(B, "default", 90_000.0)
    samples = [sample for family in meters.collect() for sample in family.samples]
    found = {(sample.labels.get("operation"), sample.labels["le"]): sample.exemplar for sample in samples if sample.exemplar}
    assert {of: exemplar.labels for of, exemplar in found.items()} == {("add", "0.025"): {"trace_id": f"{A:032x}"}, (None, "+Inf"): {"trace_id": f"{B:032x}"}}
    assert found["add", "0.025"].value == 0.02


def test_without_traces_there_is_nothing_to_keep() -> None:
    meters = WorkerMetrics(Layout([OperationSpec("add")], ["default"]), 1)
    meters.by_slot[0].set_run_exemplar(A, "add", "default", 0.02)
    assert not [sample for family in meters.collect() for sample in family.samples if sample.exemplar]
