"""A Vipps MobilePay look-alike over real HTTP, for tests, demos and integrators.

It knows nothing of the service beside it: from our own code it uses only the pure
signature functions of `webhooks`. Start with `app.py`; the rules of a payment are in
`payments.py`, what may be asked for in `validation.py`.
"""

from service.sandbox.app import Sandbox, create_app, create_sandbox, spare_the_collector
from service.sandbox.clock import Clock
from service.sandbox.server import SandboxProtocol
from service.sandbox.settings import SalesUnitKeys, SandboxSettings

__all__ = [
    "Clock",
    "SalesUnitKeys",
    "Sandbox",
    "SandboxProtocol",
    "SandboxSettings",
    "create_app",
    "create_sandbox",
    "spare_the_collector",
]
