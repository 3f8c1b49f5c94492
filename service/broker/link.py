"""One connection to NATS: published means acknowledged by JetStream.

The client library does not reconnect: a connection that has failed is closed and a new one is
made by the sink, which alone knows what is acknowledged. Nothing here logs or shows the URL,
since it may hold a password.
"""

import asyncio
import re
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

import nkeys  # type: ignore[import-untyped]  # it has none
from nats import errors
from nats.aio.client import Client, RawCredentials
from nats.js import JetStreamContext
from nats.js import errors as js_errors
from nats.js.api import DiscardPolicy, StreamConfig

# Shorter than the five seconds that a worker has at a stop; a leader's election in a cluster of
# brokers takes one or two.
ACKNOWLEDGED_WITHIN_S = 4.0
CONNECTED_WITHIN_S = 5.0
# What JetStream leaves out when a crash has us send it again. Longer than any lease of ours; the
# server remembers each id so long, some 100 bytes.
DUPLICATES_DROPPED_S = 600.0
STREAM = "BETALBAR"
SUBJECTS = "betalbar.>"

# Error codes of JetStream's API. Source: nats-server, server/errors.json.
_STORE_FAILED = 10077  # "maximum messages exceeded" and the like
_TOO_LARGE_FOR_STREAM = 10054
_NO_ROOM = (10002, 10023, 10028, 10047, _STORE_FAILED)
_NOT_ENABLED = (10039, 10076)


# A user's seed, alone on its line. Source: docs.nats.io, "NKeys".
_SEED = re.compile(r"^(SU[A-Z2-7]+)\s*$", re.MULTILINE)


class BrokerFailed(Exception):
    """The broker did not take an event; `reason` is one of those of docs/broker.md."""

    def __init__(self, reason: str) -> None:
        """Keep the reason: a word of ours, never the broker's own text."""
        super().__init__(reason)
        self.reason = reason


