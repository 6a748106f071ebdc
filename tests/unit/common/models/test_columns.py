"""The columns that the SQL of common.store spells by hand exist in the models."""

import importlib
import pkgutil
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping

import pytest
from sqlalchemy import TextClause

import common.store
from common.models import Base
from common.store.connection.statement import Statement

VIEW = importlib.import_module("common.migrations.versions.0001_schema").VIEW
SYSTEM_COLUMNS = {"ctid", "tableoid"}
_SQL = re.compile(r"\b(SELECT|INSERT INTO|UPDATE \w+|DELETE FROM)\b")
_NO_ALIAS = r"(?!(?:SET|WHERE|ON|JOIN|LEFT|CROSS|ORDER|GROUP|LIMIT|OFFSET|FOR|FROM|USING|UNION|EXCEPT|VALUES|SELECT)\b)"
#: A table or CTE, and its alias. Not the FROM of IS DISTINCT FROM, nor the UPDATE of FOR UPDATE and DO UPDATE.
_TABLE = re.compile(
    rf"(?:(?<!DISTINCT )\bFROM|\bJOIN|(?<!FOR )(?<!KEY )(?<!DO )\bUPDATE|\bINSERT INTO)\s+(\w+)(?![\w.(])"
    rf"(?:\s+(?:AS\s+)?{_NO_ALIAS}(\w+))?"
)
_SUBQUERY = re.compile(r"\)\s+(?:AS\s+)?(\w+)")  # or function: an alias whose columns are not those of a table
_WRITE = re.compile(
    r"\bINSERT INTO (?P<inserted>\w+)(?:\s+AS \w+)?\s*\((?P<columns>[^()]*)\)|\bDO UPDATE\s+SET\b"
    r"|(?<!DO )\bUPDATE\s+(?P<updated>\w+)(?:\s+(?:AS\s+)?(?!SET\b)\w+)?\s+SET\b"
)
_COLUMN = re.compile(r"\b([A-Za-z_]\w*)\.([A-Za-z_]\w*)")

Columns = Mapping[str, set[str]]


def statements() -> dict[str, str]:
    """Return every SQL text of common.store that is a constant of a module, by module and name."""
    found = {}
    for module in pkgutil.walk_packages(common.store.__path__, "common.store."):
        for name, value in vars(importlib.import_module(module.name)).items():
            for key, item in value.items() if isinstance(value, dict) else [("", value)]:
                sql = getattr(item, "sql", None) if isinstance(item, Statement) else item
                sql = item.text if isinstance(item, TextClause) else sql
                if isinstance(sql, str) and _SQL.search(sql) and not name.startswith("__"):
                    found[f"{module.name}.{name} {key}".rstrip()] = sql
    return found


def model_columns() -> dict[str, set[str]]:
    """Return the columns of each table by the models, and those of the view by the migration that creates it."""
    columns = {table.name: {column.name for column in table.columns} for table in Base.metadata.tables.values()}
    select_list = VIEW[: VIEW.index("FROM jobs j")].partition("SELECT")[2]
    return columns | {"job_states": {item.split()[-1].rpartition(".")[2] for item in _top_level(select_list)}}


def _top_level(text: str) -> list[str]:
    """Split a list at its commas outside of parentheses. It ends at the clause after it."""
    items, depth = [""], 0
    for word in re.findall(r"\w+|\s+|.", text):
        depth += (word == "(") - (word == ")")
        if depth < 0 or (depth == 0 and word in {"FROM", "WHERE", "RETURNING"}):
            break
        if depth == 0 and word == ",":
            items.append("")
        else:
            items[-1] += word
    return items


def _blocks(sql: str) -> tuple[list[int], dict[int, int]]:
    """Return the block (innermost parentheses) of each character, and the enclosing block of each block."""
    block_of, outer, stack = [], {0: -1}, [0]
    for character in sql:
        if character == "(":
            outer[len(outer)] = stack[-1]
            stack.append(len(outer) - 1)
        block_of.append(stack[-1])
        if character == ")" and len(stack) > 1:
            stack.pop()
    return block_of, outer


def _written(sql: str) -> Iterator[tuple[str, str]]:
    """Yield (table, column) for each column that the statement inserts or updates."""
    table = ""
    for write in _WRITE.finditer(sql):
        table = write["inserted"] or write["updated"] or table  # DO UPDATE SET is of the table of the INSERT before
        names = write["columns"] or ",".join(item.split("=")[0] for item in _top_level(sql[write.end() :]))
        yield from ((table, column) for column in re.findall(r"\w+", names))


