"""Samples of the system: memory, threads, files and connections of each process; tables, Redis, /metrics."""

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
from soak.environment import CRASHING_QUEUE, SoakEnvironment

MIB = 2**20
LISTENING = "0A"  # the state of a TCP socket without a peer
_SUFFIX = re.compile(rf"({'|'.join(TABLES)})_(\d{{8}})")
_ACTIVITY = """
SELECT pid, CASE WHEN application_name = '' THEN backend_type ELSE application_name END
FROM pg_stat_activity WHERE pid <> pg_backend_pid()
"""
_TABLES = "SELECT relname, pg_table_size(relid), pg_indexes_size(relid), n_tup_ins, n_dead_tup FROM pg_stat_user_tables"
_CATALOGUE = """
SELECT sum(pg_total_relation_size(oid))::bigint FROM pg_class
WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind = 'r'
"""
_ROWS = "SELECT (SELECT count(*) FROM live), (SELECT count(*) FROM workers), (SELECT coalesce(max(id), 0) FROM workers)"


@dataclass(frozen=True, slots=True)
class ProcessSample:
    """One process at one moment; memory in MiB.

    `unique`: memory that would be free without it. `shared`: anonymous memory that it shares with other processes.
    """

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
        """The name of its series. A process that replaces another one begins a new series."""
        return f"{self.role} {self.pid}"


@dataclass(frozen=True, slots=True)
class Sample:
    """The whole system at one moment. `figures` that could not be read are absent."""

    at_s: float
    processes: list[ProcessSample] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the sample as a JSON object."""
        return {
            "at_s": round(self.at_s, 3),
            "processes": [asdict(process) for process in self.processes],
            "figures": self.figures,
        }

    @classmethod
    def from_json(cls, entry: dict[str, Any]) -> Self:
        """Return the sample of a JSON object."""
        processes = [ProcessSample(**process) for process in entry["processes"]]
        return cls(entry["at_s"], processes, entry["figures"])


def _fields(text: str) -> dict[str, int]:
    """Return the numbers of a file of /proc, by name."""
    pairs = (line.split(":", 1) for line in text.splitlines() if ":" in line)
    return {name: int(value.split()[0]) for name, value in pairs if value.split() and value.split()[0].isdigit()}


def tcp_sockets() -> set[str]:
    """Return the link targets of file descriptors that are TCP connections.

    They are read once for a sample; psutil reads all of them for each process.
    """
    lines = [
        line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
    ]
    return {f"socket:[{line[9]}]" for line in lines if line[3] != LISTENING}


def _links(folder: Path) -> Iterator[str]:
    for file in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            yield str(file.readlink())


def sample_process(role: str, pid: int, tcp: Container[str] = ()) -> ProcessSample | None:
    """Return a sample of a process, None if it has ended. `tcp`: from `tcp_sockets`."""
    folder = Path(f"/proc/{pid}")
    try:
        memory, status = _fields((folder / "smaps_rollup").read_text()), _fields((folder / "status").read_text())
        files = list(_links(folder / "fd"))
        return ProcessSample(
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


def table_figures(rows: list[tuple[Any, ...]], first_day: str) -> dict[str, float]:
    """Return the sizes of tables.

    Partitions from `first_day` on only grow, so their sizes are in bytes a row. Those of the past are summed up.
    """
    figures = {"past MiB": 0.0, "past partitions": 0.0}
    totals: dict[str, Counter[str]] = {table: Counter() for table in TABLES}
    for name, table_bytes, index_bytes, inserted, dead in rows:
        partition = _SUFFIX.fullmatch(name)
        if partition and partition[2] >= first_day:
            totals[partition[1]].update({"table": table_bytes, "index": index_bytes, "rows": inserted})
        elif partition:
            figures["past MiB"] += (table_bytes + index_bytes) / MIB
            figures["past partitions"] += 1
        elif name not in TABLES:  # partitioned tables are empty themselves
            figures |= {
                f"{name} table MiB": table_bytes / MIB,
                f"{name} index MiB": index_bytes / MIB,
                f"{name} dead rows": dead,
            }
    for name, sizes in totals.items():
        if sizes["rows"]:
            figures |= {
                f"{name} table bytes a row": sizes["table"] / sizes["rows"],
                f"{name} index bytes a row": sizes["index"] / sizes["rows"],
            }
        figures[f"{name} rows"] = sizes["rows"]
    return figures


class Sampler:
    """Takes samples of an environment."""

    def __init__(self, environment: SoakEnvironment) -> None:
        self._environment = environment
        self._database = environment.system.database
        self._first_day: str = self._database.value(
            "SELECT to_char(now() AT TIME ZONE 'UTC' - interval '1 day', 'YYYYMMDD')"
        )
        self._redis = environment.redis.client

    def take(self, at_s: float) -> Sample:
        """Take a sample."""
        figures: dict[str, float] = {}
        backends = self._database.rows(_ACTIVITY)
        names = Counter(name for _, name in backends)
        figures |= {f"connections {name}": count for name, count in names.items() if name.startswith("jobproc")}
        figures["connections all"] = len(backends)
        figures |= self._table_figures() | self._redis_figures()
        for part, page in self._environment.pages.items():
            text = page.text()
            figures[f"series {part}"] = sum(len(family.samples) for family in text_string_to_metric_families(text))
            figures[f"metrics KiB {part}"] = len(text) / 1024
        tcp = tcp_sockets()
        product = [sample for role, pid in self._environment.processes() if (sample := sample_process(role, pid, tcp))]
        postgres = [sample for pid, name in backends if (sample := sample_process(f"postgres {name}", pid, tcp))]
        figures |= role_figures(product)
        figures["postgres PSS MiB"] = sum(backend.pss for backend in postgres)
        figures["load average"] = os.getloadavg()[0]
        return Sample(
            at_s,
            product + [backend for backend in postgres if "jobproc" in backend.role],
            {name: round(value, 3) for name, value in figures.items()},
        )

    def _table_figures(self) -> dict[str, float]:
        live, workers, registered = self._database.rows(_ROWS)[0]
        figures = table_figures(self._database.rows(_TABLES), self._first_day)
        size = figures.pop("workers table MiB", 0.0) + figures.pop("workers index MiB", 0.0)
        figures["catalogue MiB"] = self._database.value(_CATALOGUE) / MIB
        return figures | {
            "live rows": live,
            "workers rows": workers,
            "workers registered": registered,
            "workers bytes a process": size * MIB / max(1, registered),
        }

    def _redis_figures(self) -> dict[str, float]:
        info: Any = self._redis.info()
        figures = {
            "redis memory MiB": info["used_memory"] / MIB,
            "redis keys": float(self._redis.dbsize()),
            "redis clients": info["connected_clients"],
        }
        for queue in ("default", CRASHING_QUEUE):
            figures[f"doorbells {queue}"] = float(self._redis.llen(f"jobproc.{queue}"))
        return figures


def role_figures(processes: Iterable[ProcessSample]) -> dict[str, float]:
    """Return the sums of the processes of each role."""
    figures: dict[str, float] = defaultdict(float)
    for process in processes:
        for name in ("threads", "fds", "tcp"):
            figures[f"{name} {process.role}"] += getattr(process, name)
        figures[f"RSS MiB {process.role}"] += process.rss + process.swap
        figures[f"shared MiB {process.role}"] += process.shared
    return dict(figures)
