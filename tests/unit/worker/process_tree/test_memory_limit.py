"""The memory limit of a container, from the files of both versions of control groups."""

from pathlib import Path

import pytest

from worker.process_tree.memory_limit import MemoryFiles, MemoryLimit, memory_files

MIB = 1 << 20
V1 = ("memory.oom_control", "memory.limit_in_bytes")
V2 = ("memory.events", "memory.max")


def write(folder: Path, names: tuple[str, str], kills: int, limit: object) -> MemoryFiles:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / names[0]).write_text(f"oom_kill_disable 0\nunder_oom 0\noom 4\noom_kill {kills}\noom_group_kill 9\n")
    (folder / names[1]).write_text(f"{limit}\n")
    return MemoryFiles(folder / names[0], folder / names[1])


@pytest.mark.parametrize(
    ("own_group", "folder", "names"),
    [
        ("0::/pod/worker\n", "pod/worker", V2),
        ("0::/\n", "", V2),
        ("0::/host/path/of/the/container\n", "", V2),
        ("5:cpu:/a\n4:memory:/pod/worker\n0::/\n", "memory/pod/worker", V1),
        ("4:memory:/docker/abc\n", "memory", V1),
    ],
    ids=["v2", "v2 in a namespace", "v2 without a namespace", "v1", "v1 without a namespace"],
)
def test_the_files_of_the_own_group_are_found(
    tmp_path: Path, own_group: str, folder: str, names: tuple[str, str]
) -> None:
    groups, own = tmp_path / "cgroup", tmp_path / "own"
    own.write_text(own_group)
    assert memory_files(groups, own) is None
    files = write(groups / folder, names, 0, 512 * MIB)
    assert memory_files(groups, own) == files


def test_a_system_without_groups_has_no_files(tmp_path: Path) -> None:
    assert memory_files(tmp_path, tmp_path / "none") is None
    limit = MemoryLimit(None)
    limit.tick()
    assert not limit.has_killed


@pytest.mark.parametrize("names", [V1, V2])
def test_a_kill_counts_for_two_heartbeats(tmp_path: Path, names: tuple[str, str]) -> None:
    limit = MemoryLimit(write(tmp_path, names, 3, 512 * MIB))
    assert not limit.has_killed, "kills of before its start"
    write(tmp_path, names, 4, 512 * MIB)
    assert limit.has_killed
    limit.tick()
    assert limit.has_killed, "the death may not have been seen yet"
    limit.tick()
    assert not limit.has_killed


@pytest.mark.parametrize(
    ("value", "described"),
    [
        (512 * MIB, "the memory limit of 512 MiB"),
        ("max", "the memory of the machine"),
        (9_223_372_036_854_771_712, "the memory of the machine"),
    ],
)
def test_the_limit_is_described(tmp_path: Path, value: object, described: str) -> None:
    assert MemoryLimit(write(tmp_path, V2, 0, value)).described == described


def test_the_files_of_this_system_can_be_read() -> None:
    files = memory_files()
    if files is not None:
        assert "oom_kill " in files.kills.read_text()
        assert "memory" in MemoryLimit(files).described
