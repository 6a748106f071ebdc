"""One look at everything: memory, threads, files and connections of each process; tables, Redis, /metrics."""

import contextlib
import os
import re
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from prometheus_client.parser import text_string_to_metric_families

from common.store.schema.partitions import TABLES
from soak.environment import Place

MIB = 2**20
LISTENS = "0A"  # the state of a TCP socket that has no other end
_SUFFIX = re.compile(rf"({'|'.join(TABLES)})_(\d{{8}})")
_ACTIVITY = "SELECT pid, CASE WHEN application_name = '' THEN backend_type ELSE application_name END FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
_TABLES = "SELECT relname, pg_table_size(relid), pg_indexes_size(relid), n_tup_ins, n_dead_tup FROM pg_stat_user_tables"
_CATALOGUE = "SELECT sum(pg_total_relation_size(oid))::bigint FROM pg_class WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind = 'r'"
_ROWS = "SELECT (SELECT count(*) FROM live), (SELECT count(*) FROM workers), (SELECT coalesce(max(id), 0) FROM workers)"


@dataclass(frozen=True, slots=True)
class Look:
    """One process at one moment; memory in MiB. `unique`: what would be free without it; `shared`: anonymous memory that processes share."""

    role: str
    pid: int
    rss: float
    pss: float
    unique: float
    swap: float
    shared: float
    threads: int
    fds: int
    tcp: int

    @property
    def key(self) -> str:
        """Its series: one for each process, so a replaced one begins a new series."""
        return f"{self.role} {self.pid}"


@dataclass(frozen=True, slots=True)
class Sample:
    """Everything at one moment. `figures` that could not be read are absent."""

    at_s: float
    looks: list[Look] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)

    def written(self) -> dict[str, Any]:
        """Return it as it is written."""
        return {"at_s": round(self.at_s, 3), "processes": [asdict(look) for look in self.looks], "figures": self.figures}

    @classmethod
    def of(cls, written: dict[str, Any]) -> Self:
        """Return what was written."""
        return cls(written["at_s"], [Look(**look) for look in written["processes"]], written["figures"])


def _fields(text: str) -> dict[str, int]:
    """Return the numbers of a file of /proc by their names."""
    pairs = (line.split(":", 1) for line in text.splitlines() if ":" in line)
    return {name: int(value.split()[0]) for name, value in pairs if value.split() and value.split()[0].isdigit()}


def tcp_sockets() -> set[str]:
    """Return what the files of a process that are TCP connections link to. Read once a sample: psutil reads all of it for each process."""
    lines = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    return {f"socket:[{line[9]}]" for line in lines if line[3] != LISTENS}


def _links(folder: Path) -> Iterator[str]:
    for file in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            yield str(file.readlink())


def process(role: str, pid: int, tcp: Container[str] = ()) -> Look | None:
    """Look at a process; None when it has ended. `tcp`: from `tcp_sockets`."""
    folder = Path(f"/proc/{pid}")
    try:
        memory, status = _fields((folder / "smaps_rollup").read_text()), _fields((folder / "status").read_text())
        files = list(_links(folder / "fd"))
        return Look(
            role,
            pid,
            rss=memory["Rss"] / 1024,
            pss=memory["Pss"] / 1024,
            unique=(memory["Private_Clean"] + memory["Private_Dirty"]) / 1024,
            swap=memory["Swap"] / 1024,
            shared=status["RssShmem"] / 1024,
            threads=status["Threads"],
            fds=len(files),
            tcp=sum(file in tcp for file in files),
        )
    except (OSError, KeyError):
        return None


def tables(rows: list[tuple[Any, ...]], first_day: str) -> dict[str, float]:
    """Return sizes by table. Partitions from `first_day` on only grow, so theirs are by row; those of the past are summed."""
    figures = {"past MiB": 0.0, "past partitions": 0.0}
    sums: dict[str, Counter[str]] = {table: Counter() for table in TABLES}
    for name, table_bytes, index_bytes, inserted, dead in rows:
        partition = _SUFFIX.fullmatch(name)
        if partition and partition[2] >= first_day:
            sums[partition[1]].update({"table": table_bytes, "index": index_bytes, "rows": inserted})
        elif partition:
            figures["past MiB"] += (table_bytes + index_bytes) / MIB
            figures["past partitions"] += 1
        elif name not in TABLES:  # those are empty: their rows are in the partitions
            figures |= {f"{name} table MiB": table_bytes / MIB, f"{name} index MiB": index_bytes / MIB, f"{name} dead rows": dead}
    for name, found in sums.items():
        if found["rows"]:
            figures |= {f"{name} table bytes a row": found["table"] / found["rows"], f"{name} index bytes a row": found["index"] / found["rows"]}
        figures[f"{name} rows"] = found["rows"]
    return figures


class Sampler:
    """Looks at a place."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._database = place.system.database
        self._first_day: str = self._database.one("SELECT to_char(now() AT TIME ZONE 'UTC' - interval '1 day', 'YYYYMMDD')")
        self._redis = place.redis.client

    def take(self, at_s: float) -> Sample:
        """Take a sample."""
        figures: dict[str, float] = {}
        backends = self._database.rows(_ACTIVITY)
        names = Counter(name for _, name in backends)
        figures |= {f"connections {name}": count for name, count in names.items() if name.startswith("jobproc")}
        figures["connections all"] = len(backends)
        figures |= self._tables() | self._in_redis()
        for part, page in self._place.pages.items():
            text = page.text()
            figures[f"series {part}"] = sum(len(family.samples) for family in text_string_to_metric_families(text))
            figures[f"metrics KiB {part}"] = len(text) / 1024
        tcp = tcp_sockets()
        ours = [look for role, pid in self._place.processes() if (look := process(role, pid, tcp))]
        server = [look for pid, name in backends if (look := process(f"postgres {name}", pid, tcp))]
        figures |= sums(ours)
        figures["postgres PSS MiB"] = sum(look.pss for look in server)
        figures["load average"] = os.getloadavg()[0]
        return Sample(at_s, ours + [look for look in server if "jobproc" in look.role], {name: round(value, 3) for name, value in figures.items()})

    def _tables(self) -> dict[str, float]:
        live, workers, registered = self._database.rows(_ROWS)[0]
        found = tables(self._database.rows(_TABLES), self._first_day)
        size = found.pop("workers table MiB", 0.0) + found.pop("workers index MiB", 0.0)
        found["catalogue MiB"] = self._database.one(_CATALOGUE) / MIB
        return found | {
            "live rows": live,
            "workers rows": workers,
            "workers registered": registered,
            "workers bytes a process": size * MIB / max(1, registered),
        }

    def _in_redis(self) -> dict[str, float]:
        info: Any = self._redis.info()
        found = {"redis memory MiB": info["used_memory"] / MIB, "redis keys": float(self._redis.dbsize()), "redis clients": info["connected_clients"]}
        for queue in ("default", "mortal"):
            found[f"doorbells {queue}"] = float(self._redis.llen(f"jobproc.{queue}"))
        return found


def sums(looks: Iterable[Look]) -> dict[str, float]:
    """Return what the processes of each role have together."""
    figures: dict[str, float] = defaultdict(float)
    for look in looks:
        for name in ("threads", "fds", "tcp"):
            figures[f"{name} {look.role}"] += getattr(look, name)
        figures[f"RSS MiB {look.role}"] += look.rss + look.swap
        figures[f"shared MiB {look.role}"] += look.shared
    return dict(figures)
