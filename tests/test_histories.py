"""A thousand random lives of invoices end where Vipps's own logs end (I4, I9)."""

from pathlib import Path
from random import SystemRandom

from service.store.db import Database
from service.store.schema import migrate
from tests.histories import CROWD, play

HISTORIES = 1_000


def test_thousand_histories_end_where_vipps_logs_do(tmp_path: Path) -> None:
    """Whatever happens to webhooks, and whatever I and my customers do, the books are right."""
    template = tmp_path / "template.db"
    database = Database(f"sqlite:///{template}")
    migrate(database)
    database.dispose()
    seed = SystemRandom().randrange(10**6)
    print(f"histories: seeds from {seed}")

    played = play(template, tmp_path, seeds=range(seed, seed + HISTORIES // CROWD))

    assert [what for wrong in played for what in wrong] == []
