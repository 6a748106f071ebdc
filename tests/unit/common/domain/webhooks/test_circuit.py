"""Times for which a circuit opens, and after which a delivery without a place tries again."""

from common.domain.webhooks.circuit import CircuitPolicy, postponement_s

POLICY = CircuitPolicy(5, 30.0, 900.0)


def test_a_circuit_opens_after_failures_in_a_row_for_longer_each_time() -> None:
    assert [POLICY.open_seconds(failures) for failures in range(4, 12)] == [None, 30, 60, 120, 240, 480, 900, 900]
    assert POLICY.open_seconds(10_000) == 900


def test_a_delivery_without_a_place_waits_longer_each_time_with_jitter() -> None:
    assert [postponement_s(released, 1.0, 1.0, 60.0) for released in (0, 1, 2, 5, 6, 900)] == [1, 2, 4, 32, 60, 60]
    assert postponement_s(0, 0.0, 1.0, 60.0) == 0.5
