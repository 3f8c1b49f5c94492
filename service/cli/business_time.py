"""Business time for a command: the built-in sandbox's clock, which may be turned ahead."""

from dataclasses import replace
from datetime import timedelta

import httpx

from service.context import Context
from service.errors import UpstreamTimeout


def with_business_time(context: Context) -> Context:
    """Follow the built-in sandbox's clock, as the service in its process does.

    Raises: UpstreamTimeout, where no service runs that has it."""
    if not context.settings.has_built_in_sandbox:
        return context
    try:
        shown = httpx.get(f"{context.settings.upstream_url}/sandbox/clock", trust_env=False)
        ahead = timedelta(seconds=shown.raise_for_status().json()["offsetSeconds"])
    except (httpx.HTTPError, ValueError, KeyError) as error:
        raise UpstreamTimeout from error
    return replace(context, clock=replace(context.clock, offset=lambda: ahead))
