"""Faults of PostgreSQL and Redis, and of the way to them."""

import contextlib
import random
import signal
import time
from collections.abc import Callable
from datetime import timedelta

import psycopg2
from rig.proxy import Proxy
from rig.system import until

from common.broker.doorbells import DoorbellMessage, celery_queue
from faults.environment import WORKERS, Place
from faults.fault import fault
from tools.servers import free_port


@fault(interrupts=False)
def redis_flushed(place: Place, chance: random.Random) -> str | None:
    """F10: FLUSHALL, several times."""
    for _ in range(5):
        place.redis.client.flushall()
        time.sleep(chance.uniform(0.05, 0.5))
    return "5 times"


@fault(interrupts=False)
def redis_killed(place: Place, chance: random.Random) -> str | None:
    """F9: SIGKILL; it comes back empty."""
    place.redis.stop(signal.SIGKILL)
    time.sleep(chance.uniform(0.1, 2))
    place.redis.start()
    return "it came back with nothing" if place.redis.client.dbsize() < 10 else None


def _ways(place: Place, chance: random.Random) -> dict[str, Proxy]:
    """Return the ways to Redis of all kinds of processes, or of one."""
    ways = place.before_redis
    return ways if chance.random() < 0.4 else dict([chance.choice(list(ways.items()))])


@fault(interrupts=False)
def redis_hangs(place: Place, chance: random.Random) -> str | None:
    """F12, F26: it takes connections and answers nothing."""
    ways = _ways(place, chance)
    for proxy in ways.values():
        proxy.hang()
    time.sleep(chance.uniform(0.5, 3))
    for proxy in ways.values():
        proxy.heal()
    return f"for {', '.join(ways)}" if any(proxy.connections for proxy in ways.values()) else None


@fault(interrupts=False)
def redis_dropped(place: Place, chance: random.Random) -> str | None:
    """F13: connections are forgotten on the way: they never end, and nothing passes."""
    ways = _ways(place, chance)
    open_ones = sum(proxy.connections for proxy in ways.values())
    for proxy in ways.values():
        proxy.drop()
    return f"{open_ones} connections of {', '.join(ways)}" if open_ones else None


@fault(interrupts=False)
def redis_reset(place: Place, chance: random.Random) -> str | None:
    """F14: its connections are reset again and again, within one look."""
    ways = _ways(place, chance)
    for _ in range(8):
        for proxy in ways.values():
            proxy.reset()
        time.sleep(chance.uniform(0.01, 0.3))
    return f"8 times for {', '.join(ways)}"


@fault(interrupts=False)
def redis_cannot_be_written(place: Place, chance: random.Random) -> str | None:
    """F15: it is a replica of one that is not there, until it is made the primary again."""
    with place.redis.client as client:
        client.replicaof("127.0.0.1", free_port())
        time.sleep(chance.uniform(0.5, 2))
        refused = client.info("errorstats").get("errorstat_READONLY", {}).get("count", 0)
        client.replicaof("NO", "ONE")
    return f"{refused} commands refused" if refused else None


@fault(interrupts=False)
def doorbells_multiplied(place: Place, chance: random.Random) -> str | None:
    """F31: each doorbell comes again and again."""
    message, key = DoorbellMessage("default"), celery_queue("default")
    with place.redis.client as client:
        for _ in range(50):
            client.lpush(key, *[message.text()] * 3)
            time.sleep(chance.uniform(0, 0.02))
    return "150 too many"


@fault(interrupts=False)
def not_doorbells(place: Place, chance: random.Random) -> str | None:
    """F32: what is no doorbell lies among them."""
    rubbish = ["", "{", "null", '{"body": 1}', "\x80", "x" * 100_000, DoorbellMessage("nowhere").text(), DoorbellMessage("default").text()[:-9]]

    def refused() -> int:
        return sum(len(place.system.events(name, "doorbell_refused")) for name in WORKERS)

    before = refused()
    with place.redis.client as client:
        for text in chance.sample(rubbish, len(rubbish)):
            client.lpush(celery_queue("default"), text)
            time.sleep(chance.uniform(0, 0.05))
    with contextlib.suppress(AssertionError):
        until("some are refused", lambda: refused() > before, 5)
    return f"{refused() - before} refused so far" if refused() > before else None


@fault(interrupts=False)
def redis_full(place: Place, chance: random.Random) -> str | None:
    """F11: no memory is left, and nothing is thrown out."""
    with place.redis.client as client:
        client.config_set("maxmemory", 1)
        time.sleep(chance.uniform(0.5, 2))
        refused = client.info("stats").get("total_error_replies", 0)
        client.config_set("maxmemory", 0)
    return f"{refused} commands refused" if refused else None


