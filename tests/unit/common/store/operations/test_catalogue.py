"""The operations that are known before a worker has started."""

from common.domain.retry import RetryPolicy
from common.store.operations import catalogue
from worker.operations.registry import BUILT_IN, of_modules


def test_the_built_in_catalogue_is_what_the_registry_has() -> None:
    specs = [operation.spec for operation in of_modules(BUILT_IN).values()]
    assert catalogue.built_in() == specs
    assert catalogue.BUILT_IN.read_text() == catalogue.as_json(specs), "run `make generate`"


def test_it_has_the_operations_of_the_first_day_with_their_defaults() -> None:
    known = {spec.name: spec for spec in catalogue.built_in()}
    assert set(known) == {"square_sum", "cube_sum"}
    for spec in known.values():
        assert (spec.queue, spec.timeout_ms, spec.retry) == ("default", 300_000, RetryPolicy(3, 1.0, 300.0))
        assert spec.description
        assert spec.input_schema["required"] == ["data"]
