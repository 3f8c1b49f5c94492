"""House rules that review forgets: who may import whom, and who may do what only one may.

The rules read the source as a syntax tree; nothing of the service is imported to check it.
"""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import statemachine

ROOT = Path(__file__).parent.parent
OURS = ("service", "statemachine", "webhooks")

# What the composition root hands round, and what everything in the service may stand on.
BASE = "cause clock context errors ids kinds observed settings store traces vault wake"

# One row per part, from the bottom up: a part imports itself, the standard library, and what
# stands here. The longest name that fits a module is its part. Names of ours are in service,
# but for the cores'.
TABLE = """
# part                    | of ours                                    | of others
statemachine              |                                            | transitions
webhooks                  |                                            | cryptography orjson

service                   |                                            |
service.sandbox           | webhooks                                   | aiohttp httptools jinja2 orjson starlette uvicorn yaml
service.errors            |                                            |
service.clock             |                                            |
service.kinds             |                                            |
service.cause             | ids                                        | starlette
service.logs              | cause                                      | structlog
service.observed          |                                            | prometheus_client
service.wake              |                                            |
service.stopping          |                                            |
service.ids               |                                            |
service.problem_frame     |                                            |
service.settings          | errors                                     | pydantic pydantic_settings sqlalchemy
service.store             | errors kinds statemachine webhooks         | alembic orjson psycopg sqlalchemy sqlmodel
service.vault             | errors ids store                               | cryptography sqlalchemy sqlmodel
service.traces            |                                            |
service.traces_otel       | traces                                     | opentelemetry
service.context           | clock observed settings store traces vault wake |
service.neighbours        | context errors store wake                  | sqlalchemy structlog
service.awaiting          | context                                    | anyio
service.group_commit      | errors                                     | anyio structlog
service.schedule          | settings                                   |
service.door              | ids problem_frame settings                         | anyio httptools orjson starlette structlog uvicorn uvloop

service.vipps             | clock errors ids kinds webhooks                | aiohttp httpx httpx_aiohttp orjson
service.outbox.destinations |                                          |
service.outbox.vetted     | outbox.destinations webhooks               | aiohttp anyio
service.outbox.egress     | outbox.destinations outbox.vetted webhooks | aiohttp certifi yarl
service.events.shapes     | store statemachine                         | pydantic typing_extensions
service.events            | events.shapes outbox statemachine          | orjson pydantic
service.shapes            | events.shapes store statemachine            | pydantic typing_extensions
service.units             | BASE                                       | orjson sqlalchemy sqlmodel

service.metrics           | BASE                                       | prometheus_client sqlalchemy sqlmodel
service.ledger            | BASE events.shapes schedule shapes vipps statemachine webhooks | orjson sqlalchemy sqlmodel
service.audit             | BASE ledger webhooks                       | cryptography orjson sqlalchemy sqlmodel
service.outbox            | BASE events.shapes group_commit outbox.destinations outbox.egress shapes statemachine webhooks | anyio cryptography orjson sqlalchemy sqlmodel structlog
service.feed              | BASE outbox                                | anyio sqlalchemy sqlmodel structlog
service.commands          | BASE group_commit ledger schedule vipps statemachine webhooks | anyio orjson sqlalchemy sqlmodel structlog
service.inbox             | BASE group_commit ledger problem_frame statemachine webhooks | anyio orjson sqlalchemy sqlmodel starlette structlog
service.inbox.registering | BASE commands vipps statemachine           | anyio sqlalchemy sqlmodel
service.inbox.lost        | BASE vipps                                 | anyio sqlalchemy
service.staff             | BASE                                       | argon2 orjson pyotp sqlalchemy sqlmodel
service.keeping           | BASE statemachine                          | orjson sqlalchemy sqlmodel
service.clockwork         | BASE inbox.registering keeping ledger outbox vipps | anyio sqlalchemy sqlmodel structlog

service.documents         | BASE ledger                                | anyio segno starlette
service.broker            | BASE                                       | anyio nats nkeys orjson sqlalchemy sqlmodel structlog
service.api               | BASE audit awaiting broker documents events events.shapes feed group_commit ledger metrics outbox outbox.egress problem_frame shapes vipps statemachine webhooks | anyio limits orjson pydantic sqlalchemy sqlmodel starlette structlog
service.console           | BASE audit inbox inbox.lost inbox.registering ledger metrics outbox outbox.egress staff statemachine vipps webhooks | anyio jinja2 limits orjson sqlalchemy sqlmodel starlette structlog
service.pages             | BASE awaiting documents ledger vipps statemachine | anyio babel jinja2 limits reportlab sqlalchemy sqlmodel starlette structlog
service.opening           | BASE traces_otel units                     | structlog
service.app               | BASE api broker clockwork commands console door inbox inbox.registering logs neighbours opening outbox outbox.egress pages sandbox staff stopping vipps | anyio sqlalchemy starlette structlog
service.cli               | BASE api app audit clockwork commands door events.shapes feed inbox inbox.lost inbox.registering keeping ledger logs metrics neighbours opening sandbox shapes staff statemachine units vipps webhooks | httpx orjson pydantic rich segno sqlalchemy sqlmodel standardwebhooks starlette typer uvicorn
"""  # noqa: E501 - a table is read by its columns


@dataclass(frozen=True, slots=True)
class Part:
    """One row: what a part may import."""

    ours: frozenset[str]
    others: frozenset[str]


