"""Numbers through the whole system: stored exactly as sent, their sums correctly rounded."""

import json
import math
import random
import struct
from fractions import Fraction
from typing import Any

from rig.system import System

#: JSON texts of numbers that must keep kind, value and sign.
EXACT = [
    "0", "-0.0", "0.0", "1", "-1", "1.5", "0.1", "1e308", "-1.7976931348623157e308", "5e-324", "-5e-324",
    "2.2250738585072014e-308", "1e-7", "9007199254740991", "9007199254740992", "9007199254740993", "-9007199254740993",
    "9223372036854775807", "-9223372036854775808", "9223372036854775808", "18446744073709551615", "1e22", "1E3",
    "123456789.123456789",
]  # fmt: skip
OVER_64_BITS = ["18446744073709551616", "-9223372036854775809", str(2**70), str(10**300)]


def parse_data(text: str) -> list[Any]:
    """Return the numbers of a submission's JSON."""
    return list(json.loads(text)["data"])


def same(a: Any, b: Any) -> bool:
    """Return True if two numbers are equal in type, value and sign of zero."""
    return type(a) is type(b) and a == b and math.copysign(1, a) == math.copysign(1, b)


def submit_text(system: System, *numbers: str, operation: str = "square_sum") -> str:
    response = system.client.post(
        "/jobs/",
        content=f'{{"data":[{",".join(numbers)}],"operation":"{operation}"}}',
        headers={"Content-Type": "application/json"},
    )
    assert response.status_code == 202, response.text
    return str(response.json()["job_id"])


def stored(system: System, job_id: str) -> list[Any]:
    return parse_data(system.database.value("SELECT input::text FROM jobs WHERE id = %s", (job_id,)))


def test_numbers_are_stored_and_shown_exactly_as_sent(shared_system: System) -> None:
    job_id = submit_text(shared_system, *EXACT)
    sent = parse_data(f'{{"data":[{",".join(EXACT)}]}}')
    for received in (
        stored(shared_system, job_id),
        json.loads(shared_system.client.get(f"/jobs/{job_id}").text)["input"]["data"],
    ):
        assert [same(*pair) for pair in zip(sent, received, strict=True)] == [True] * len(sent), received


def test_integers_over_64_bits_are_stored_exactly_and_change_no_other_number(shared_system: System) -> None:
    for big in OVER_64_BITS:
        numbers = ["9007199254740993", "1", "0.1", "-0.0", big]
        received = stored(shared_system, submit_text(shared_system, *numbers))
        assert [same(*pair) for pair in zip(map(json.loads, numbers), received, strict=True)] == [True] * 5, received


def oracle(numbers: list[float], power: int) -> float | None:
    """Return the correctly rounded sum of the powers of doubles, None beyond the largest double."""
    total = sum((Fraction(x) ** power for x in numbers), Fraction(0))
    if total == 0:
        return 0.0
    # Round the exact sum to 53 bits by hand, half to even: no float arithmetic in the oracle.
    sign, magnitude = (-1, -total) if total < 0 else (1, total)
    exponent = max(magnitude.numerator.bit_length() - magnitude.denominator.bit_length() - 53, -1074)
    unit = Fraction(2) ** exponent
    while magnitude / unit >= 2**53:
        exponent, unit = exponent + 1, unit * 2
    count, remainder = divmod(magnitude, unit)
    if remainder * 2 > unit or (remainder * 2 == unit and count % 2):
        count += 1
    try:
        return sign * math.ldexp(count, exponent)
    except OverflowError:
        return None


def test_the_oracle_rounds_correctly() -> None:
    assert oracle([3.0, 4.0], 2) == 25.0
    assert oracle([1e200], 2) is None
    assert oracle([5e-324], 2) == 0.0
    assert oracle([0.1] * 10, 2) != sum(x * x for x in [0.1] * 10), "plain addition is wrong in the last digits"
    assert oracle([2.0**26, 2.0**26, 1.0], 2) == 2.0**53, "half way between two doubles rounds to the even double"
    assert oracle([2.0**26, 2.0**26, 1.0, 2.0**-30], 2) == 2.0**53 + 2, "a little more than half way"
    assert oracle([2.0**-537], 2) == 5e-324
    assert oracle([1e155, -1.0], 3) is None


def random_double(rng: random.Random) -> float:
    """Return a double of any magnitude, often an edge case."""
    match rng.randrange(6):
        case 0:
            return float(rng.randint(-(2**53), 2**53))
        case 1:
            return rng.choice([0.0, -0.0, 5e-324, 1e-162, 2.0**-537, 1e154, -1e102, 2.0**53 + 2, 0.1, 1 / 3, -1e-108])
        case 2:
            return rng.uniform(-1, 1) * 10.0 ** rng.randint(-170, 150)
        case 3:
            number = struct.unpack("d", rng.randbytes(8))[0]
            return number if math.isfinite(number) and abs(number) < 1e150 else 1.0
        case 4:
            return rng.uniform(-1000, 1000)
        case _:
            return float(rng.randint(-100, 100))


def test_random_sums_are_correctly_rounded_through_the_whole_system(system: System) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    system.all()
    submissions = [
        {
            "data": [random_double(rng) for _ in range(rng.choice([1, 2, 3, 10, 50]))],
            "operation": rng.choice(["square_sum", "cube_sum"]),
        }
        for _ in range(600)
    ]
    response = system.client.post("/jobs/batch", json=submissions)
    assert response.status_code == 202, response.text
    system.wait_all()
    rows = {
        str(row[0]): row[1:]
        for row in system.database.rows("SELECT id, status, result::text, error_type FROM outcomes")
    }
    for job_id, submission in zip(response.json()["job_ids"], submissions, strict=True):
        power = 2 if submission["operation"] == "square_sum" else 3
        expected = oracle(submission["data"], power)  # type: ignore[arg-type]  # a list of floats, from above
        status, result, error = rows[job_id]
        if expected is None:
            assert (status, result, error) == ("FAILED", None, "OverflowError"), submission
        else:
            assert status == "SUCCESS", submission
            assert float(result) == expected, submission


def test_edge_cases_of_doubles_have_exact_results(system: System) -> None:
    """Largest, smallest, cancelling and rounded sums. A sum that overflows fails the job; there is no Infinity."""
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
    for job_id, (operation, numbers, expected) in zip(job_ids, edges, strict=True):
        job = system.wait(job_id)
        assert job["status"] == ("FAILED" if expected is None else "SUCCESS"), (operation, numbers[:3])
        assert job["result"] == expected, (operation, numbers[:3])
        if expected is None:
            assert job["error"]["type"] == "OverflowError"
            assert system.client.get(f"/jobs/{job_id}/result").json() == {
                "job_id": job_id,
                "status": "FAILED",
                "result": None,
                "error": {name: job["error"][name] for name in ("type", "text")},
            }
            assert job["attempt"] == 1, "a retry cannot help"
