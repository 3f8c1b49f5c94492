"""A `betalbar` that ends itself at one exact point (SIGKILL), for the proof of I12.

    python -m tests.flows.killed_at K3 "an-invoice AUTHORIZED" serve

The service's own code is as it is, and knows nothing of this: before it starts, what one part
calls of another is wrapped in the new process, or SQLAlchemy and httpcore are listened to. It
dies the first time that what passes there has all the words in it.
"""

import inspect
import os
import signal
import sqlite3
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any

import aiohttp
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlmodel import Session, SQLModel

from service.commands import worker
from service.group_commit import GroupCommit
from service.inbox import receiver
from service.ledger import posting
from service.outbox import deliverer
from service.store.tables import Act, StoredVippsEvent, Transition

# Under this name a connection remembers that its transaction is the one.
_MARK = "killed_at"
# Far fewer than SQLite needs for a copy of our tables, of which some are written by then.
_INSTRUCTIONS = 500


@dataclass(frozen=True, slots=True)
class Doom:
    """What must pass for the process to die."""

    words: Sequence[str]

    def strike(self, passing: object) -> None:
        """Die, if this is it."""
        if self.is_due(passing):
            die()

    def is_due(self, passing: object) -> bool:
        """Tell whether this is it."""
        text = passing.decode() if isinstance(passing, bytes) else str(passing)
        return all(word in text for word in self.words)


def die() -> None:
    """End this process here and now, with nothing flushed, closed or said."""
    os.kill(os.getpid(), signal.SIGKILL)


Arm = Callable[[Doom], None]
# From a call's arguments to what they are about, as text.
About = Callable[..., object]


def before(owner: object, name: str, about: About) -> Arm:
    """Die before a function of a module or class runs."""
    return lambda doom: _wrap(owner, name, first=lambda *a, **k: doom.strike(about(*a, **k)))


def after(owner: object, name: str, about: About) -> Arm:
    """Die once a function of a module or class has returned, before its caller knows."""
    return lambda doom: _wrap(owner, name, last=lambda *a, **k: doom.strike(about(*a, **k)))


def _wrap(
    owner: object, name: str, *, first: About = lambda *_, **__: None, last: About | None = None
) -> None:
    real = getattr(owner, name)
    then = last or (lambda *_, **__: None)

    @wraps(real)
    def called(*given: Any, **named: Any) -> Any:
        first(*given, **named)
        answer = real(*given, **named)
        then(*given, **named)
        return answer

    @wraps(real)
    async def awaited(*given: Any, **named: Any) -> Any:
        first(*given, **named)
        answer = await real(*given, **named)
        then(*given, **named)
        return answer

    setattr(owner, name, awaited if inspect.iscoroutinefunction(real) else called)


def after_writing(model: type[SQLModel]) -> Arm:
    """Die in the midst of a transaction, right after rows of this table are written."""

    def arm(doom: Doom) -> None:
        _on_insert(model, lambda _connection, rows: doom.strike(rows))

    return arm


def before_commit(model: type[SQLModel]) -> Arm:
    """Die when all of a transaction with such rows is written, but for its commit."""

    def arm(doom: Doom) -> None:
        _mark_transactions(model, doom)
        sa.event.listen(Engine, "commit", lambda connection: _die_if_marked(connection.info))

    return arm


def after_commit(model: type[SQLModel]) -> Arm:
    """Die when a transaction with such rows is committed and nobody knows of it yet."""

    def arm(doom: Doom) -> None:
        _mark_transactions(model, doom)
        # A connection goes back to its pool right after the commit.
        sa.event.listen(sa.pool.Pool, "checkin", lambda _, record: _die_if_marked(record.info))

    return arm


def _mark_transactions(model: type[SQLModel], doom: Doom) -> None:
    def mark(connection: sa.Connection, rows: object) -> None:
        if doom.is_due(rows):
            connection.info[_MARK] = True

    _on_insert(model, mark)


def _die_if_marked(info: Mapping[str, Any]) -> None:
    if _MARK in info:
        die()


def _on_insert(model: type[SQLModel], react: Callable[[sa.Connection, object], None]) -> None:
    names = vars(posting)
    real = names["insert_rows"]

    @wraps(real)
    def insert(session: Session, into: type[SQLModel], rows: Sequence[Mapping[str, Any]]) -> None:
        real(session, into, rows)
        if into is model:
            react(session.connection(), rows)

    names["insert_rows"] = insert


def once_sent(doom: Doom) -> None:
    """Die when a request to Vipps has wholly left, and before anything of its answer is read."""
    real = aiohttp.ClientResponse.start

    @wraps(real)
    async def start(self: aiohttp.ClientResponse, connection: Any) -> aiohttp.ClientResponse:
        if doom.is_due(f"{self.method} {self.url}"):
            if self._writer is not None:  # what sends the body
                await self._writer
            die()
        return await real(self, connection)

    aiohttp.ClientResponse.start = start  # type: ignore[method-assign]


def before_statement(doom: Doom) -> None:
    """Die before a statement is sent to the database, or before its COMMIT."""
    sa.event.listen(
        Engine, "before_cursor_execute", lambda _, __, statement, *___: doom.strike(statement)
    )
    sa.event.listen(Engine, "commit", lambda _: doom.strike("COMMIT"))


def in_a_copy(doom: Doom) -> None:
    """Die while a file is being copied, before the copy has its name, or once it has."""
    real = sqlite3.connect

    def connect(database: Any, **how: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = real(database, **how)
        if "mode=ro" in str(database) and doom.is_due("copying"):
            connection.set_progress_handler(die, _INSTRUCTIONS)
        return connection

    vars(sqlite3)["connect"] = connect
    before(os, "link", lambda *_: "naming")(doom)
    after(os, "link", lambda *_: "named")(doom)


def _body(request: Any, *_: object, **__: object) -> object:
    return request.body


def _report(_commits: object, item: Any) -> object:
    return getattr(item, "raw", b"")  # what is settled goes through a queue of the same kind


def _command(_client: object, claimed: Any, **_: object) -> object:
    return f"{claimed.kind} {claimed.reference}"


def _letter(_egress: object, _vault: object, letter: Any, **_: object) -> object:
    return letter.body


# K11 is not here: there the subscriber, which has the request and withholds its answer, says when.
POINTS: Mapping[str, Arm] = {
    "K1": before(receiver, "verify", _body),
    "K2": after(receiver, "verify", _body),
    "K3": after_writing(StoredVippsEvent),
    "K4": after(GroupCommit, "submit", _report),
    "K5": before(worker, "run", _command),
    "K6": before_commit(Transition),
    "K7": after_commit(Transition),
    "K8": after_commit(Act),
    "K9": once_sent,
    "K10": after(worker, "run", _command),
    "K12": after(deliverer, "post_signed", _letter),
    "K13": before_statement,
    "K16": in_a_copy,
}


def main(arguments: Sequence[str]) -> None:
    """Run a `betalbar` command that dies at a point: its name, the words, the command."""
    point, words, *command = arguments
    POINTS[point](Doom(words.split()))
    from service.cli import main as betalbar

    sys.argv = ["betalbar", *command]
    betalbar()


if __name__ == "__main__":
    main(sys.argv[1:])