class Link:
    """A connection that is opened once, used in turn by many, and closed for good."""

    def __init__(self, url: str, credentials: Path | None = None) -> None:
        """Take one `nats://` or `tls://` URL, or several of one cluster, comma-separated.

        `credentials` is a file with a user's JWT and seed, as `nsc` writes it, or an NKey's seed
        alone; then nothing in the URL says who we are."""
        self._file = credentials
        self._parts = [urlsplit(part.strip()) for part in url.split(",")]
        self._client: Client | None = None
        self._stream: JetStreamContext | None = None
        self._tls = _tls() if any(part.scheme == "tls" for part in self._parts) else None
        self._is_forbidden = False

    @property
    def is_open(self) -> bool:
        """Tell whether it can be published on."""
        return self._client is not None and self._client.is_connected

    async def open(self) -> None:
        """Connect. Raises: BrokerFailed."""
        options: dict[str, Any] = {
            **(_proof(self._file) if self._file else self._credentials()),
            **({"tls": self._tls} if self._tls else {}),
        }
        self._client = Client()
        try:
            async with asyncio.timeout(CONNECTED_WITHIN_S):
                await self._client.connect(
                    [_without_user(part) for part in self._parts],
                    name="betalbar",
                    error_cb=self._note,
                    allow_reconnect=False,
                    max_reconnect_attempts=1,  # the least there is: each server is tried twice
                    reconnect_time_wait=0,
                    connect_timeout=2,
                    ping_interval=20,
                    **options,
                )
        except errors.AuthorizationError as error:
            raise BrokerFailed("not_authorized") from error
        except BrokerFailed:
            raise
        except (OSError, errors.Error, TimeoutError) as error:
            is_refused = "authorization" in str(error).lower()
            raise BrokerFailed("not_authorized" if is_refused else "unreachable") from error
        self._require_tls()
        self._stream = self._client.jetstream(timeout=ACKNOWLEDGED_WITHIN_S)

    async def publish(self, subject: str, body: bytes, *, key: str, content_type: str) -> None:
        """Have JetStream store a message; one with the same key is stored once.

        Where no stream takes the subject, one is made, once. Raises: BrokerFailed."""
        headers = {"Nats-Msg-Id": key, "Content-Type": content_type}
        try:
            await self._publish(subject, body, headers)
        except js_errors.NoStreamResponseError:
            await self._make_stream(subject)
            try:
                await self._publish(subject, body, headers)
            except js_errors.NoStreamResponseError as error:
                raise BrokerFailed("no_stream") from error

    async def close(self) -> None:
        """End the connection, whatever became of it."""
        if self._client is None:
            return
        try:
            async with asyncio.timeout(1):
                await self._client.close()
        except (OSError, errors.Error, TimeoutError):
            return  # it is gone, which is what was wanted

    async def _publish(self, subject: str, body: bytes, headers: dict[str, Any]) -> None:
        """Publish and wait for the answer. Raises: BrokerFailed, NoStreamResponseError."""
        try:
            await self._jetstream().publish(subject, body, headers=dict(headers))
        except js_errors.APIError as error:
            raise BrokerFailed(_refusal(error)) from error
        except errors.MaxPayloadError as error:
            raise BrokerFailed("too_large") from error
        except js_errors.NoStreamResponseError:
            raise
        except (OSError, errors.Error, TimeoutError, ValueError) as error:
            raise BrokerFailed(self._silence()) from error

    async def _make_stream(self, subject: str) -> None:
        """Make our stream, if none has a part of our subjects. Raises: BrokerFailed."""
        # A limit that an operator sets later refuses new events, which wait here, and drops none
        # that nobody has read.
        config = StreamConfig(
            name=STREAM,
            description="Events of Betalbar, as CloudEvents",
            subjects=[SUBJECTS],
            discard=DiscardPolicy.NEW,
            duplicate_window=DUPLICATES_DROPPED_S,
        )
        try:
            await self._jetstream().add_stream(config)
        except js_errors.NoStreamResponseError as error:
            raise BrokerFailed("jetstream_off") from error
        except js_errors.APIError as error:
            # The name or a subject is taken: somebody's stream, which is theirs to change.
            raise BrokerFailed("jetstream_off" if _is_off(error) else "no_stream") from error
        except (OSError, errors.Error, TimeoutError, ValueError) as error:
            raise BrokerFailed(self._silence()) from error

    def _jetstream(self) -> JetStreamContext:
        """Return what is published on: one that was lost fails at once and does not wait.

        Raises: BrokerFailed."""
        if self._stream is None or not self.is_open:
            raise BrokerFailed("unreachable")
        return self._stream

    def _silence(self) -> str:
        """Return why there was no answer."""
        if not self.is_open:
            return "unreachable"
        return "not_permitted" if self._is_forbidden else "no_answer"

    async def _note(self, error: Exception) -> None:
        """Keep what the server says beside its answers; it has names of subjects only."""
        self._is_forbidden = self._is_forbidden or "permissions violation" in str(error).lower()

    def _credentials(self) -> dict[str, Any]:
        """Return the first URL's user and password, or token, as the library takes them.

        As functions, because those are called once the connection is encrypted, and not at all
        where it is not though it was to be: the library itself would go on in clear."""
        user, password = self._parts[0].username, self._parts[0].password
        if user is None:
            return {}
        named = {"token": user} if password is None else {"user": user, "password": password}
        return {name: self._only_where_safe(unquote(text)) for name, text in named.items()}

    def _only_where_safe(self, text: str) -> Any:
        def tell() -> str:
            self._require_tls()
            return text

        return tell

    def _require_tls(self) -> None:
        if self._tls is not None and not self._tls.was_used:
            raise BrokerFailed("not_encrypted")


def _proof(credentials: Path) -> dict[str, Any]:
    """Return a file of credentials as the library takes it: it shows a JWT and signs a nonce.

    Neither is a secret, and the seed never leaves this process. Raises: BrokerFailed."""
    try:
        text = credentials.read_text()
        (seed,) = _SEED.findall(text)
        nkeys.from_seed(bytearray(seed.encode()))
    except (OSError, ValueError, nkeys.NkeysError) as error:
        raise BrokerFailed("bad_credentials") from error
    if "BEGIN NATS USER JWT" in text:
        return {"user_credentials": RawCredentials(text)}
    return {"nkeys_seed_str": seed}


class _Witness(ssl.SSLContext):
    """A context for clients that knows whether a handshake was begun with it."""

    was_used = False

    def wrap_bio(self, *arguments: Any, **named: Any) -> ssl.SSLObject:
        self.was_used = True
        return super().wrap_bio(*arguments, **named)


def _tls() -> _Witness:
    """Return a context that checks name and certificate, by the system's authorities."""
    context = _Witness(ssl.PROTOCOL_TLS_CLIENT)
    context.load_default_certs()
    return context


def _without_user(part: SplitResult) -> str:
    return part._replace(netloc=part.netloc.rpartition("@")[2]).geturl()


def _refusal(error: js_errors.APIError) -> str:
    if error.err_code in _NO_ROOM:
        return "stream_full"
    if error.err_code == _TOO_LARGE_FOR_STREAM:
        return "too_large"
    return "refused"


def _is_off(error: js_errors.APIError) -> bool:
    """Tell whether nobody answers for JetStream, or it is off for this account."""
    is_unanswered = isinstance(error, js_errors.ServiceUnavailableError) and error.err_code is None
    return is_unanswered or error.err_code in _NOT_ENABLED
