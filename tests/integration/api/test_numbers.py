"""Numbers: stored as they were sent, and their sums correctly rounded, through the whole system."""

import json
import math
import random
import struct
from fractions import Fraction
from typing import Any

from rig.system import System

#: Each as JSON text and as what Python reads of it.
EXACT = [
    "0", "-0.0", "0.0", "1", "-1", "1.5", "0.1", "1e308", "-1.7976931348623157e308", "5e-324", "-5e-324", "2.2250738585072014e-308", "1e-7",
    "9007199254740991", "9007199254740992", "9007199254740993", "-9007199254740993", "9223372036854775807", "-9223372036854775808",
    "9223372036854775808", "18446744073709551615", "1e22", "1E3", "123456789.123456789",
]  # fmt: skip
PAST_64_BITS = ["18446744073709551616", "-9223372036854775809", str(2**70), str(10**300)]


def read(text: str) -> list[Any]:
    """Return the numbers of a submission's JSON."""
    return list(json.loads(text)["data"])


def same(one: Any, other: Any) -> bool:
    """Return whether two numbers are the same in kind, value and sign of zero."""
    return type(one) is type(other) and one == other and math.copysign(1, one) == math.copysign(1, other)


def submit_text(system: System, *numbers: str, operation: str = "square_sum") -> str:
    answer = system.client.post("/jobs/", content=f'{{"data":[{",".join(numbers)}],"operation":"{operation}"}}', headers={"Content-Type": "application/json"})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["job_id"])


def stored(system: System, job_id: str) -> list[Any]:
    return read(system.database.one("SELECT input::text FROM jobs WHERE id = %s", (job_id,)))


def test_numbers_are_stored_and_shown_as_they_were_sent(shared_system: System) -> None:
    job_id = submit_text(shared_system, *EXACT)
    sent = read(f'{{"data":[{",".join(EXACT)}]}}')
    for found in (stored(shared_system, job_id), json.loads(shared_system.client.get(f"/jobs/{job_id}").text)["input"]["data"]):
        assert [same(*pair) for pair in zip(sent, found, strict=True)] == [True] * len(sent), found


def test_integers_past_64_bits_are_stored_as_they_were_sent_and_change_no_neighbour(shared_system: System) -> None:
    for big in PAST_64_BITS:
        numbers = ["9007199254740993", "1", "0.1", "-0.0", big]
        found = stored(shared_system, submit_text(shared_system, *numbers))
        assert [same(*pair) for pair in zip(map(json.loads, numbers), found, strict=True)] == [True] * 5, found


def oracle(numbers: list[float], power: int) -> float | None:
    """Return the correctly rounded sum of the powers of doubles, None past the largest double."""
    total = sum((Fraction(x) ** power for x in numbers), Fraction(0))
    if total == 0:
        return 0.0
    # Round the exact sum to 53 bits by hand, half to even: no float arithmetic in the oracle.
    sign, size = (-1, -total) if total < 0 else (1, total)
    exponent = max(size.numerator.bit_length() - size.denominator.bit_length() - 53, -1074)
    unit = Fraction(2) ** exponent
    while size / unit >= 2**53:
        exponent, unit = exponent + 1, unit * 2
    count, rest = divmod(size, unit)
    if rest * 2 > unit or (rest * 2 == unit and count % 2):
        count += 1
    try:
        return sign * math.ldexp(count, exponent)
    except OverflowError:
        return None


def test_the_oracle_can_tell_right_from_wrong() -> None:
    assert oracle([3.0, 4.0], 2) == 25.0
    assert oracle([1e200], 2) is None
    assert oracle([5e-324], 2) == 0.0
    assert oracle([0.1] * 10, 2) != sum(x * x for x in [0.1] * 10), "plain addition is off by some units in the last place"
    assert oracle([2.0**26, 2.0**26, 1.0], 2) == 2.0**53, "half way between two doubles: to the even one"
    assert oracle([2.0**26, 2.0**26, 1.0, 2.0**-30], 2) == 2.0**53 + 2, "a little more than half way"
    assert oracle([2.0**-537], 2) == 5e-324
    assert oracle([1e155, -1.0], 3) is None


