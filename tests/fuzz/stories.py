"""Stories of requests, made of the document that is served and told to the service that serves it.

What one answer names is asked for by the next request, along the document's links. Each answer is
held against the document, and none may be an error of ours. Source: schemathesis.readthedocs.io
"""

from collections import Counter
from dataclasses import dataclass, field
from itertools import count
from typing import Any, ClassVar

import schemathesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis.errors import Flaky
from schemathesis import Case, CheckFunction, Response
from schemathesis.config import SchemathesisConfig
from schemathesis.core.failures import FailureGroup
from schemathesis.generation.stateful.state_machine import APIStateMachine

from tests.flows.client import a_name, an_invoice
from tests.flows.processes import HTTP

# It has no end.
ENDLESS = "/v1/events/stream"
# It takes files, which are not made of a schema.
UPLOAD = "putDocument"
_CREATE = "POST /v1/invoices"
_CONFIG = {
    # The key is shown with each request; what happens without one is asked by the check itself.
    "generation": {"with-security-parameters": False},
    # What no schema can say, such as that one time must lie before another, is refused with 422.
    "checks": {"positive_data_acceptance": {"enabled": False}},
}
_STEPS = 8
_AT_ONCE = 10
_ANSWERED_WITHIN_S = 60.0


@dataclass(slots=True)
class Told:
    """How often each operation was answered with each status, and what was wrong."""

    stories: int = 0
    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    @property
    def done(self) -> set[str]:
        """Return the operations that did, at least once, what was asked."""
        return {name for name, status in self.answers if status < 300}


def tell_stories(url: str, key: str, told: Told, *, seed: int) -> None:
    """Tell a service some stories, by and large the same ones for one seed."""
    machine = _machine(url, key, told)
    machine._hypothesis_internal_use_seed = seed
    chosen = settings(
        max_examples=_AT_ONCE,
        stateful_step_count=_STEPS,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    try:
        machine.run(settings=chosen)
    except Flaky:
        # The same choices met another state of the service: these stories are over. What was
        # wrong in them is kept already.
        return


class _Merchant(APIStateMachine):
    """What a merchant does beside asking; whoever is asked to pay there pays at once."""

    url: ClassVar[str]
    key: ClassVar[str]
    told: ClassVar[Told]
    turns: ClassVar["count[int]"]

    def setup(self) -> None:
        """Count the story."""
        self.told.stories += 1

    def before_call(self, case: Case[Any]) -> None:
        """Let most requests get beyond what is checked first."""
        if next(self.turns) % 4:
            case.headers.pop("If-Match", None)
            case.headers.pop("Idempotency-Key", None)
            if case.operation.label == _CREATE:
                case.body = an_invoice(a_name("story"))

    def get_call_kwargs(self, case: Case[Any]) -> dict[str, Any]:
        """Show the key."""
        return {"headers": {"Authorization": f"Bearer {self.key}"}, "timeout": _ANSWERED_WITHIN_S}

    def after_call(self, response: Response, case: Case[Any]) -> None:
        """Count the answer, and let the customer approve."""
        super().after_call(response, case)
        self.told.answers[case.operation.label, response.status_code] += 1
        if case.operation.label == _CREATE and response.status_code == 201:
            reference = response.json()["reference"]
            HTTP.post(f"{self.url}/sandbox/payments/{reference}/approve")

    def validate_response(
        self,
        response: Response,
        case: Case[Any],
        additional_checks: list[CheckFunction] | None = None,
        **kwargs: Any,
    ) -> None:
        """Keep what is wrong, and go on."""
        try:
            super().validate_response(response, case, additional_checks, **kwargs)
        except FailureGroup as failures:
            self.told.wrong += [str(failure) for failure in failures.exceptions]


def _machine(url: str, key: str, told: Told) -> Any:
    """Return the machine that makes stories of one service's document."""
    config = SchemathesisConfig.from_dict(_CONFIG)
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json", config=config)
    along = schema.exclude(path=ENDLESS).exclude(operation_id=UPLOAD).as_state_machine()
    given = {"url": url, "key": key, "told": told, "turns": count()}
    return type("Stories", (_Merchant, along), given)
