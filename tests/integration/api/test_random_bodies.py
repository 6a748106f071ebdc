"""Random bodies are accepted or refused, and never cause an internal error."""

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
#: JSON or almost JSON: values of every kind, invalid values, duplicate names.
json_texts = st.recursive(
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
submissions = st.tuples(
    json_texts, st.one_of(st.sampled_from(['"square_sum"', '"cube_sum"', '"nope"']), json_texts)
).map(lambda parts: f'{{"data":{parts[0]},"operation":{parts[1]}}}')
bodies = st.one_of(
    st.binary(max_size=60),
    *(texts.map(lambda text: text.encode(errors="surrogatepass")) for texts in (json_texts, submissions)),
)


@given(bodies, st.sampled_from(["/jobs/", "/jobs/batch"]))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_random_body_causes_an_internal_error(shared_system: System, raw: bytes, path: str) -> None:
    count = "SELECT count(*) FROM jobs"
    jobs_before = shared_system.database.value(count)
    response = shared_system.client.post(path, content=raw, headers={"Content-Type": "application/json"})
    stored = shared_system.database.value(count) - jobs_before
    body: dict[str, Any] = response.json()
    if response.status_code == 202:
        assert stored == (1 if path == "/jobs/" else len(body["job_ids"]))
        return
    assert response.status_code in (400, 422)
    assert response.headers["content-type"] == "application/problem+json"
    assert body["type"] in {
        f"urn:jobproc:problem:{kind}" for kind in ("malformed-json", "invalid-body", "unknown-operation")
    }
    assert stored == 0
    assert len(response.content) < 8_192
    assert response.elapsed.total_seconds() < 5
