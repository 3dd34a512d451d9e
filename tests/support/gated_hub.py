"""A server on this machine that answers as the Hugging Face hub does for a gated model."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class _Hub(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        """The hub's answer to somebody who has not accepted the model's terms."""
        self.send_response(403)
        self.send_header("X-Error-Code", "GatedRepo")
        self.send_header("X-Error-Message", "Access to this model is restricted.")
        self.end_headers()

    def log_message(self, *given: object) -> None:
        """Say nothing."""


@contextmanager
def gated_hub() -> Iterator[int]:
    """The port of a hub all of whose models are gated."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()
