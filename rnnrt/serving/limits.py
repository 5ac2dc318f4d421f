"""An ASGI layer in front of the server: bodies that are too large, or in a form that is not read, go no further."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


class Limits:
    """Answers 413 to a body of more than `max_bytes`, 415 to a compressed one, and 400 to Triton's binary form.

    A body is read whole before it is passed on, as the server behind does anyway. What is refused is read too, up to
    twice the limit, and thrown away.

    Parameters
    ----------
    app : ASGI application
    max_bytes : int
    """

    def __init__(self, app: App, max_bytes: int) -> None:
        self._app, self._most = app, max_bytes
        self._too_large = f"the body is larger than {max_bytes} bytes; send less at a time"

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.lower(): value for name, value in scope["headers"]}
        refusal = self._objection(headers)
        body, seen = bytearray(), 0
        more = refusal is None or b"expect" not in headers  # who asks first has not sent the body yet
        while more and seen <= 2 * self._most:  # a client that is cut off while it sends does not read the answer
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            part = message.get("body", b"")
            more, seen = message.get("more_body", False), seen + len(part)
            if seen > self._most:
                refusal = refusal or (413, self._too_large)
            if refusal is None:
                body += part
        if refusal is not None:
            await _refuse(send, *refusal)
            return
        pending: list[Message] = [{"type": "http.request", "body": bytes(body), "more_body": False}]

        async def again() -> Message:
            return pending.pop() if pending else await receive()

        await self._app(scope, again, send)

    def _objection(self, headers: dict[bytes, bytes]) -> tuple[int, str] | None:
        """What the headers alone give away: a status and the reason."""
        if headers.get(b"content-encoding", b"identity") != b"identity":
            return 415, "compressed bodies are not read; send the request without Content-Encoding"
        if b"inference-header-content-length" in headers:
            return 400, "tensors as binary data are not read; send JSON, as tritonclient does with binary_data=False"
        declared = headers.get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > self._most:
            return 413, self._too_large
        return None


async def _refuse(send: Send, status: int, reason: str) -> None:
    body = json.dumps({"error": reason}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),  # the rest of the body is not read
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
