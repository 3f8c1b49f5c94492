"""Why a request was refused."""

from typing import NotRequired

from typing_extensions import TypedDict

from service.events.shapes import Url


class FieldProblem(TypedDict):
    """One wrong field, as a path in the request's own names, and why."""

    field: str
    reason: str


class Upstream(TypedDict):
    """What Vipps said; quote `traceId` to them."""

    code: str | None
    traceId: str | None


class ProblemDocument(TypedDict):
    """Why a request was refused (RFC 9457). Programs look at `code`, people read `detail`."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    traceId: str
    errors: NotRequired[list[FieldProblem]]
    availableActions: NotRequired[list[str]]
    pageUrl: NotRequired[Url]
    upstream: NotRequired[Upstream]