def some_double(chance: random.Random) -> float:
    """Return a double of any size, often one at an edge."""
    match chance.randrange(6):
        case 0:
            return float(chance.randint(-(2**53), 2**53))
        case 1:
            return chance.choice([0.0, -0.0, 5e-324, 1e-162, 2.0**-537, 1e154, -1e102, 2.0**53 + 2, 0.1, 1 / 3, -1e-108])
        case 2:
            return chance.uniform(-1, 1) * 10.0 ** chance.randint(-170, 150)
        case 3:
            found = struct.unpack("d", chance.randbytes(8))[0]
            return found if math.isfinite(found) and abs(found) < 1e150 else 1.0
        case 4:
            return chance.uniform(-1000, 1000)
        case _:
            return float(chance.randint(-100, 100))


def test_random_sums_are_correctly_rounded_through_the_whole_system(system: System) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    system.all()
    submissions = [
        {"data": [some_double(chance) for _ in range(chance.choice([1, 2, 3, 10, 50]))], "operation": chance.choice(["square_sum", "cube_sum"])}
        for _ in range(600)
    ]
    answer = system.client.post("/jobs/batch", json=submissions)
    assert answer.status_code == 202, answer.text
    system.wait_all()
    rows = {str(row[0]): row[1:] for row in system.database.rows("SELECT id, status, result::text, error_type FROM outcomes")}
    for job_id, submission in zip(answer.json()["job_ids"], submissions, strict=True):
        wanted = oracle(submission["data"], 2 if submission["operation"] == "square_sum" else 3)  # type: ignore[arg-type]  # as it was made above
        status, result, error = rows[job_id]
        if wanted is None:
            assert (status, result, error) == ("FAILED", None, "OverflowError"), submission
        else:
            assert status == "SUCCESS", submission
            assert float(result) == wanted, submission


def test_edges_of_the_doubles_have_their_results(system: System) -> None:
    """The largest, the smallest, what cancels, what is past 2**53; overflow is a failed job, not Infinity."""
    system.all()
    edges: list[tuple[str, list[str], float | None]] = [
        ("square_sum", ["1", "2", "3"], 14.0),
        ("square_sum", ["9007199254740993"], 9007199254740992.0**2),
        ("square_sum", [str(2**70)], 2.0**140),
        ("square_sum", ["1e154", "1e154"], None),
        ("square_sum", ["67108864", "67108864", "1"], 2.0**53),
        ("square_sum", ["67108864", "67108864", "1", "1e-9"], 2.0**53 + 2),
        ("square_sum", ["1e200"], None),
        ("square_sum", ["1.7976931348623157e308"], None),
        ("square_sum", ["5e-324", "-0.0"], 0.0),
        ("square_sum", ["1.3407807929942596e154"], oracle([1.3407807929942596e154], 2)),
        ("cube_sum", ["1e100", "1", "-1e100"], 1.0),
        ("cube_sum", ["1e103", "-1e103", "5"], 125.0),
        ("cube_sum", ["-0.0"], 0.0),
        ("cube_sum", ["-1e110"], None),
        ("cube_sum", ["0.1"] * 10_000, oracle([0.1] * 10_000, 3)),
    ]
    job_ids = [submit_text(system, *numbers, operation=operation) for operation, numbers, _ in edges]
    for job_id, (operation, numbers, wanted) in zip(job_ids, edges, strict=True):
        job = system.wait(job_id)
        assert job["status"] == ("FAILED" if wanted is None else "SUCCESS"), (operation, numbers[:3])
        assert job["result"] == wanted, (operation, numbers[:3])
        if wanted is None:
            assert job["error"]["type"] == "OverflowError"
            assert system.client.get(f"/jobs/{job_id}/result").json() == {"job_id": job_id, "status": "FAILED", "result": None}
            assert job["attempt"] == 1, "trying again cannot mend it"
