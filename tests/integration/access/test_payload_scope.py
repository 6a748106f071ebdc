"""Inputs and results are for callers with the scope jobs:payload."""

import httpx
from rig.keys import client_of, new_key
from rig.system import System


def test_a_reader_without_payload_sees_no_inputs_and_no_results(owner: httpx.Client, secured: System) -> None:
    numbers = {"operation": "square_sum", "data": [7]}
    job_id = owner.post("/jobs/?wait=20", json=numbers).json()["job_id"]
    with client_of(secured, new_key(secured.database, ["jobs:read", "jobs:write"])) as reader:
        hidden, shown = reader.get(f"/jobs/{job_id}"), owner.get(f"/jobs/{job_id}")
        assert (shown.json()["input"], shown.json()["result"]) == ({"data": [7]}, 49)
        assert (hidden.json()["input"], hidden.json()["input_omitted"]) == (None, True)
        assert (hidden.json()["result"], hidden.json()["result_omitted"]) == (None, True)
        assert hidden.json()["links"] == shown.json()["links"]
        assert hidden.headers["etag"] != shown.headers["etag"]
        for path in ("result", "input", "logs"):
            assert reader.get(f"/jobs/{job_id}/{path}").status_code == 403
        waiting = reader.post("/jobs/?wait=5", json=numbers)
        assert (waiting.status_code, waiting.json()["scope"]) == (403, "jobs:payload")
        assert not {"result", "input"} & set(reader.get("/jobs/").json()["jobs"][0])
        assert '"result"' not in reader.get(f"/jobs/{job_id}/events").text


def test_the_input_of_a_manual_retry_is_hidden_too(owner: httpx.Client, secured: System) -> None:
    failed = owner.post("/jobs/?wait=20", json={"operation": "fail_for_good", "data": [1]}).json()["job_id"]
    owner.post(f"/jobs/{failed}/retry", json={"data": [2]}).raise_for_status()
    with client_of(secured, new_key(secured.database, ["jobs:read"])) as reader:
        (run,) = reader.get(f"/jobs/{failed}").json()["runs"]
        assert (run["input"], run["input_omitted"]) == (None, True)
        assert owner.get(f"/jobs/{failed}").json()["runs"][0]["input"] == {"data": [2]}
