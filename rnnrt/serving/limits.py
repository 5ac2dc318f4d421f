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

    A body is read whole before it is passed on, as the server behind does anyway.

    Parameters
    ----------
    app : ASGI application
    max_bytes : int
    """

    def __init__(self, app: App, max_bytes: int) -> None:
        self._app, self._most = app, max_bytes

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.lower(): value for name, value in scope["headers"]}
        if headers.get(b"content-encoding", b"identity") != b"identity":
            await _refuse(send, 415, "compressed bodies are not read; send the request without Content-Encoding")
            return
        if b"inference-header-content-length" in headers:
            text = "tensors as binary data are not read; send JSON, as tritonclient does with binary_data=False"
            await _refuse(send, 400, text)
            return
        too_large = f"the body is larger than {self._most} bytes; send less at a time"
        declared = headers.get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > self._most:
            await _refuse(send, 413, too_large)
            return
        body, more = bytearray(), True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > self._most:
                await _refuse(send, 413, too_large)
                return
        pending: list[Message] = [{"type": "http.request", "body": bytes(body), "more_body": False}]

        async def again() -> Message:
            return pending.pop() if pending else await receive()

        await self._app(scope, again, send)


async def _refuse(send: Send, status: int, reason: str) -> None:
    body = json.dumps({"error": reason}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),  # the rest of the body is not read
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
