"""The chunks in which lines are stored."""

import json

from worker.job_logs.line_ring import NUMBER_BYTES, AttemptLines, LineRing
from worker.job_logs.storage import MAX_CHUNK_BYTES, chunks

IDS = [f"01900000-0000-7000-8000-00000000000{number}" for number in range(3)]


def ring_of(*texts: tuple[str, str]) -> LineRing:
    """Return a ring with lines of attempts, each the id of its job and a message."""
    ring, lines = LineRing(1 << 22), {job_id: AttemptLines(job_id, 0, 1) for job_id in IDS}
    for job_id, message in texts:
        assert ring.write(lines[job_id], json.dumps({"message": message}).encode())
    return ring


def test_lines_are_stored_by_attempt_with_their_numbers() -> None:
    ring = ring_of((IDS[0], "a"), (IDS[1], "b"), (IDS[0], "c"))
    found = [(chunk.job_id, chunk.last_line, json.loads(chunk.lines)) for chunk in chunks(ring.read()[1], 65_536)]
    assert found == [
        (IDS[0], 2, [{"line": 1, "message": "a"}, {"line": 2, "message": "c"}]),
        (IDS[1], 1, [{"line": 1, "message": "b"}]),
    ]


def test_only_the_last_bytes_of_an_attempt_are_stored_in_chunks_of_an_eighth_at_most() -> None:
    ring = ring_of(*((IDS[0], "x" * (85 - NUMBER_BYTES)) for _ in range(1_000)), (IDS[1], "other"))
    found = list(chunks(ring.read()[1], 8_000))
    assert found[-1].job_id == IDS[1]
    of_first = [json.loads(chunk.lines) for chunk in found[:-1]]
    assert [line["line"] for lines in of_first for line in lines] == list(range(921, 1_001)), "100 bytes each"
    assert {len(lines) for lines in of_first} == {10}
    assert [chunk.total_bytes for chunk in found[:-1]] == list(range(93_000, 100_001, 1_000))


def test_a_line_above_every_limit_is_a_chunk() -> None:
    ring = ring_of((IDS[0], "x" * MAX_CHUNK_BYTES), (IDS[0], "y" * MAX_CHUNK_BYTES))
    assert [chunk.last_line for chunk in chunks(ring.read()[1], 65_536)] == [1, 2]
    assert [chunk.last_line for chunk in chunks(ring.read()[1], 100)] == [2]
