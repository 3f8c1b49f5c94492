"""What `betalbar doctor` asks the network about this service: its port, its name, its TLS."""

import asyncio
import socket
import ssl
from datetime import UTC, datetime
from urllib.parse import urlsplit

import httpx

from service.cli.findings import Finding
from service.clock import real_now
from service.settings import Settings, is_loopback

# Whoever renews by hand needs some days; tools renew a month before.
CERTIFICATE_DAYS_MIN = 7
_WITHIN_S = 5.0


async def examine_port(settings: Settings, http: httpx.AsyncClient) -> Finding:
    """Tell who listens where the service should: it, nobody, or somebody else."""
    where = f"{settings.host}:{settings.port}"
    try:
        answer = await http.get(f"{settings.local_url}/readyz", timeout=_WITHIN_S)
        said = answer.json()["status"]
    except httpx.TransportError:
        if _is_free(settings):
            return Finding("service", False, f"nothing listens at {where}", "betalbar serve")
        said = None
    except (ValueError, KeyError, TypeError):
        said = None
    if said == "ready":
        return Finding("service", True, f"ready at {where}")
    if said == "not_ready":
        return Finding("service", False, "it runs and is not ready", f"see {where}/readyz")
    advice = "choose another BETALBAR_PORT, or end what listens there"
    return Finding("service", False, f"something else is at {where}", advice)


def _is_free(settings: Settings) -> bool:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError:
            return False
    return True


async def examine_address(
    settings: Settings, http: httpx.AsyncClient, *, is_served: bool
) -> list[Finding]:
    """Tell whether the public URL leads to the service, and how long its certificate lasts."""
    url = settings.base_url
    if settings.is_vipps_real and is_loopback(url):
        advice = "set BETALBAR_PUBLIC_URL to the https address that customers and Vipps reach"
        return [Finding("public URL", False, f"{url} is this machine only", advice)]
    if not settings.public_url:
        return [Finding("public URL", True, f"{url}, on this machine")]
    findings = [await _certificate(url)] if url.startswith("https://") else []
    if is_served and all(one.is_well for one in findings):
        findings.append(await _leads_here(url, http))
    return findings or [Finding("public URL", True, url)]


async def _leads_here(url: str, http: httpx.AsyncClient) -> Finding:
    advice = "let the proxy pass every path to the service: docs/how-to/nginx.md"
    try:
        answer = await http.get(f"{url}/healthz", timeout=_WITHIN_S)
        is_ours = answer.json() == {"status": "up"}
    except (httpx.HTTPError, ValueError) as error:
        return Finding("public URL", False, f"{url}: {type(error).__name__}", advice)
    said = "leads here" if is_ours else f"answers {answer.status_code}, and not as Betalbar does"
    return Finding("public URL", is_ours, f"{url} {said}", "" if is_ours else advice)


async def _certificate(url: str) -> Finding:
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 443
    try:
        async with asyncio.timeout(_WITHIN_S):
            _, writer = await asyncio.open_connection(
                host, port, ssl=ssl.create_default_context(), server_hostname=host
            )
    except ssl.SSLCertVerificationError as error:
        return Finding("TLS", False, f"{host}: {error.verify_message}", "renew the certificate")
    except (OSError, TimeoutError) as error:
        advice = f"point {host} at this service, and open port {port}"
        return Finding("TLS", False, f"{host}:{port}: {type(error).__name__}", advice)
    ends = ssl.cert_time_to_seconds(writer.get_extra_info("peercert")["notAfter"])
    writer.close()
    days = (datetime.fromtimestamp(ends, UTC) - real_now()).days
    advice = "" if days >= CERTIFICATE_DAYS_MIN else "renew the certificate"
    return Finding("TLS", not advice, f"{host}: its certificate is good for {days} days", advice)
