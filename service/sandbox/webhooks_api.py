"""The Webhooks API: register an address, list the addresses, delete one.

Source: developer.vippsmobilepay.com/docs/APIs/webhooks-api
"""

from starlette.responses import Response
from starlette.routing import Route

from service.sandbox.calls import Call, json_response
from service.sandbox.gate import PROBLEM_SHAPE, Gate
from service.sandbox.problems import plain
from service.sandbox.registrations import Registration, registered

_ROOT = "/webhooks/v1/webhooks"


class WebhooksApi:
    """Answer the calls of the Webhooks API."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._world = gate.world

    def routes(self) -> list[Route]:
        """Return the routes, none of which catches more than its own path."""
        listed = [
            (_ROOT, "POST", self._register),
            (_ROOT, "GET", self._list),
            (f"{_ROOT}/{{id}}", "DELETE", self._delete),
        ]
        return [
            self._gate.route(path, method, handle=handle, shape=PROBLEM_SHAPE)
            for path, method, handle in listed
        ]

    def _register(self, call: Call) -> Response:
        registration = registered(
            call.json_object(),
            msn=call.msn or None,
            new_id=self._world.ids.uuid(),
            others=self._world.registrations.rows.values(),
        )
        self._world.save(self._world.registrations, registration.id, row=registration)
        # The only answer that ever carries the secret.
        return json_response({"id": registration.id, "secret": registration.secret}, 201)

    def _list(self, call: Call) -> Response:
        entries = [
            {"id": registration.id, "url": registration.url, "events": registration.event_types}
            for registration in self._world.registrations.rows.values()
            if _is_of(call, registration)
        ]
        return json_response({"webhooks": entries})

    def _delete(self, call: Call) -> Response:
        registration = self._world.registrations.get(call.params["id"])
        if registration is None or not _is_of(call, registration):
            raise plain(404, "There is no such webhook.")
        transaction = self._world.store.begin()
        transaction.delete(self._world.registrations, registration.id)
        transaction.commit()
        return Response(status_code=204)


def _is_of(call: Call, registration: Registration) -> bool:
    # Without a sales unit the call is a partner's, whose registrations are apart.
    return registration.msn == (call.msn or None)
