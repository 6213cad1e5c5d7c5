"""A headless Chromium, driven through a pipe by its own protocol: no package and no open port is needed."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ("--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-extensions")
# No name is resolved, so nothing could be reached even if the page asked.
OFFLINE = "--host-resolver-rules=MAP * ~NOTFOUND"


def found() -> str | None:
    """Path of a Chromium, or None."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


class Browser:
    """One page of a Chromium without a network. Use it in a `with` statement.

    Attributes:
        requests: addresses that the page asked for. messages: errors and warnings of its console.
        downloads: the folder that takes what is downloaded.
    """

    def __init__(self, program: str, folder: Path) -> None:
        self.downloads = folder / "downloads"
        self.downloads.mkdir(parents=True, exist_ok=True)
        self._profile = tempfile.mkdtemp(dir=folder)
        self._program = program
        self.requests: list[str] = []
        self.messages: list[str] = []
        self._number, self._rest = 0, b""

    def __enter__(self) -> Browser:
        read_here, write_there = os.pipe()
        read_there, self._write = os.pipe()
        self._read = read_here
        root = ["--no-sandbox"] if os.geteuid() == 0 else []
        flags = [*FLAGS, OFFLINE, *root, f"--user-data-dir={self._profile}", "--remote-debugging-pipe"]
        # Chromium reads commands from descriptor 3 and writes answers to 4.
        shell = f'exec "$0" "$@" 3<&{read_there} 4>&{write_there}'
        self._process = subprocess.Popen(
            ["bash", "-c", shell, self._program, *flags, "about:blank"],
            pass_fds=(read_there, write_there),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(read_there)
        os.close(write_there)
        self._session: str | None = None
        pages = self.call("Target.getTargets")["targetInfos"]
        target = next(p["targetId"] for p in pages if p["type"] == "page")
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        self.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(self.downloads))
        return self

    def __exit__(self, kind: type | None, value: BaseException | None, trace: TracebackType | None) -> None:
        os.close(self._write)
        self._process.terminate()
        self._process.wait(30)
        os.close(self._read)
        shutil.rmtree(self._profile, ignore_errors=True)

    def call(self, method: str, *, timeout: float = 60, **params: Any) -> dict[str, Any]:
        """One command of the protocol and its answer."""
        self._number += 1
        command = {"id": self._number, "method": method, "params": params}
        if self._session:
            command["sessionId"] = self._session
        os.write(self._write, json.dumps(command).encode() + b"\0")
        until = time.monotonic() + timeout
        while True:
            answer = self._next(until, method)
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]
            self._note(answer)

    def evaluate(self, script: str) -> Any:
        """Value of an expression of JavaScript in the page; promises are awaited."""
        rules = {"awaitPromise": True, "returnByValue": True, "allowUnsafeEvalBlockedByCSP": False}
        done = self.call("Runtime.evaluate", expression=script, **rules)
        if "exceptionDetails" in done:
            raise RuntimeError(f"{script[:200]}: {done['exceptionDetails'].get('exception', {}).get('description')}")
        return done["result"].get("value")

    def open(self, path: Path, *, width: int = 1280, height: int = 900) -> None:
        """Load a file in a window of that size."""
        self.resize(width, height)
        self.requests.clear()
        self.messages.clear()
        self.call("Page.navigate", url=path.as_uri())

    def resize(self, width: int, height: int = 900) -> None:
        """Size of the window in CSS pixels; narrow ones behave as a phone."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **size)

    def wait(self, script: str, timeout: float = 60) -> Any:
        """The value of an expression as soon as it is true."""
        return _until(lambda: self.evaluate(script), timeout, f"{script} did not become true")

    def downloaded(self, act: Callable[[], Any], timeout: float = 30) -> Path:
        """The file that is downloaded after `act`."""
        for old in self.downloads.iterdir():
            old.unlink()
        act()

        def new() -> Path | None:
            files = [f for f in self.downloads.iterdir() if f.suffix != ".crdownload"]
            return next((f for f in files if not f.name.startswith(".") and f.stat().st_size), None)

        return _until(new, timeout, "nothing was downloaded")

    def press(self, key: str, code: int, modifiers: int = 0) -> None:
        """Press and release a key."""
        for kind in ("rawKeyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code=key,
                windowsVirtualKeyCode=code,
                modifiers=modifiers,
            )

    def _next(self, until: float, method: str) -> dict[str, Any]:
        while b"\0" not in self._rest:
            left = until - time.monotonic()
            if left <= 0 or not select.select([self._read], [], [], left)[0]:
                raise TimeoutError(f"{method}: the browser does not answer")
            part = os.read(self._read, 1 << 20)
            if not part:
                raise RuntimeError(f"{method}: the browser has ended")
            self._rest += part
        line, _, self._rest = self._rest.partition(b"\0")
        return json.loads(line)

    def _note(self, event: dict[str, Any]) -> None:
        params = event.get("params", {})
        match event.get("method"):
            case "Network.requestWillBeSent":
                self.requests.append(params["request"]["url"])
            case "Runtime.exceptionThrown":
                self.messages.append(str(params["exceptionDetails"].get("exception", {}).get("description")))
            case "Log.entryAdded" if params["entry"]["level"] in ("error", "warning"):
                self.messages.append(params["entry"]["text"])
            case "Runtime.consoleAPICalled" if params["type"] in ("error", "warning", "assert"):
                self.messages.append(str([part.get("value") for part in params["args"]]))


def _until(value: Callable[[], Any], timeout: float, failure: str) -> Any:
    end = time.monotonic() + timeout
    while not (found := value()):
        if time.monotonic() > end:
            raise TimeoutError(failure)
        time.sleep(0.05)
    return found
