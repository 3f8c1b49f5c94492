"""Merchants and customers at work on a stack, whatever happens to it."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random

from tests.flows.client import Api, Json, Phone
from tests.flows.processes import Late, eventually

# Enough that several are at every step; more would only make each start take longer.
MERCHANTS = 6
# How often the customer's bank is away at the first capture, which is tried again a minute later.
BANK_AWAY = 0.1
# So long a merchant waits for a state before turning to the next invoice, looking so often.
PATIENCE_S = 8.0
_LOOK_S = 0.25


@dataclass
class Load:
    """Merchants and customers at work until told to stop; notes what was acknowledged."""

    api: Api
    phone: Phone
    seed: int
    bank_away: float = BANK_AWAY
    stop: threading.Event = field(default_factory=threading.Event)
    invoices: list[str] = field(default_factory=list)
    acts: Counter[tuple[str, str]] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Work beside the block, and finish the stories that have begun."""
        threads = [threading.Thread(target=self._merchant, args=(n,)) for n in range(MERCHANTS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.stop.set()
            for thread in threads:
                thread.join()

    def wait_for_more(self, count: int) -> None:
        """Return once so many more invoices are acknowledged."""
        enough = len(self.invoices) + count
        eventually(lambda: len(self.invoices) >= enough, within_s=60, what="traffic")

    def _merchant(self, number: int) -> None:
        dice, story = Random(f"{self.seed}:{number}"), 0
        while not self.stop.is_set():
            story += 1
            try:
                self._tell(dice, f"kill-{self.seed}-{number}-{story}")
            except Late as late:
                # Slow is no fault while everything dies; what is lost, the checks find.
                if "acknowledged" in str(late):
                    self.failures.append(str(late))
            except Exception as error:
                self.failures.append(f"{type(error).__name__}: {error}")

    def _tell(self, dice: Random, name: str) -> None:
        capture = dice.choice(("manual", "manual", "automatic"))
        self.api.create(name, capture=capture)
        self.invoices.append(name)
        self.acts[(name, "create")] += 1
        ending = dice.choices(("approve", "reject", "withdraw", "wait"), (75, 10, 10, 5))[0]
        if ending == "withdraw":
            self._act(name, "cancel")
        elif ending != "wait":
            self._customer(ending, name)
        if ending == "approve" and capture == "manual" and self._is_in(name, "authorized"):
            self._take(dice, name)

    def _customer(self, act: str, name: str) -> None:
        eventually(
            lambda: self._is_over() or self.phone.act(act, name) == 200,
            within_s=PATIENCE_S,
            every_s=_LOOK_S,
        )

    def _take(self, dice: Random, name: str) -> None:
        if dice.random() < 0.15:
            self._act(name, "cancel")
            return
        if dice.random() < self.bank_away:
            self.phone.act("fail-captures", name, {"code": 6280, "times": 1})
        part = dice.choice((None, 8_000))
        self._act(name, "capture", part)
        if dice.random() < 0.5 and self._is_in(name, "captured"):
            self._act(name, "refund", dice.choice((None, 3_000)))
        if part and dice.random() < 0.5:
            self._act(name, "cancel")

    def _act(self, name: str, act: str, value: int | None = None) -> None:
        body: Json = {"amount": {"currency": "NOK", "value": value}} if value else {}
        answer = self.api.act(name, act, body)
        if answer.status_code in (200, 202):
            self.acts[(name, act)] += 1
        elif answer.status_code != 409:
            self.failures.append(f"{act} {name}: {answer.status_code} {answer.text}")

    def _is_in(self, name: str, state: str) -> bool:
        """Wait a little for a state; false where it does not come while everything dies."""
        eventually(
            lambda: self._is_over() or self.api.invoice(name)["state"] == state,
            within_s=PATIENCE_S,
            every_s=_LOOK_S,
        )
        return not self._is_over()

    def _is_over(self) -> bool:
        return self.stop.is_set()