def _start_again(place: Place, chance: random.Random, sign: int) -> None:
    with place.database_away():
        place.postgres.stop(sign)
        time.sleep(chance.uniform(0, 1))
        place.postgres.start()


@fault(interrupts=True)
def postgres_restarted(place: Place, chance: random.Random) -> str | None:
    """F16: a fast restart."""
    _start_again(place, chance, signal.SIGINT)
    return "started again"


@fault(interrupts=True)
def postgres_killed(place: Place, chance: random.Random) -> str | None:
    """F17: it ends as in a crash, and recovers from its log."""
    _start_again(place, chance, signal.SIGQUIT)
    return "recovered"


@fault(interrupts=True)
def database_clock_set(place: Place, chance: random.Random) -> str | None:
    """F34: PostgreSQL's clock is wrong and, later, right again, each in one step while jobs run.

    Until it has passed every time that it has shown, so that what a step back has made late is not left to what comes after: ten
    minutes back are righted soon, ten minutes forward would have to be waited for.
    """
    seconds = chance.choice([-600, -20, 20])

    def lost() -> int:
        return sum(len(place.system.events(name, "lease_lost")) for name in WORKERS)

    with place.settable_clock() as clock:
        before, since = lost(), place.database.one("SELECT clock_timestamp()")
        clock.set(seconds)
        time.sleep(chance.uniform(1, 4))
        shown = place.database.one("SELECT clock_timestamp()")
        clock.set(0)
        with contextlib.suppress(AssertionError):
            until("the step forward has ended leases", lambda: lost() > before, 5)
        until("no time that it has shown is ahead", lambda: place.database.one("SELECT clock_timestamp() > %s", (shown,)), 30)
        over, step = place.database.one("SELECT clock_timestamp()"), timedelta(seconds=seconds)
        place.steps += [(since, over), (since + step, over + step)]
    return f"{seconds:+} s, {lost() - before} leases ended early" if lost() > before else None


@fault(interrupts=True)
def connections_terminated(place: Place, chance: random.Random) -> str | None:
    """Every connection of every process is ended, several times."""
    return place.end_connections_often(chance)


def _on_the_way(place: Place, chance: random.Random, begin: Callable[[Proxy], None], least_s: float, most_s: float, end: Callable[[Proxy], None]) -> str:
    """Let a fault of the way to PostgreSQL last for a while, for one kind of process; returns which."""
    part, proxy = chance.choice(list(place.before_postgres.items()))
    with place.database_away():
        begin(proxy)
        time.sleep(chance.uniform(least_s, most_s))
        end(proxy)
    return part


@fault(interrupts=True)
def postgres_unreachable(place: Place, chance: random.Random) -> str | None:
    """F19, F27: one kind of process cannot reach it."""
    return f"from {_on_the_way(place, chance, Proxy.refuse, 0.5, 4, Proxy.heal)}"


@fault(interrupts=True)
def answers_lost(place: Place, chance: random.Random) -> str | None:
    """F18, F28: what one kind of process says arrives, the answers do not, commits included; then the connections are reset."""

    def end(proxy: Proxy) -> None:
        proxy.reset()
        proxy.heal()

    return f"to {_on_the_way(place, chance, Proxy.swallow, 0.1, 1, end)}"


@fault(interrupts=True)
def postgres_hangs(place: Place, chance: random.Random) -> str | None:
    """F13: connections of one kind of process stand still, and go on later."""
    return f"for {_on_the_way(place, chance, Proxy.hang, 0.5, 4, Proxy.heal)}"


@fault(interrupts=True)
def postgres_slow(place: Place, chance: random.Random) -> str | None:
    """Every answer takes longer for one kind of process."""
    delay_s = chance.choice([0.01, 0.05, 0.2])
    return f"{delay_s} s more for {_on_the_way(place, chance, lambda proxy: proxy.delay(delay_s), 1, 4, Proxy.heal)}"


@fault(interrupts=True)
def postgres_out_of_connections(place: Place, chance: random.Random) -> str | None:
    """F22: others hold every connection, while ours are ended."""
    held = []
    with place.database_away():
        place.end_connections()
        try:
            while True:
                held.append(psycopg2.connect(place.postgres.url(), connect_timeout=2))
        except psycopg2.OperationalError:
            pass
        time.sleep(chance.uniform(0.5, 3))
        for connection in held:
            connection.close()
    return f"{len(held)} held by others" if held else None


@fault(interrupts=False)
def rows_locked(place: Place, chance: random.Random) -> str | None:
    """F23: somebody else locks waiting jobs for a while."""
    with contextlib.closing(psycopg2.connect(place.postgres.url())) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT id FROM live WHERE worker IS NULL LIMIT 100 FOR UPDATE SKIP LOCKED")
        locked = cursor.rowcount
        time.sleep(chance.uniform(0.2, 1))
        connection.rollback()
    return f"{locked} rows" if locked else None
