"""The users of the chart's Redis, with which the processes of a test connect."""

import re
from pathlib import Path

from rig.project_files import ROOT

USERS = ROOT / "charts" / "jobproc" / "charts" / "redis" / "files" / "users.conf"
PASSWORD = "secret"  # noqa: S105 - of every user of a test


def rules() -> dict[str, str]:
    """Return the access list of each user but the default one, without its password."""
    lines = re.findall(r"^user (\S+) (.*)$", USERS.read_text(), re.MULTILINE)
    return {name: re.sub(r" >\S+", "", rules) for name, rules in lines if name != "default"}


def options(folder: Path) -> tuple[str, ...]:
    """Write the access list of a test's Redis; return the options that load it. The default user may do everything."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "users.acl"
    lines = [f"user {name} >{PASSWORD} {listed}" for name, listed in rules().items()]
    file.write_text("\n".join(["user default on nopass ~* &* +@all", *lines, ""]))
    return "--aclfile", str(file)


def with_user(url: str, user: str) -> str:
    """Return the URL of a test's Redis with a user, unless it has one."""
    return url.replace("redis://127.0.0.1", f"redis://{user}:{PASSWORD}@127.0.0.1")