def _read(sql: str, tables: Columns) -> Iterator[tuple[str, str]]:
    """Yield (table, column) for each `alias.column` whose alias is one of a table, in the scope of the reference."""
    block_of, outer = _blocks(sql)
    declared: dict[tuple[int, str], set[str]] = defaultdict(set)  # by block and alias; "" where it is no table
    for source in _TABLE.finditer(sql):
        table = source[1] if source[1] in tables else ""
        for alias in [source[2] or source[1], *(["excluded"] if "INSERT" in source[0] else [])]:
            declared[block_of[source.start()], alias].add(table)
    for subquery in _SUBQUERY.finditer(sql):
        declared[outer[block_of[subquery.start()]], subquery[1]].add("")
    for reference in _COLUMN.finditer(sql):
        block = block_of[reference.start()]
        while block >= 0 and (block, reference[1]) not in declared:
            block = outer[block]
        # An alias inside of a join in parentheses is visible outside of them too: -1 stands for every block.
        found = {
            name
            for (at, alias), names in declared.items()
            if alias == reference[1] and block in (-1, at)
            for name in names
        }
        if len(found) == 1 and "" not in found:
            yield found.pop(), reference[2]


def named_columns(sql: str, tables: Columns) -> set[tuple[str, str]]:
    """Return (table, column) for each column that a statement inserts, updates, or reads through a table alias."""
    sql = re.sub(r"'[^']*'", "''", sql)
    return {*_written(sql), *_read(sql, tables)}


def unknown_columns(sqls: Mapping[str, str], tables: Columns) -> set[tuple[str, str, str]]:
    """Return (statement, table, column) for each column that the tables do not have."""
    return {
        (name, table, column)
        for name, sql in sqls.items()
        for table, column in named_columns(sql, tables)
        if table in tables and column not in tables[table] | SYSTEM_COLUMNS
    }


def test_every_column_in_the_sql_of_the_store_is_in_the_models() -> None:
    assert unknown_columns(statements(), model_columns()) == set()


def test_every_table_of_the_models_is_checked() -> None:
    tables = model_columns()
    checked = {pair for sql in statements().values() for pair in named_columns(sql, tables)}
    assert {table for table, _ in checked} >= set(tables)
    assert len(checked) > 150


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("live", "claimable_at"),
        ("outcomes", "execution_s"),
        ("workers", "low_water_marks"),
        ("idempotency_keys", "digest"),
        ("bulk_action_jobs", "crashes"),
        ("job_states", "progress_text"),
    ],
)
def test_a_renamed_column_of_a_model_is_reported(table: str, column: str) -> None:
    tables = model_columns()
    tables[table] = tables[table] - {column} | {"renamed"}
    assert {found[1:] for found in unknown_columns(statements(), tables)} == {(table, column)}


@pytest.mark.parametrize(
    ("sql", "unknown"),
    [
        ("INSERT INTO tags (id, colour) SELECT id, 'x.y' FROM new", ("tags", "colour")),
        ("WITH a AS (UPDATE live l SET queue = f(1, 2), colour = 3 WHERE id = 1) SELECT 1", ("live", "colour")),
        ("INSERT INTO tags AS t (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET colour = 1", ("tags", "colour")),
        (
            "INSERT INTO tags AS t (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET tag = excluded.colour",
            ("tags", "colour"),
        ),
        ("SELECT (SELECT o.colour) FROM outcomes o CROSS JOIN LATERAL (SELECT FROM live o) x", ("outcomes", "colour")),
        (
            "SELECT j.colour FROM (VALUES (1)) v LEFT JOIN (taken t JOIN jobs j ON j.id = t.id) ON true",
            ("jobs", "colour"),
        ),
        ("SELECT FROM live WHERE live.colour = 1 FOR UPDATE OF live", ("live", "colour")),
    ],
)
def test_an_unknown_column_is_found_in_each_form_of_sql(sql: str, unknown: tuple[str, str]) -> None:
    assert unknown_columns({"it": sql}, model_columns()) == {("it", *unknown)}


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT l.colour FROM (SELECT 1 AS colour FROM live l) l",
        "WITH live_rows AS (SELECT 1) SELECT l.colour FROM live_rows l",
        "SELECT d.colour FROM unnest($1) AS d(colour) JOIN live l ON l.id = d.colour",
    ],
)
def test_columns_of_subqueries_and_functions_are_not_those_of_a_table(sql: str) -> None:
    assert unknown_columns({"it": sql}, model_columns()) == set()
