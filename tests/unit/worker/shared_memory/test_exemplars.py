"""Exemplars of a worker's histograms, in the memory that the parent shares with its processes."""

import itertools
import os

import pytest

from common.domain.operation_spec import OperationSpec
from worker.shared_memory.exemplars import _RECORD, Exemplars
from worker.shared_memory.metrics import Layout, OutcomeLabel, WorkerMetrics

A, B = 0x0AF7651916CD43DD8448EB211C80319C, 0x1
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")


def test_the_newest_exemplar_of_all_slots_is_shown() -> None:
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


def test_an_exemplar_outlives_the_process_that_wrote_it() -> None:
    exemplars = Exemplars(1, 1)
    child = os.fork()
    if child == 0:
        exemplars.by_slot[0].write(0, 1.5, A)
        os._exit(0)
    os.waitpid(child, 0)
    assert [exemplar and exemplar.value for exemplar in exemplars.newest(0, 1)] == [1.5]


@pytest.mark.parametrize("written", range(1, _RECORD.size))
def test_a_half_written_record_is_skipped(written: int) -> None:
    """The bytes may arrive in either order: the old ones up to here and the new ones after, or the reverse."""
    old, new = bytearray(_RECORD.size), bytearray(_RECORD.size)
    memory = bytearray(_RECORD.size)
    clock = itertools.count(1764_000_000.25).__next__
    for record, trace in ((old, A), (new, A ^ ((1 << 128) - 1))):
        slot = Exemplars(1, 1, clock).by_slot[0]
        slot._memory = memoryview(memory)
        slot.write(0, 0.1 if trace == A else 7.3, trace)
        record[:] = memory
    for mixture in (old[:written] + new[written:], new[:written] + old[written:]):
        memory[:] = mixture
        assert mixture in (old, new) or slot.read(0) is None


def test_a_histogram_shows_the_trace_in_the_bucket_that_counted_it() -> None:
    metrics = WorkerMetrics(Layout([OperationSpec("add"), OperationSpec("sub")], ["default"]), 2, traced=True)
    slot = metrics.by_slot[1]
    slot.count_attempt("add", "default", OutcomeLabel.SUCCESS, 0.02)
    slot.set_run_exemplar(A, "add", "default", 0.02)
    slot.set_delay_exemplar(B, "default", 90_000.0)
    samples = [sample for family in metrics.collect() for sample in family.samples]
    exemplars = {
        (sample.labels.get("operation"), sample.labels["le"]): sample.exemplar for sample in samples if sample.exemplar
    }
    assert {labels: exemplar.labels for labels, exemplar in exemplars.items()} == {
        ("add", "0.025"): {"trace_id": f"{A:032x}"},
        (None, "+Inf"): {"trace_id": f"{B:032x}"},
    }
    assert exemplars["add", "0.025"].value == 0.02


def test_without_tracing_no_exemplar_is_stored() -> None:
    metrics = WorkerMetrics(Layout([OperationSpec("add")], ["default"]), 1)
    metrics.by_slot[0].set_run_exemplar(A, "add", "default", 0.02)
    assert not [sample for family in metrics.collect() for sample in family.samples if sample.exemplar]
