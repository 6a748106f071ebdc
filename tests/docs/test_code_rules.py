"""Code rules that no linter checks. A failure lists file, line and text."""

import ast
import io
import re
import tokenize
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from rig.project_files import PRODUCT, ROOT, all_files, files

EVERYTHING = (*PRODUCT, "tools", "tests")
STORE = ("common/store/", "common/migrations/")
OUTBOX = "clients/python/src/jobproc/outbox/"  # of the tables of applications
MAX_LINES = 300
MADE_BY_TOOLS = {".json", ".lock", ".pyc", ".html"}
VAGUE_NAMES = {"util", "utils", "helper", "helpers", "manager", "managers", "misc", "core", "lib", "stuff"}
CELERY_OPTIONS = {"eta", "countdown", "rate_limit", "beat_schedule"}
CELERY_CALLS = {
    "retry",
    "delay",
    "apply_async",
    "add_periodic_task",
    "beat",
    "canvas",
    "chord",
    "chain",
    "group",
    "crontab",
}
WALL_CLOCK = re.compile(
    r"(^|\.)(time\.(time|time_ns|localtime|gmtime|ctime)|datetime\.(now|utcnow|today)|date\.today)$"
)
SQL = re.compile(
    r"\b(SELECT|INSERT INTO|DELETE FROM|UPDATE \w+ SET|(CREATE|ALTER|DROP|LOCK) (TABLE|INDEX|VIEW|DATABASE)|TRUNCATE"
    r"|WITH \w+ AS|ROLLBACK|VACUUM)\b"
    r"|(?i:\bselect\b.*\bfrom\b|\binsert into \w+|\bdelete from \w+|\bupdate \w+ set\b)",
    re.DOTALL,
)
REGISTRY = re.compile(
    r"\b(pypi\.org|pythonhosted\.org|npmjs\.(org|com)|docker\.io|ghcr\.io|quay\.io|gcr\.io|registry\.k8s\.io)\b|(?<!emit-)\b(extra-)?index[-_]url\b",
    re.IGNORECASE,
)
DIRECTIVE = re.compile(r"noqa(: [A-Z]+\d+(, ?[A-Z]+\d+)*)?|type: ?ignore(\[[a-z, -]+\])?|pragma: no (cover|branch)")
BARE = re.compile(r"noqa(?!: [A-Z]+\d)|type: ?ignore(?!\[)")

Found = Iterator[tuple[int, str]]


@cache
def nodes(path: Path) -> list[ast.AST]:
    """Return the nodes of a file, which several rules look at."""
    return list(ast.walk(ast.parse(path.read_text())))


def imported(path: Path) -> Found:
    for node in nodes(path):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def banned_names(path: Path) -> Found:
    for part in path.with_suffix("").parts:
        if part.removeprefix("test_") in VAGUE_NAMES:
            yield 1, part


def too_long(path: Path) -> Found:
    if path.suffix not in MADE_BY_TOOLS and (lines := len(path.read_text().splitlines())) > MAX_LINES:
        yield lines, f"at most {MAX_LINES} lines"


def commits(path: Path) -> Found:
    for node in nodes(path):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in {"commit", "rollback"}
        ):
            yield node.lineno, ast.unparse(node)


def sql(path: Path) -> Found:
    docstrings = set()
    for node in nodes(path):
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and ast.get_docstring(node) is not None
        ):
            docstrings.add(node.body[0].lineno)
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and node.lineno not in docstrings
            and SQL.search(node.value)
        ):
            yield node.lineno, node.value.strip()


def unexplained(path: Path) -> Found:
    text = path.read_text()
    if not DIRECTIVE.search(text):  # no need to split it into tokens, which takes most of the time
        return
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT and DIRECTIVE.search(token.string):
            reason = re.search(r"( - |  # )\w", DIRECTIVE.sub("", token.string))
            if BARE.search(token.string) or not reason:
                yield token.start[0], token.string


def wall_clock(path: Path) -> Found:
    for node in nodes(path):
        if isinstance(node, ast.Attribute) and WALL_CLOCK.search(ast.unparse(node)):
            yield node.lineno, ast.unparse(node)
    yield from ((line, name) for line, name in imported(path) if WALL_CLOCK.search(name))


def celery(path: Path) -> Found:
    yield from ((line, name) for line, name in imported(path) if name.split(".")[0] in {"celery", "kombu", "billiard"})


def of_celery(path: Path) -> Found:
    for node in nodes(path):
        if isinstance(node, ast.Call):
            called = isinstance(node.func, ast.Attribute) and node.func.attr in CELERY_CALLS - {
                "group"
            }  # re.Match has a group
            if called or {word.arg for word in node.keywords} & CELERY_OPTIONS:
                yield node.lineno, ast.unparse(node)
    yield from (
        (line, name)
        for line, name in imported(path)
        if name.startswith("celery.") and CELERY_CALLS & set(name.split("."))
    )


