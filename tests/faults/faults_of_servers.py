"""Faults of PostgreSQL and Redis, and of the network to them."""

import contextlib
import random
import signal
import time
from collections.abc import Callable
from datetime import timedelta

import psycopg2
from rig.proxy import Proxy
from rig.servers import kill_backend
from rig.system import until

from common.broker.doorbells import DoorbellMessage, celery_queue
from faults.environment import WORKERS, LocalEnvironment
from faults.fault import fault
from tools.servers import free_port


@fault(interrupts=False)
def redis_flushed(environment: LocalEnvironment, chance: random.Random) -> str | None:
    """F10: FLUSHALL, five times."""
    for _ in range(5):
        environment.redis.client.flushall()
        time.sleep(chance.uniform(0.05, 0.5))
    return "5 times"


@fault(interrupts=False)
def redis_killed(environment: LocalEnvironment, chance: random.Random) -> str | None:
    """F9: kill Redis, and start it empty."""
    environment.redis.stop(signal.SIGKILL)
    time.sleep(chance.uniform(0.1, 2))
    environment.redis.start()
    return "started empty" if environment.redis.client.dbsize() < 10 else None


def _redis_proxies(environment: LocalEnvironment, chance: random.Random) -> dict[str, Proxy]:
    """Return the proxies to Redis of all parts, or of a random one."""
    proxies = environment.redis_proxies
    return proxies if chance.random() < 0.4 else dict([chance.choice(list(proxies.items()))])


@fault(interrupts=False)
def redis_hangs(environment: LocalEnvironment, chance: random.Random) -> str | None:
    """F12, F26: Redis accepts connections and answers nothing."""
    proxies = _redis_proxies(environment, chance)
    for proxy in proxies.values():
        proxy.hang()
    time.sleep(chance.uniform(0.5, 3))
    for proxy in proxies.values():
        proxy.heal()
    return f"for {', '.join(proxies)}" if any(proxy.connections for proxy in proxies.values()) else None


@fault(interrupts=False)
def redis_dropped(environment: LocalEnvironment, chance: random.Random) -> str | None:
    """F13: drop connections silently: they never end, and no byte passes."""
    proxies = _redis_proxies(environment, chance)
    open_count = sum(proxy.connections for proxy in proxies.values())
    for proxy in proxies.values():
        proxy.drop()
    return f"{open_count} connections of {', '.join(proxies)}" if open_count else None


@fault(interrupts=False)
def redis_reset(environment: LocalEnvironment, chance: random.Random) -> str | None:
    """F14: reset the connections to Redis repeatedly, within one poll interval."""
    proxies = _redis_proxies(environment, chance)
    for _ in range(8):
        for proxy in proxies.values():
            proxy.reset()
        time.sleep(chance.uniform(0.01, 0.3))
    return f"8 times for {', '.join(proxies)}"


@fault(interrupts=False)
def redis_read_only(environment: LocalEnvironment, chance: random.Random) -> str | None:
    """F15: make Redis a replica of an unavailable primary, later the primary again."""
    with environment.redis.client as client:
        client.replicaof("127.0.0.1", free_port())
        time.sleep(chance.uniform(0.5, 2))
        refused = client.info("errorstats").get("errorstat_READONLY", {}).get("count", 0)
        client.replicaof("NO", "ONE")
    return f"{refused} commands refused" if refused else None


@fault(interrupts=False)
def doorbells_duplicated(environment: LocalEnvironment, chance: random.Random) -> str | None:
    """F31: send 150 superfluous doorbells."""
    message, key = DoorbellMessage("default"), celery_queue("default")
    with environment.redis.client as client:
        for _ in range(50):
            client.lpush(key, *[message.text()] * 3)
            time.sleep(chance.uniform(0, 0.02))
    return "150 superfluous"


@fault(interrupts=False)
def invalid_messages(environment: LocalEnvironment, chance: random.Random) -> str | None:
    """F32: put messages that are no doorbells into the queue."""
    messages = [
        "",
        "{",
        "null",
        '{"body": 1}',
        "\x80",
        "x" * 100_000,
        DoorbellMessage("nowhere").text(),
        DoorbellMessage("default").text()[:-9],
    ]

    def dropped() -> int:
        lines = [line for name in WORKERS for line in environment.system.events(name, "invalid_message_dropped")]
        return sum(line["count"] for line in lines)

    before = dropped()
    with environment.redis.client as client:
        for text in chance.sample(messages, len(messages)):
            client.lpush(celery_queue("default"), text)
            time.sleep(chance.uniform(0, 0.05))
    with contextlib.suppress(AssertionError):
        until("some are dropped", lambda: dropped() > before, 5)
    return f"{dropped() - before} dropped so far" if dropped() > before else None


@fault(interrupts=False)
def redis_full(environment: LocalEnvironment, chance: random.Random) -> str | None:
    """F11: Redis is out of memory and evicts nothing."""
    with environment.redis.client as client:
        client.config_set("maxmemory", 1)
        time.sleep(chance.uniform(0.5, 2))
        refused = client.info("stats").get("total_error_replies", 0)
        client.config_set("maxmemory", 0)
    return f"{refused} commands refused" if refused else None


def _restart(environment: LocalEnvironment, chance: random.Random, sign: int) -> None:
    with environment.database_unavailable():
        environment.postgres.stop(sign)
        time.sleep(chance.uniform(0, 1))
        environment.postgres.start()


