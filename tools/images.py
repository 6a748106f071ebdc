"""`python -m tools.images`: list the images that this repository names by a tag, which may get another content.

Without a tag, or with `latest`, an image gets another content at any time: that is an error. `--release` makes an error
of every image without a digest.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml  # type: ignore[import-untyped]  # PyYAML carries no types

from common.command_line import command_line
from tools import ROOT

DOCKERFILES = ("Dockerfile.api", "Dockerfile.worker")
CHARTS = ("charts/jobproc/charts/postgresql/values.yaml", "charts/jobproc/charts/redis/values.yaml")
_BASE = re.compile(r"^ARG BASE=(\S+)", re.MULTILINE)
_FROM = re.compile(r"^FROM (\S+)", re.MULTILINE)
_STAGE = re.compile(r"^FROM \S+ AS (\S+)", re.MULTILINE)


def images(root: Path) -> Iterator[tuple[str, str]]:
    """Yield each file and an image that it names, except the images that are built from this repository."""
    for name in DOCKERFILES:
        text = (root / name).read_text()
        own = {"scratch", "${BASE}", *_STAGE.findall(text)}
        for image in [*_BASE.findall(text), *(image for image in _FROM.findall(text) if image not in own)]:
            yield name, image
    for service in yaml.safe_load((root / "compose.yaml").read_text())["services"].values():
        if "build" not in service:
            yield "compose.yaml", service["image"]
    for name in CHARTS:
        image = yaml.safe_load((root / name).read_text())["image"]
        suffix = f"@{image['digest']}" if image["digest"] else f":{image['tag']}" if image["tag"] else ""
        yield name, f"{image['repository']}{suffix}"


def problem(image: str) -> tuple[bool, str] | None:
    """Return None for an image with a digest, else True if its tag says nothing, and a sentence."""
    if re.search(r"@sha256:[0-9a-f]{64}$", image):
        return None
    tag = image.rpartition("/")[2].partition(":")[2]
    if tag in {"", "latest"}:
        return True, f"{image} has no fixed version: name a tag, or a digest for a release"
    return False, f"{image} may get another content under its tag: use a digest (@sha256:…) for a release"


def main(root: Path = ROOT) -> int:
    """Print a sentence for each image without a digest; return the exit code."""
    parser = command_line("tools.images", "Lists images without a digest.")
    parser.add_argument("--release", action="store_true", help="fail if there is one")
    is_release = parser.parse_args().release
    found = [(name, found) for name, image in images(root) if (found := problem(image))]
    for name, (_, sentence) in found:
        print(f"{name}: {sentence}")
    return int(any(is_error or is_release for _, (is_error, _) in found))


if __name__ == "__main__":
    sys.exit(main())
