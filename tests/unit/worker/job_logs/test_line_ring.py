"""The ring of log lines that a worker process shares with its parent."""

import os
import threading

from worker.job_logs.line_ring import NUMBER_BYTES, AttemptLines, LineRing

ID = "01900000-0000-7000-8000-000000000001"
ENTRY_BYTES = 36  # of each line besides its text


def test_the_parent_reads_lines_in_their_order_with_their_numbers_and_bytes() -> None:
    ring, lines = LineRing(1_000), AttemptLines(ID, 2, 3)
    assert ring.is_empty
    assert ring.write(lines, b"one")
    assert ring.write(lines, b"three")
    position, entries = ring.read()
    assert [(entry.number, entry.total_bytes, entry.text) for entry in entries] == [
        (1, 3 + NUMBER_BYTES, b"one"),
        (2, 8 + 2 * NUMBER_BYTES, b"three"),
    ]
    assert {(entry.job_id, entry.run, entry.attempt) for entry in entries} == {(ID, 2, 3)}
    assert ring.read()[1] == entries, "they stay until they are freed"
    ring.write(lines, b"later")
    ring.free(position)
    assert [entry.text for entry in ring.read()[1]] == [b"later"]


def test_lines_wrap_around_the_end_of_the_memory() -> None:
    ring, lines = LineRing(200), AttemptLines(ID, 0, 1)
    for number in range(500):
        text = b"%d " % number * (number % 15)
        assert ring.write(lines, text)
        position, entries = ring.read()
        assert [(entry.number, entry.text) for entry in entries] == [(number + 1, text)]
        ring.free(position)
    assert ring.is_empty


def test_a_full_ring_takes_no_line_and_numbers_none() -> None:
    ring, lines = LineRing(3 * (ENTRY_BYTES + 10)), AttemptLines(ID, 0, 1)
    assert [ring.write(lines, b"x" * 10) for _ in range(4)] == [True, True, True, False]
    ring.free(ring.read()[0])
    assert ring.write(lines, b"x")
    assert ring.read()[1][0].number == 4


def test_threads_write_whole_lines() -> None:
    ring, lines = LineRing(1_000_000), AttemptLines(ID, 0, 1)

    def write(letter: bytes) -> None:
        for _ in range(500):
            assert ring.write(lines, letter * 50)

    threads = [threading.Thread(target=write, args=(letter,)) for letter in (b"a", b"b", b"c")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    entries = ring.read()[1]
    assert [entry.number for entry in entries] == list(range(1, 1_501))
    assert {entry.text for entry in entries} == {b"a" * 50, b"b" * 50, b"c" * 50}


def test_the_lines_of_a_process_outlive_it() -> None:
    ring = LineRing(1_000)
    if not (pid := os.fork()):
        ring.write(AttemptLines(ID, 0, 1), b"last words")
        os.kill(os.getpid(), 9)
    os.waitpid(pid, 0)
    assert [entry.text for entry in ring.read()[1]] == [b"last words"]