@dataclass(frozen=True, slots=True)
class Import:
    """One name that one module imports, and where."""

    module: str
    name: str
    line: int

    def __str__(self) -> str:
        """Say it as a place to click and a fact."""
        return f"{self.module.replace('.', '/')}:{self.line} imports {self.name}"


def _row(line: str) -> tuple[str, Part]:
    name, ours, others = (column.strip() for column in line.split("|"))
    named = ours.replace("BASE", BASE).split()
    full = (n if n in OURS else f"service.{n}" for n in named)
    return name, Part(frozenset(full), frozenset(others.split()))


PARTS = dict(_row(line) for line in TABLE.splitlines() if line and not line.startswith("#"))


@cache
def _sources() -> dict[str, ast.Module]:
    found = {}
    for package in OURS:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = ast.parse(path.read_text())
    return found


def _part_of(module: str) -> str:
    return max((p for p in PARTS if _is_in(module, p)), key=len)


def _is_in(module: str, part: str) -> bool:
    return module == part or module.startswith(part + ".")


def _is_directly_in_service(module: str) -> bool:
    return module.startswith("service.") and module.count(".") == 1


def _imports(module: str) -> Iterator[Import]:
    for node in ast.walk(_sources()[module]):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(module, alias.name, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield Import(module, "." * node.level + f"{node.module}.{alias.name}", node.lineno)


def _is_allowed(imported: Import) -> bool:
    part = PARTS[_part_of(imported.module)]
    top = imported.name.split(".")[0]
    if top not in OURS:
        return top in sys.stdlib_module_names or top in part.others
    target = _part_of(imported.name)
    return target == _part_of(imported.module) or target in part.ours


def _nodes(kind: type[ast.AST], *, outside: tuple[str, ...] = ()) -> Iterator[tuple[str, ast.AST]]:
    for module, tree in _sources().items():
        if not any(_is_in(module, part) for part in outside):
            yield from ((module, node) for node in ast.walk(tree) if isinstance(node, kind))


def _place(module: str, node: ast.AST) -> str:
    return f"{module.replace('.', '/')}:{getattr(node, 'lineno', 0)}"


@pytest.mark.parametrize("part", PARTS)
def test_imports_of_a_part_are_in_the_table(part: str) -> None:
    """Each part stands only on what lies below it, so that each can be read alone."""
    modules = [module for module in _sources() if _part_of(module) == part]

    found = [imported for module in modules for imported in _imports(module)]

    assert [str(imported) for imported in found if not _is_allowed(imported)] == []


def test_table_points_one_way_without_circles() -> None:
    """There is an order in which all parts can be understood one after the other."""
    order = TopologicalSorter({name: part.ours for name, part in PARTS.items()})

    assert set(order.static_order()) >= set(PARTS)


def test_table_names_every_part() -> None:
    """A new part must be given its place before it is used."""
    parts = {module for module in _sources() if module in OURS or _is_directly_in_service(module)}

    assert parts <= set(PARTS)


def test_transitions_is_imported_by_one_module_only() -> None:
    """The library that runs the table is known in one place."""
    found = {
        imported.module
        for module in _sources()
        for imported in _imports(module)
        if imported.name.split(".")[0] == "transitions"
    }

    assert found == {"statemachine.machine"}


def test_statemachine_is_ours_and_nobody_elses() -> None:
    """A package of the same name on the machine must not take our machine's place."""
    assert Path(statemachine.__file__).is_relative_to(ROOT)


def test_transactions_are_opened_in_one_place() -> None:
    """Whoever takes a session can't commit half of what somebody else is doing."""
    # The sandbox keeps its own file and knows nothing of the service's database.
    allowed = ("service.store.db", "service.store.schema", "service.sandbox")

    calls = [
        _place(module, node)
        for module, node in _nodes(ast.Call, outside=allowed)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("begin", "commit")
    ]

    assert calls == []


def test_invoice_state_is_assigned_in_one_place() -> None:
    """There is no second way for an invoice to move."""
    allowed = ("service.ledger.book", "service.sandbox", "statemachine", "webhooks")
    of_a_payment = {"payment", "live"}

    writes = [
        _place(module, node)
        for module, node in _nodes(ast.Attribute, outside=allowed)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and node.attr == "state"
        and not (isinstance(node.value, ast.Name) and node.value.id in of_a_payment)
    ]

    assert writes == []


def test_invoice_rows_are_updated_by_the_ledger_only() -> None:
    """A statement that writes invoices past the ledger would be a second way too."""
    writes = [
        _place(module, node)
        for module, node in _nodes(ast.Call, outside=("service.ledger",))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).split(".")[-1] in ("update", "insert", "delete")
        and [ast.unparse(argument) for argument in node.args[:1]] in (["Invoice"], ["Transition"])
    ]

    assert writes == []


def test_print_is_used_by_nobody_but_the_command_line() -> None:
    """What the service has to say goes to the log, where secrets are kept out."""
    calls = [
        _place(module, node)
        for module, node in _nodes(ast.Call, outside=("service.cli",))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "print"
    ]

    assert calls == []


def test_relative_imports_are_not_used() -> None:
    """A name says where it comes from, also to the rules above."""
    found = [i for module in _sources() for i in _imports(module) if i.name.startswith(".")]

    assert found == []
