"""The users of the bundled Redis: each may do what its part does, and nothing else. All tests run the parts as them."""

import re
from pathlib import Path
from typing import Any

import pytest
import redis
from rig import redis_users
from rig.project_files import ROOT
from rig.system import System, until

from common.broker.change_notifications import CHANNEL
from tools.servers import Redis

DOCUMENT = ROOT / "docs" / "operate" / "redis-acl.md"
#: What an attacker would try with the password of a user.
FORBIDDEN: dict[str, list[tuple[str, ...]]] = {
    "api": [
        ("BRPOP", "jobproc.default", "0.01"),
        ("PUBLISH", CHANNEL, "x"),
        ("DEL", "jobproc.default"),
        ("SUBSCRIBE", "other"),
        ("EVAL", "return redis.call('DEL', KEYS[1])", "1", "jobproc.default"),
        ("EVAL", "return redis.call('LPUSH', 'other', 'x')", "0"),
    ],
    "worker": [
        ("DEL", "jobproc.default"),
        ("SUBSCRIBE", CHANNEL),
        ("PUBLISH", "other", "x"),
        ("LRANGE", "jobproc.default", "0", "-1"),
    ],
    "controller": [
        ("BRPOP", "jobproc.default", "0.01"),
        ("SUBSCRIBE", CHANNEL),
        ("PUBLISH", CHANNEL, "x"),
        ("SADD", "_kombu.binding.jobproc.default", "x"),
    ],
    "health": [("LLEN", "jobproc.default"), ("SUBSCRIBE", CHANNEL)],
}
FORBIDDEN_TO_ALL: list[tuple[str, ...]] = [
    ("GET", "key"),
    ("SET", "key", "value"),
    ("LPUSH", "other", "x"),
    ("KEYS", "*"),
    ("FLUSHALL",),
    ("CONFIG", "GET", "*"),
    ("CONFIG", "SET", "dir", "/tmp"),
    ("ACL", "LIST"),
    ("CLIENT", "LIST"),
    ("MONITOR",),
    ("SHUTDOWN",),
    ("MODULE", "LIST"),
    ("REPLICAOF", "127.0.0.1", "1"),
]


@pytest.mark.parametrize("user", FORBIDDEN)
def test_a_user_is_refused_what_its_part_does_not_do(redis_url: str, user: str) -> None:
    with redis.Redis.from_url(redis_users.with_user(redis_url.rpartition("/")[0], user)) as client:
        assert client.ping()
        for command in FORBIDDEN[user] + FORBIDDEN_TO_ALL:
            with pytest.raises((redis.exceptions.NoPermissionError, redis.ResponseError), match=r"(?i)permission"):
                print(command, client.execute_command(*command))


def test_the_documented_access_lists_are_those_of_the_chart() -> None:
    documented = dict(re.findall(r"^user (\S+) on >PASSWORD (.*)$", DOCUMENT.read_text(), re.MULTILINE))
    assert documented.pop("admin") == "~* &* +@all"
    assert documented == {
        name: rules.removeprefix("on ") for name, rules in redis_users.rules().items() if name != "health"
    }


def test_the_documented_file_is_loaded_and_admits_nobody_else(tmp_path: Path) -> None:
    file = tmp_path / "users.acl"
    (block,) = re.findall(r"^```\n(user default.*?)^```", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    file.write_text(block.replace("PASSWORD", redis_users.PASSWORD))
    server = DocumentedRedis(tmp_path, tmp_path / "redis.log", options=("--save", "", "--aclfile", str(file)))
    server.start()
    try:
        for user in ("api", "worker", "controller", "admin"):
            with redis.Redis.from_url(redis_users.with_user(server.url, user)) as client:
                assert client.ping()
        with server.client as stranger, pytest.raises(redis.exceptions.AuthenticationError):
            stranger.ping()
    finally:
        server.stop()


class DocumentedRedis(Redis):
    """A Redis that answers no client without a user."""

    def answers(self) -> bool:
        try:
            self.client.ping()
        except redis.exceptions.AuthenticationError:
            return True
        except redis.RedisError:
            return False
        return False


def test_nothing_that_the_parts_do_is_refused(system: System, own_redis: Redis, make_system: Any) -> None:
    refused = make_system(system.database.url, own_redis.url)
    refused.api().controller()
    job = refused.submit("square_sum", 1)  # due, so the controller rings too
    refused.worker()
    assert refused.wait(job)["status"] == "SUCCESS"
    parts = {"api", "worker", "controller"}
    until("all are connected", lambda: parts <= {client["user"] for client in own_redis.client.client_list()})
    before = own_redis.client.info("stats")["total_connections_received"]
    for connected in own_redis.client.client_list():
        if connected["user"] in parts:
            own_redis.client.client_kill_filter(_id=connected["id"])
    until(
        "the parts have connected again",
        lambda: own_redis.client.info("stats")["total_connections_received"] > before + len(parts),
    )
    with own_redis.client as client:
        client.lpush("jobproc.default", "no doorbell")
    until("the message is dropped", lambda: refused.events("worker", "invalid_message_dropped"))
    waited = refused.client.post("/jobs/?wait=10", json={"data": [1], "operation": "square_sum"}).json()
    assert waited["status"] == "SUCCESS"
    for name in ("worker", "controller", "api"):
        refused.end(name)
    assert own_redis.client.acl_log() == []
