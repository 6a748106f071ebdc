"""Rate limits of requests: by address before they authenticate, by tenant and by key, in several processes."""

import re
import signal
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from rig.keys import REQUIRED, bearer, client_of, new_key
from rig.scrape import MetricsPage
from rig.system import System, until

from api.limits.rates.request_limits import REFUSAL_PAUSE_S
from common.domain.tenancy.api_keys import ApiKeyToken
from tools.servers import Redis

RATE_LIMITED = "urn:jobproc:problem:rate-limited"
PROXY = {"JOBPROC_TRUSTED_PROXIES": "127.0.0.0/8"}  # so that a test has many addresses
MAX_REFUSAL_US = 2_000.0  # of CPU, for one wrong key beyond the limit, with the whole of HTTP


def from_address(address: str, token: str | None = None) -> dict[str, str]:
    return {"X-Forwarded-For": address} | ({} if token is None else bearer(token))


def wrong_key(key_id: str | None = None) -> str:
    token = ApiKeyToken.generate()
    return token.text if key_id is None else token.text.replace(token.id, key_id)


def statuses(client: httpx.Client, count: int, headers: dict[str, str]) -> list[int]:
    return [client.get("/jobs/", headers=headers).status_code for _ in range(count)]


@pytest.fixture
def limited(make_system: Callable[..., System], database_url: str, redis_url: str) -> Callable[..., System]:
    """Return a function that starts an API with limits, on this test's database and Redis."""

    def start(**settings: str) -> System:
        return make_system(database_url, redis_url, **{**REQUIRED, **PROXY, **settings}).api()

    return start


def test_an_address_has_a_limit_before_it_authenticates(limited: Callable[..., System]) -> None:
    system = limited(JOBPROC_MAX_REQUESTS_PER_MINUTE_PER_ADDRESS="10")
    token = new_key(system.database)
    assert statuses(system.client, 10, from_address("10.0.0.1", token)) == [200] * 10
    answer = system.client.get("/jobs/", headers=from_address("10.0.0.1"))
    assert (answer.status_code, answer.json()["type"]) == (429, RATE_LIMITED)
    assert (answer.json()["policy"], answer.json()["limit"]) == ("address", 10)
    assert answer.headers["Retry-After"] == str(answer.json()["wait_seconds"])
    assert statuses(system.client, 2, from_address("10.0.0.2", token)) == [200] * 2
    assert system.client.get("/livez", headers=from_address("10.0.0.1")).status_code == 200


def test_all_addresses_of_an_ipv6_network_are_one(limited: Callable[..., System]) -> None:
    system = limited(JOBPROC_MAX_REQUESTS_PER_MINUTE_PER_ADDRESS="5")
    token = new_key(system.database)
    same = [system.client.get("/jobs/", headers=from_address(f"2001:db8::{n:x}", token)).status_code for n in range(8)]
    assert same == [200] * 5 + [429] * 3
    assert statuses(system.client, 1, from_address("2001:db8:0:1::1", token)) == [200]


def test_a_tenant_and_a_key_have_limits_of_their_own(limited: Callable[..., System]) -> None:
    system = limited(JOBPROC_MAX_REQUESTS_PER_MINUTE_PER_TENANT="12", JOBPROC_MAX_REQUESTS_PER_MINUTE_PER_KEY="8")
    system.database.rows("INSERT INTO tenants (name) VALUES ('other')")
    first, second = new_key(system.database), new_key(system.database)
    with client_of(system, first) as client:
        assert statuses(client, 10, {}) == [200] * 8 + [429] * 2
        assert client.get("/jobs/").json()["policy"] == "key"
    with client_of(system, second) as client:
        assert statuses(client, 6, {}) == [200] * 4 + [429] * 2
        assert client.get("/jobs/").json()["policy"] == "tenant"
    with client_of(system, new_key(system.database, tenant=2)) as client:
        assert statuses(client, 8, {}) == [200] * 8


def test_responses_say_what_is_left(limited: Callable[..., System]) -> None:
    system = limited(JOBPROC_MAX_REQUESTS_PER_MINUTE_PER_TENANT="5", JOBPROC_MAX_REQUESTS_PER_MINUTE_PER_KEY="100")
    with client_of(system, new_key(system.database)) as client:
        answers = [client.get("/jobs/") for _ in range(7)]
    for number, answer in enumerate(answers[:5]):
        assert answer.headers["RateLimit-Policy"] == '"key";q=100;w=60, "tenant";q=5;w=60'
        key, tenant = re.findall(r"r=(\d+)", answer.headers["RateLimit"])
        assert (int(key), int(tenant)) == (99 - number, 4 - number)
    assert re.fullmatch(r'"tenant";r=0;t=\d+', answers[5].headers["RateLimit"])
    assert answers[5].headers["RateLimit-Policy"] == '"tenant";q=5;w=60'


def test_without_limits_no_response_has_these_fields(limited: Callable[..., System]) -> None:
    system = limited()
    with client_of(system, new_key(system.database)) as client:
        assert not {"ratelimit", "ratelimit-policy"} & set(client.get("/jobs/").headers)