def registries(path: Path) -> Found:
    text = path.read_text(errors="replace")
    if REGISTRY.search(text):
        yield from ((number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if REGISTRY.search(line))


RULES: dict[str, tuple[Callable[[Path], Found], Callable[[], list[Path]]]] = {
    "a file is named for a noun of the problem": (
        banned_names,
        lambda: [path.relative_to(ROOT) for path in files(*EVERYTHING)],
    ),
    "a file has at most 300 lines": (too_long, lambda: files(*EVERYTHING, outside=("tools/site/mermaid/",))),
    "only the store and the migrations commit": (
        commits,
        lambda: files(*PRODUCT, outside=(*STORE, OUTBOX, "common/migrate.py"), ending=".py"),
    ),
    "only the store and the migrations know SQL": (
        sql,
        lambda: files(*PRODUCT, outside=(*STORE, OUTBOX), ending=".py"),
    ),
    "an exception to a rule names the rule, and the reason on its line": (
        unexplained,
        lambda: files(*EVERYTHING, ending=".py"),
    ),
    "time is an argument or comes from the database": (
        wall_clock,
        lambda: files("common/domain", "common/store", ending=".py"),
    ),
    "Celery is imported where it is wired": (
        celery,
        lambda: files(
            *PRODUCT,
            "tools",
            outside=(
                "worker/app.py",
                "worker/process.py",
                "worker/celery_adapter/consumer.py",
                "worker/celery_adapter/tasks.py",
                "worker/celery_adapter/pool.py",
                "worker/celery_adapter/transport.py",
                "clients/python/src/jobproc/celery/apps.py",  # it is given an app of Celery
                "clients/python/src/jobproc/celery/check.py",
            ),
            ending=".py",
        ),
    ),
    "PostgreSQL is the queue: no ETA, retry, beat or canvas of Celery": (
        of_celery,
        # The way in from Celery has the names of its calls; none of them reaches a broker of this processor.
        lambda: files(*PRODUCT, outside=("clients/python/src/jobproc/celery",), ending=".py"),
    ),
    "no package or image registry is named": (registries, all_files),
}


@pytest.mark.parametrize("rule", RULES)
def test_the_code_keeps_the_rule(rule: str) -> None:
    find, look_at = RULES[rule]
    paths = look_at()
    found = [
        f"{path.relative_to(ROOT) if path.is_absolute() else path}:{line}: {text}"
        for path in paths
        for line, text in find(path)
    ]
    assert len(paths) > 3, "the rule looks at next to nothing"
    assert not found, f"{rule}\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("find", "bad"),
    [
        (too_long, "x = 1\n" * 301),
        (commits, "connection.commit()"),
        (sql, "'''Doc.'''\nx = f'SELECT {1}'"),
        (sql, "run('select id\\n from live')"),
        (sql, "def f():\n    '''SELECT is fine here.'''\n    return 'UPDATE live SET claimable_at = 1'"),
        (unexplained, "x = 1  # noqa"),
        (unexplained, "x = 1  # noqa: S608"),
        (unexplained, "x = 1  # noqa - constants"),
        (unexplained, "x = 1  # type: ignore[misc]"),
        (unexplained, "x = 1  # type: ignore  # why"),
        (unexplained, "x = 1  # type: ignore[misc]  # noqa: S608"),
        (unexplained, "x = 1  # pragma: no cover"),
        (wall_clock, "import datetime\ndatetime.datetime.now(datetime.UTC)"),
        (wall_clock, "from time import time"),
        (celery, "from kombu import Queue"),
        (of_celery, "serve.apply_async(countdown=3)"),
        (of_celery, "self.retry()"),
        (of_celery, "from celery import chord"),
        (registries, "RUN pip install --index" + "-url https://somewhere"),
        (registries, "image: quay" + ".io/somebody/something"),
    ],
)  # fmt: skip
def test_a_rule_finds_its_violations(find: Callable[[Path], Found], bad: str, tmp_path: Path) -> None:
    file = tmp_path / "bad.py"
    file.write_text(bad + "\n")
    assert len(list(find(file))) == 1


@pytest.mark.parametrize(
    ("find", "good"),
    [
        (
            unexplained,
            (
                "x = 1  # noqa: S608 - constants of this module\n"
                "y = 1  # type: ignore[misc]  # noqa: ANN001, ANN202 - WSGI"
            ),
        ),
        (
            unexplained,
            (
                "x = 1  # type: ignore[misc]  # that is what must fail\ny = '# noqa'\n"
                "z = 1  # pragma: no cover - another system"
            ),
        ),
        (sql, "'''One SELECT.'''\nx = 'select a queue'  # from live"),
        (wall_clock, "time.monotonic()\ndatetime.fromtimestamp(0, UTC)\nfunc.now()"),
        (of_celery, "from redis.retry import Retry\nf(retry=Retry(1))\nx = {'eta': None, 'chord': None}"),
    ],
)
def test_a_rule_accepts_other_code(find: Callable[[Path], Found], good: str, tmp_path: Path) -> None:
    file = tmp_path / "good.py"
    file.write_text(good + "\n")
    assert list(find(file)) == []


def test_a_bad_name_is_found_anywhere_in_a_path() -> None:
    assert [
        text
        for name in ("api/utils.py", "worker/helpers/jobs.py", "tests/unit/test_core.py")
        for _, text in banned_names(Path(name))
    ] == [
        "utils",
        "helpers",
        "test_core",
    ]
    assert list(banned_names(Path("common/store/jobs/claims.py"))) == []
