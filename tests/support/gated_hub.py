"""A server on this machine that refuses every request, as the Hugging Face hub may."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

GATED = {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access to this model is restricted."}
"""Headers of the hub's answer to somebody who has not accepted a model's terms."""


class _Hub(BaseHTTPRequestHandler):
    def __init__(self, status: int, headers: dict[str, str], *given: Any) -> None:
        self._status, self._headers = status, headers
        super().__init__(*given)

    def do_HEAD(self) -> None:
        """Refuse."""
        self.send_response(self._status)
        for name, value in self._headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *given: object) -> None:
        """Say nothing."""


@contextmanager
def refusing_hub(status: int, headers: dict[str, str]) -> Iterator[int]:
    """The port of a hub that answers every request with a status and headers."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Hub, status, headers)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@contextmanager
def gated_hub() -> Iterator[int]:
    """The port of a hub all of whose models are gated."""
    with refusing_hub(403, GATED) as port:
        yield port
