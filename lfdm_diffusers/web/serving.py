"""Serves the page on the loopback interface, with the headers that threads in a browser need."""

from __future__ import annotations

import errno
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from .folder import content_security_policy

HOST = "127.0.0.1"
FIRST_PORT, LAST_PORT = 7870, 7969
HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


class Handler(SimpleHTTPRequestHandler):
    """Files of one folder."""

    # What browsers insist on; a machine's own table may lack them.
    extensions_map = {
        **SimpleHTTPRequestHandler.extensions_map,
        ".js": "text/javascript",
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
        ".webmanifest": "application/manifest+json",
        ".svg": "image/svg+xml",
    }

    def end_headers(self) -> None:
        """With the page's own headers."""
        for name, value in {**HEADERS, "Content-Security-Policy": content_security_policy()}.items():
            self.send_header(name, value)
        super().end_headers()

    def list_directory(self, path: Any) -> None:
        """None: folders are not listed."""
        self.send_error(404)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is logged."""


def make_server(folder: str | Path, port: int | None = None) -> ThreadingHTTPServer:
    """A server of `folder`, which listens on loopback alone; `port` is by default the first free one from 7870.

    Raises:
        ValueError: if the port is taken.
    """
    handler = partial(Handler, directory=str(folder))
    for number in range(FIRST_PORT, LAST_PORT + 1) if port is None else (port,):
        try:
            return ThreadingHTTPServer((HOST, number), handler)
        except OSError as error:
            if port is not None or error.errno != errno.EADDRINUSE:
                raise ValueError(f"`--port`: {number} on {HOST} cannot be listened on ({error.strerror}).") from error
    raise ValueError(f"`--port`: all from {FIRST_PORT} to {LAST_PORT} are taken; name another.")
