"""A server of files on this machine, which answers requests for parts of them, and which can fail."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote


class Served(ThreadingHTTPServer):
    """The files of a folder, at the address `address`.

    Attributes:
        faults: what happens to the next requests for content, one each: the number of a status, "drop" (no answer),
            "cut" (the connection ends within the content), "short" (less content than was asked for), "whole" (all of
            it), or a function that is called before the answer.
        asked: parts (first byte, last byte) that were asked for.
    """

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder = folder
        self.faults: list[int | str | Callable[[], object]] = []
        self.asked: list[tuple[int, int]] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    """Answers HEAD and GET with a range."""

    protocol_version = "HTTP/1.1"
    server: Served

    def log_message(self, *said: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(None)

    def do_GET(self) -> None:
        fault = self.server.faults.pop(0) if self.server.faults else None
        if isinstance(fault, int):
            self.send_error(fault)
        elif fault == "drop":
            self.close_connection = True
        else:
            if callable(fault):
                fault()
            self._answer(fault if isinstance(fault, str) else "")

    def _answer(self, fault: str | None) -> None:
        path = self.server.folder / unquote(self.path).lstrip("/")
        if not path.is_file():
            self.send_error(404)
            return
        content, stat = path.read_bytes(), path.stat()
        part = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if fault is not None and part and fault != "whole":
            first, last = int(part[1]), int(part[2])
            self.server.asked.append((first, last))
            if first >= len(content):
                self.send_error(416)
                return
            body = content[first : last + 1]
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{first + len(body) - 1}/{len(content)}")
        else:
            body = content
            self.send_response(200)
        if fault == "short":
            body = body[: len(body) // 2]
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{stat.st_mtime_ns:x}-{stat.st_size:x}"')
        self.send_header("Last-Modified", formatdate(stat.st_mtime, usegmt=True))
        self.end_headers()
        if fault is not None:
            self.wfile.write(body[: len(body) // 2] if fault == "cut" else body)
            self.close_connection = fault == "cut"


@contextmanager
def serving(folder: Path) -> Iterator[Served]:
    """Serve a folder until the end of the block."""
    with Served(folder) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