def test_processes_share_a_limit_also_when_redis_is_killed_and_restarted(
    make_system: Callable[..., System], database_url: str, own_redis: Redis
) -> None:
    settings = {**REQUIRED, "JOBPROC_MAX_REQUESTS_PER_MINUTE_PER_TENANT": "40"}
    systems = [make_system(database_url, own_redis.url, **settings).api() for _ in range(2)]
    with (
        client_of(systems[0], token := new_key(systems[0].database)) as first,
        client_of(systems[1], token) as second,
    ):
        admitted = [client.get("/jobs/").status_code for _ in range(30) for client in (first, second)]
        assert 38 <= admitted.count(200) <= 40
        own_redis.stop(signal.SIGKILL)
        until("the first process admits its share", lambda: first.get("/jobs/").status_code == 200, 10)
        assert statuses(first, 50, {}).count(200) < 40 + 2, "no more than all of it: it may not know of the second"
        assert systems[0].events("api", "rate_limits_local")
        own_redis.start()
        until(
            "they count together again",
            lambda: first.get("/jobs/") and systems[0].events("api", "rate_limits_shared"),
            10,
        )
        assert second.get("/jobs/").status_code == 200


def test_wrong_keys_lock_out_their_address_alone(limited: Callable[..., System]) -> None:
    system = limited(JOBPROC_MAX_FAILED_AUTHENTICATIONS_PER_MINUTE="10")
    token = new_key(system.database)
    key_id = token.split("_")[1]
    attacker = from_address("10.0.0.1", wrong_key(key_id))
    assert system.client.get("/jobs/", headers=from_address("10.0.0.2", token)).status_code == 200
    assert statuses(system.client, 15, attacker) == [401] * 10 + [429] * 5
    answer = system.client.get("/jobs/", headers=attacker)
    assert (answer.json()["type"], answer.json()["policy"]) == (RATE_LIMITED, "failed-authentications")
    assert statuses(system.client, 1, from_address("10.0.0.1")) == [429], "without a key too"
    assert statuses(system.client, 5, from_address("10.0.0.2", token)) == [200] * 5, "the key that was guessed"
    assert statuses(system.client, 1, from_address("10.0.0.2", wrong_key(key_id))) == [401]
    assert statuses(system.client, 5, from_address("10.0.0.1", token)) == [200] * 5, "clients behind the same proxy"


def test_unknown_keys_of_an_address_are_not_looked_up_beyond_the_limit(limited: Callable[..., System]) -> None:
    system = limited(JOBPROC_MAX_FAILED_AUTHENTICATIONS_PER_MINUTE="2")
    flood = [statuses(system.client, 1, from_address("10.0.0.1", wrong_key()))[0] for _ in range(12)]
    assert flood == [401] * 2 + [429] * 10
    created = new_key(system.database)
    assert statuses(system.client, 1, from_address("10.0.0.2", created)) == [200], "a new key is found as before"


@pytest.fixture
def flooded(limited: Callable[..., System]) -> tuple[System, Path]:
    system = limited(JOBPROC_MAX_FAILED_AUTHENTICATIONS_PER_MINUTE="10", JOBPROC_LOG_LEVEL="info")
    return system, Path(f"/proc/{system.processes['api'].pid}/schedstat")


def test_a_flood_of_wrong_keys_is_cheap_and_delays_others_little(flooded: tuple[System, Path]) -> None:
    system, schedstat = flooded
    token = new_key(system.database)
    attacker = from_address("10.0.0.1", wrong_key(token.split("_")[1]))
    statuses(system.client, 20, attacker)

    def cpu_us() -> float:
        return int(schedstat.read_text().split()[0]) / 1000

    lines = len(system.events("api", "clients_refused"))
    began, before = time.monotonic(), cpu_us()
    with ThreadPoolExecutor(20) as attackers:
        answers = list(attackers.map(lambda _: statuses(system.client, 1, attacker)[0], range(200)))
    assert answers == [429] * 200
    cost_us = (cpu_us() - before) / 200
    print(f"{cost_us:.0f} microseconds of CPU for a refused wrong key")
    assert cost_us < MAX_REFUSAL_US
    seconds = time.monotonic() - began
    assert seconds > 200 / 20 * REFUSAL_PAUSE_S, "a connection sends no more than four a second"
    assert len(system.events("api", "clients_refused")) - lines <= seconds + 2
    with ThreadPoolExecutor(20) as attackers:
        flood = [attackers.submit(statuses, system.client, 10, attacker) for _ in range(20)]
        reads_s = []
        while not all(future.done() for future in flood):
            began = time.perf_counter()
            assert statuses(system.client, 1, from_address("10.0.0.2", token)) == [200]
            reads_s.append(time.perf_counter() - began)
    print(f"{statistics.median(reads_s) * 1000:.1f} ms for a read beside twenty connections with wrong keys")
    assert statistics.median(reads_s) < REFUSAL_PAUSE_S


def test_refusals_are_counted_by_reason(limited: Callable[..., System]) -> None:
    page = MetricsPage()
    system = limited(JOBPROC_MAX_FAILED_AUTHENTICATIONS_PER_MINUTE="1", JOBPROC_METRICS_PORT=page.port)
    statuses(system.client, 4, from_address("10.0.0.1"))
    assert page.samples()["jobproc_refusals_total", frozenset({("reason", "failed_authentications")})] == 3
