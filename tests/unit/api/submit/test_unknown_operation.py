"""The sentence about an unknown operation: its parts, and its length whatever is known."""

import time

import pytest

from api.submit.unknown_operation import HOW, reason
from common.store.operations.sightings import SeenWorkers

KNOWN = ["cube_sum", "square_sum"]


def test_a_similar_name_is_suggested() -> None:
    workers = SeenWorkers(4, ("cube_sum", "square_sum"), 0.0)
    assert reason("sqare_sum", KNOWN, workers) == (
        "unknown operation; similar: square_sum; known ones: cube_sum, square_sum. "
        f"4 worker processes are alive and know all of these. {HOW}"
    )


@pytest.mark.parametrize(
    ("workers", "sentence"),
    [
        (SeenWorkers(), "No worker has been seen yet."),
        (SeenWorkers(last_seen_s=1.4), "No worker is alive; the last one was seen 1 seconds ago."),
        (SeenWorkers(last_seen_s=119), "No worker is alive; the last one was seen 119 seconds ago."),
        (SeenWorkers(last_seen_s=7_200), "No worker is alive; the last one was seen 2 hours ago."),
        (SeenWorkers(last_seen_s=86_400 * 9), "No worker is alive; the last one was seen 9 days ago."),
        (SeenWorkers(1, ("square_sum",), 0.0), "1 worker process is alive and knows square_sum."),
        (SeenWorkers(2, ("a", "b"), 0.0), "2 worker processes are alive and know a, b."),
    ],
)
def test_the_workers_are_named_with_what_they_know(workers: SeenWorkers, sentence: str) -> None:
    assert reason("x", KNOWN, workers) == f"unknown operation; known ones: cube_sum, square_sum. {sentence} {HOW}"


def test_nothing_known_is_said() -> None:
    assert reason("x", [], SeenWorkers()).startswith("unknown operation; none is known. No worker")


def test_the_sentence_has_a_limit_whatever_is_known() -> None:
    known = [f"{'a' * 59}{number:05}" for number in range(10_000)]
    text = reason("b" * 1_000_000, known, SeenWorkers(5, tuple(known[:5_000]), 0.0))
    assert len(text) < 4_000
    assert "and 9980 more" in text


def test_a_long_list_costs_milliseconds_and_names_that_begin_alike_are_found_in_it() -> None:
    known = [*(f"acme.billing.send_invoice_{number}" for number in range(10_000)), "zoo.feed"]
    began = time.process_time()
    assert "similar: zoo.feed;" in reason("zoo.fed", known, SeenWorkers())
    assert time.process_time() - began < 0.1
