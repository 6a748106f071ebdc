"""Whatever comes in: taken or refused, never an error of the server."""

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rig.system import System

ODD = [
    "NaN",
    "Infinity",
    "-Infinity",
    "1e400",
    "-1e999",
    "-0",
    "1e-400",
    "9" * 400,
    '"\\ud800"',
    '"\\udfff"',
    '"\\u0000"',
    '"\x00"',
    "tru",
    "01",
    "1.",
    "",
    "\ufeff1",
]
NAMES = ["data", "operation", "Data", "", "\x00", "__proto__", "data.0", "☃", "k" * 300]
#: JSON text, or nearly: values of every kind, some that no reader should take, names that come twice.
anything = st.recursive(
    st.one_of(
        st.sampled_from(ODD),
        st.sampled_from(["null", "true", "1", "-1.5", '"square_sum"', "[]", "{}", "[1,2,3]"]),
        st.integers().map(str),
        st.floats().map(json.dumps),
        st.text(max_size=8).map(json.dumps),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(lambda parts: f"[{','.join(parts)}]"),
        st.lists(st.tuples(st.sampled_from(NAMES).map(json.dumps), inner), max_size=4).map(
            lambda pairs: f"{{{','.join(f'{name}:{value}' for name, value in pairs)}}}"
        ),
    ),
    max_leaves=12,
)
submissions = st.tuples(anything, st.one_of(st.sampled_from(['"square_sum"', '"cube_sum"', '"nope"']), anything)).map(
    lambda parts: f'{{"data":{parts[0]},"operation":{parts[1]}}}'
)
bodies = st.one_of(st.binary(max_size=60), *(texts.map(lambda text: text.encode(errors="surrogatepass")) for texts in (anything, submissions)))


@given(bodies, st.sampled_from(["/jobs/", "/jobs/batch"]))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_body_is_too_much_for_the_server(shared_system: System, raw: bytes, path: str) -> None:
    count = "SELECT count(*) FROM jobs"
    before = shared_system.database.one(count)
    answer = shared_system.client.post(path, content=raw, headers={"Content-Type": "application/json"})
    stored = shared_system.database.one(count) - before
    body: dict[str, Any] = answer.json()
    if answer.status_code == 202:
        assert stored == (1 if path == "/jobs/" else len(body["job_ids"]))
        return
    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"] == "application/problem+json"
    assert body["type"] in {f"urn:jobproc:problem:{kind}" for kind in ("malformed-json", "invalid-body", "unknown-operation")}
    assert stored == 0
    assert len(answer.content) < 8_192
    assert answer.elapsed.total_seconds() < 1