@fault(interrupts=True)
def postgres_restarted(environment: LocalEnvironment, chance: random.Random) -> str | None:
    """F16: restart PostgreSQL (fast shutdown)."""
    _restart(environment, chance, signal.SIGINT)
    return "started again"


@fault(interrupts=True)
def postgres_killed(environment: LocalEnvironment, chance: random.Random) -> str | None:
    """F17: PostgreSQL ends as in a crash, and recovers from its log."""
    _restart(environment, chance, signal.SIGQUIT)
    return "recovered"


@fault(interrupts=True)
def postgres_backends_killed(environment: LocalEnvironment, chance: random.Random) -> str | None:
    """F17: kill a process of PostgreSQL that serves jobproc, ten times, at random moments of claims, settles, ticks."""
    killed = list[str]()
    with environment.database_unavailable():
        for _ in range(10):
            time.sleep(chance.uniform(0, 0.5))
            if name := kill_backend(environment.database, chance):
                killed.append(name.removeprefix("jobproc-"))
    return ", ".join(killed) or None


@fault(interrupts=True)
def database_clock_set(environment: LocalEnvironment, chance: random.Random) -> str | None:
    """F34: PostgreSQL's clock is wrong and, later, right again, each in one step while jobs run.

    The fault lasts until the clock has passed every time that it has shown, so no job is late because of it afterwards.
    Ten minutes back are set right soon; ten minutes forward would last for ten minutes.
    """
    seconds = chance.choice([-600, -20, 20])

    def leases_lost() -> int:
        return sum(len(environment.system.events(name, "lease_lost")) for name in WORKERS)

    with environment.settable_clock() as clock:
        before, since = leases_lost(), environment.database.value("SELECT clock_timestamp()")
        clock.set(seconds)
        time.sleep(chance.uniform(1, 4))
        shown = environment.database.value("SELECT clock_timestamp()")
        clock.set(0)
        with contextlib.suppress(AssertionError):
            until("the step forward has ended leases", lambda: leases_lost() > before, 5)
        until(
            "the clock has passed every time that it has shown",
            lambda: environment.database.value("SELECT clock_timestamp() > %s", (shown,)),
            30,
        )
        over, step = environment.database.value("SELECT clock_timestamp()"), timedelta(seconds=seconds)
        environment.clock_steps += [(since, over), (since + step, over + step)]
    count = leases_lost() - before
    return f"{seconds:+} s, {count} leases ended early" if count > 0 else None


@fault(interrupts=True)
def connections_terminated(environment: LocalEnvironment, chance: random.Random) -> str | None:
    """Terminate every connection of every process, several times."""
    return environment.end_connections_repeatedly(chance)


def _break_network(
    environment: LocalEnvironment,
    chance: random.Random,
    begin: Callable[[Proxy], None],
    min_s: float,
    max_s: float,
    end: Callable[[Proxy], None],
) -> str:
    """Break the network between PostgreSQL and one part for a random time, and return the part."""
    part, proxy = chance.choice(list(environment.postgres_proxies.items()))
    with environment.database_unavailable():
        begin(proxy)
        time.sleep(chance.uniform(min_s, max_s))
        end(proxy)
    return part


@fault(interrupts=True)
def postgres_unreachable(environment: LocalEnvironment, chance: random.Random) -> str | None:
    """F19, F27: one part cannot reach PostgreSQL."""
    return f"from {_break_network(environment, chance, Proxy.refuse, 0.5, 4, Proxy.heal)}"


@fault(interrupts=True)
def answers_lost(environment: LocalEnvironment, chance: random.Random) -> str | None:
    """F18, F28: statements and commits of one part arrive, but their answers are lost; then reset the connections."""

    def end(proxy: Proxy) -> None:
        proxy.reset()
        proxy.heal()

    return f"to {_break_network(environment, chance, Proxy.swallow, 0.1, 1, end)}"


@fault(interrupts=True)
def postgres_hangs(environment: LocalEnvironment, chance: random.Random) -> str | None:
    """F13: connections of one part hang, and resume later."""
    return f"for {_break_network(environment, chance, Proxy.hang, 0.5, 4, Proxy.heal)}"


@fault(interrupts=True)
def postgres_slow(environment: LocalEnvironment, chance: random.Random) -> str | None:
    """Delay every answer of PostgreSQL to one part."""
    delay_s = chance.choice([0.01, 0.05, 0.2])
    part = _break_network(environment, chance, lambda proxy: proxy.delay(delay_s), 1, 4, Proxy.heal)
    return f"{delay_s} s more for {part}"


@fault(interrupts=True)
def postgres_out_of_connections(environment: LocalEnvironment, chance: random.Random) -> str | None:
    """F22: terminate our connections while other clients hold all free ones."""
    held = []
    with environment.database_unavailable():
        environment.end_connections()
        try:
            while True:
                held.append(psycopg2.connect(environment.postgres.url(), connect_timeout=2))
        except psycopg2.OperationalError:
            pass
        time.sleep(chance.uniform(0.5, 3))
        for connection in held:
            connection.close()
    return f"{len(held)} held by other clients" if held else None


@fault(interrupts=False)
def rows_locked(environment: LocalEnvironment, chance: random.Random) -> str | None:
    """F23: another session locks waiting jobs for a while."""
    with contextlib.closing(psycopg2.connect(environment.postgres.url())) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT id FROM live WHERE worker IS NULL LIMIT 100 FOR UPDATE SKIP LOCKED")
        locked = cursor.rowcount
        time.sleep(chance.uniform(0.2, 1))
        connection.rollback()
    return f"{locked} rows" if locked else None
