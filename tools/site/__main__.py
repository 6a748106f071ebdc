"""`make docs`: builds the documentation site in .local/docs/site. Any broken link ends the build with code 1."""

import gzip
import re
import shutil
import subprocess
import sys
from argparse import ArgumentParser
from pathlib import Path
from tempfile import TemporaryDirectory

from tools.site import sources

ROOT = Path(__file__).resolve().parents[2]
MERMAID = Path(__file__).parent / "mermaid" / "mermaid.tiny.js"
#: Zensical's own script loads Mermaid from there, on the first page that has a diagram.
REMOTE_MERMAID = '"https://unpkg.com/mermaid@12/dist/mermaid.min.js"'
LOCAL_MERMAID = 'new URL("mermaid.tiny.js",document.querySelector("script[src*=bundle]").src).href'
COMPRESSED = {".css", ".html", ".js", ".json", ".svg", ".xml"}


def build(root: Path, folder: Path) -> Path | None:
    """Build the site of the repository `root` in a folder. Return the folder of its files; None if a link is broken."""
    written = folder / ".local" / "docs"
    shutil.rmtree(written, ignore_errors=True)
    sources.write(root, written / "source")
    if folder != root:
        shutil.copy(root / "mkdocs.yml", folder)
    zensical = [str(Path(sys.executable).parent / "zensical"), "build", "--strict", "--config-file", "mkdocs.yml"]
    result = subprocess.run(zensical, cwd=folder, capture_output=True, text=True, check=False)
    if result.returncode:
        print(re.sub(r"\x1b\[[0-9;]*m", "", result.stdout + result.stderr), file=sys.stderr)
        return None
    use_local_mermaid(written / "site")
    compress(written / "site")
    return written / "site"


def use_local_mermaid(site: Path) -> None:
    """Let the site load Mermaid from itself."""
    scripts = site / "assets" / "javascripts"
    (bundle,) = scripts.glob("bundle.*.js")
    text = bundle.read_text()
    if text.count(REMOTE_MERMAID) != 1:
        raise SystemExit(f"docs: {bundle.name} loads Mermaid from elsewhere: see REMOTE_MERMAID in tools/site")
    bundle.write_text(text.replace(REMOTE_MERMAID, LOCAL_MERMAID))
    shutil.copy(MERMAID, scripts)


def compress(site: Path) -> None:
    """Write each file once more, compressed: the API serves these and compresses none at its start."""
    for path in sorted(site.rglob("*")):
        if path.suffix in COMPRESSED:
            Path(f"{path}.gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))


def main() -> int:
    """Build the site. Return the exit code."""
    parser = ArgumentParser("python -m tools.site", description=__doc__, allow_abbrev=False)
    parser.add_argument("--check", action="store_true", help="build it elsewhere, and keep nothing")
    if not parser.parse_args().check:
        return 0 if build(ROOT, ROOT) else 1
    with TemporaryDirectory() as folder:
        return 0 if build(ROOT, Path(folder)) else 1


if __name__ == "__main__":
    sys.exit(main())
