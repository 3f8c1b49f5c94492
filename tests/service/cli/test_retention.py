"""What has been kept long enough is deleted by command."""

import json

from tests.service.cli.conftest import Betalbar


def test_retention_says_what_it_deleted_of_each_kind(betalbar: Betalbar) -> None:
    """A script sees each kind, how long it is kept, and how much is gone."""
    ended = betalbar("retention", "--json")

    assert ended.code == 0
    assert json.loads(ended.out)["items"] == [
        {"what": "attempts of deliveries", "keptDays": 90, "deleted": 0},
        {"what": "answers to an Idempotency-Key", "keptDays": 30, "deleted": 0},
        {"what": "ended sessions", "keptDays": 0, "deleted": 0},
    ]
