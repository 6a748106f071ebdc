"""The built-in operations, which can be submitted before a worker has started."""

from common.domain.retry import RetryPolicy
from common.store.operations import catalogue
from worker.operations.entry_points import BUILT_IN, operations_of_modules


def test_the_built_in_catalogue_equals_the_registry() -> None:
    specs = [operation.spec for operation in operations_of_modules(BUILT_IN).values()]
    assert catalogue.built_in() == specs
    assert catalogue.BUILT_IN.read_text() == catalogue.as_json(specs), "run `make generate`"


def test_the_built_in_operations_have_their_defaults_and_an_input_schema() -> None:
    specs = {spec.name: spec for spec in catalogue.built_in()}
    assert set(specs) == {"square_sum", "cube_sum"}
    for spec in specs.values():
        assert (spec.queue, spec.timeout_ms, spec.retry) == ("default", 300_000, RetryPolicy(3, 1.0, 300.0))
        assert spec.description
        assert spec.input_schema["required"] == ["data"]
