"""The application in a browser: who may connect, who may steer, what is shown. A WebSocket client is the browser."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pyte
import pytest
from textual.binding import Binding
from textual.dom import DOMNode

from engine.journal.reader import JournalReader
from engine.runs.folder import lock_run
from tests.conftest import COMMAND
from tests.needs import require
from tests.tui.conftest import Desk
from tests.tui.pilot import Maker, opened, text_of, until
from tests.tui.synthetic import make_run
from tui.access import allows

ROOT = Path(__file__).parents[2]

STEERING = {
    "app.log", "app.settings", "live.fork", "node.comment", "node.copy", "node.edit", "node.pin", "node.prune",
    "node.prune_all", "node.rerun", "node.save", "node.star", "notes.copy", "recorded.copy", "run.arm", "run.hint",
    "run.inject", "run.pause", "run.pause_now", "run.resume", "run.step", "run.stop", "run.undo", "runs.archive",
    "runs.delete", "runs.priors", "runs.rename", "runs.start", "runs.tag", "setting.change", "table.csv",
}  # fmt: skip
"""Bindings that act, or show more than runs; those of priors, editors and settings act, too."""
_ACTING_AREAS = ("priors.", "editor.", "history.", "conflict.", "settings.", "trust.", "confirm.", "prompt.")


def _ids(kind: type[DOMNode]) -> set[str]:
    own = {binding.id for binding in kind.BINDINGS if isinstance(binding, Binding) and binding.id}
    return own.union(*map(_ids, kind.__subclasses__()))


def test_reader_may_use_no_binding_that_acts() -> None:
    """Each binding reads or acts: one that is new, and in neither list, is found here."""
    from tui.keymap import unknown_ids

    unknown_ids(["any"])  # imports every screen
    ids = {id_ for id_ in _ids(DOMNode) if not id_.startswith(("command-palette", "stage."))}
    acting = {id_ for id_ in ids if id_ in STEERING or id_.startswith(_ACTING_AREAS)}
    assert not {id_ for id_ in acting if allows("read", id_)}
    left = {id_ for id_ in ids - acting if not allows("read", id_)}
    assert not left, "say of these in tui.access whether they only read"
    assert not allows("read", None) and allows("steer", "run.pause") and not allows("steer", "node.edit")


async def test_reader_is_offered_and_obeyed_in_no_act(live_run: Desk, runs: Path, make_app: Maker) -> None:
    app = make_app(live_run.run)
    app.access = "read"
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        assert "read-only" in text_of(app)
        await pilot.press("p", "P", "exclamation_mark", "x", "asterisk", "c", "i", "I", "e", "y", "w", "F", "E")
        await pilot.press("enter")
        await until(pilot, lambda: "1 Code" in text_of(app), "the node's page")
        await pilot.press("x", "asterisk", "c", "escape", "f2", "f12", "question_mark")
        await until(pilot, lambda: "tree.search" in text_of(app) or "Nodes: look around" in text_of(app), "the help")
        lines = ["".join(span.text for span in line) for line in app.screen._lines]  # type: ignore[attr-defined]
        assert not any(f" {id_}" in line for line in lines for id_ in ("run.pause", "node.prune", "live.fork"))
        await pilot.press("escape", "C")
        await until(pilot, lambda: "read-only" in text_of(app) and "revision" in text_of(app), "recorded priors")
        await pilot.press("a", "escape")
        assert live_run.commands() == []


@pytest.fixture
def servers() -> list[subprocess.Popen[str]]:
    """The servers that were started."""
    return []


@pytest.fixture
def serve(runs: Path, servers: list[subprocess.Popen[str]]) -> Iterator[Callable[..., dict[str, str]]]:
    """Starts the server; returns its addresses."""
    require("textual_serve")

    def start(*options: str) -> dict[str, str]:
        command = [*COMMAND, "web", "alpha", "--runs", str(runs), "--port", "0", *options]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        servers.append(process)
        assert process.stdout is not None
        lines = [process.stdout.readline().strip() for _ in range(1 + ("--steer" in options))]
        return dict(line.split(": ", 1) for line in lines)

    yield start
    for process in servers:
        process.terminate()
        process.communicate()


class Browser:
    """A terminal emulator behind a WebSocket."""

    def __init__(self, socket: Any) -> None:
        self.screen = pyte.Screen(120, 40)
        self._stream = pyte.ByteStream(self.screen)
        self._socket = socket

    @property
    def text(self) -> str:
        """What stands on the screen."""
        return "\n".join(self.screen.display)

    async def until(self, part: str) -> None:
        """Read until the screen shows something."""
        async with asyncio.timeout(90):
            while part not in self.text:
                message = await self._socket.receive()
                assert isinstance(message.data, bytes), message
                self._stream.feed(message.data)

    async def send(self, keys: str) -> None:
        """Press keys."""
        await self._socket.send_str(json.dumps(["stdin", keys]))

    async def send_raw(self, text: str) -> None:
        """Send what no page of this server sends."""
        await self._socket.send_str(text.encode("utf-8", "replace").decode())


@asynccontextmanager
async def browsing(address: str) -> AsyncIterator[Browser]:
    """Open the page, then what it connects to."""
    import aiohttp

    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        async with session.get(address) as page:
            assert page.status == 200 and "token" not in str(page.url)
            assert "default-src 'self'" in page.headers["Content-Security-Policy"]
            assert page.headers["Cache-Control"] == "no-store"
            assert "data-session-websocket-url" in await page.text()
        base = address.partition("/?")[0].rstrip("/")
        async with session.ws_connect(f"{base}/ws?width=120&height=40") as socket:
            yield Browser(socket)


async def test_browser_reads_and_with_the_token_steers(
    runs: Path, serve: Callable[..., dict[str, str]], servers: list[subprocess.Popen[str]]
) -> None:
    run = make_run(runs / "alpha", 60)
    with lock_run(run):
        desk = Desk(run)
        addresses = serve("--steer")
        async with browsing(addresses["read"]) as browser:
            await browser.until("row 1 of 60")
            for nonsense in (
                "",
                "{",
                "3",
                "[]",
                '["stdin"]',
                '["stdin", 3]',
                '["resize", {"width": "x"}]',
                '["\ud800"]',
            ):
                await browser.send_raw(nonsense)
            await browser.send("p")
            await browser.send("\r")
            await browser.until("1 Code")
            await browser.send("*")
            await browser.send("2")
            await browser.until("a seed has no parent")
            assert desk.commands() == []
        # With the browser its application goes, so that another one finds room.
        await asyncio.to_thread(_wait_until_childless, servers[0].pid)
        async with browsing(addresses["steer"]) as browser:
            await browser.until("row 1 of 60")
            await browser.send("p")
            await browser.until("pausing")
            assert desk.commands() == [("pause", {})]
            # A browser that looks on does not hold up the end: unclosed, it would take until its heartbeat is missed.
            servers[0].send_signal(signal.SIGINT)
            assert await asyncio.to_thread(servers[0].wait, 20) == 0


async def test_other_sites_and_wrong_tokens_are_refused(runs: Path, serve: Callable[..., dict[str, str]]) -> None:
    import aiohttp

    make_run(runs / "alpha", 5, end="finished")
    addresses = serve("--steer")
    base = addresses["read"].rstrip("/")
    port = base.rpartition(":")[2]
    async with aiohttp.ClientSession() as session:

        async def status(path: str, **headers: str) -> int:
            async with session.get(f"{base}{path}", headers=headers, allow_redirects=False) as response:
                assert response.status == 101 or "Set-Cookie" not in response.headers
                return response.status

        assert await status("/", Host=f"evil.example:{port}") == 403, "a name that was bound to this address"
        assert await status("/", Host=f"localhost:{port}") == 303, "one name, so that the cookie fits"
        assert await status("/?token=wrong") == 403
        assert await status("/ws") == 400, "no WebSocket"
        upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
        upgrade["Sec-WebSocket-Key"] = "AAAAAAAAAAAAAAAAAAAAAA=="
        for origin in ("http://evil.example", f"http://127.0.0.1:{int(port) - 1}", "null"):
            assert await status("/ws", Origin=origin, **upgrade) == 403
    listening = _listening(int(port))
    assert listening == {"0100007F"}, "the loopback interface alone"
    with JournalReader(runs / "alpha" / "run.db") as reader:
        assert reader.last_command() == 0


def _wait_until_childless(pid: int) -> None:
    children = Path(f"/proc/{pid}/task/{pid}/children")
    deadline = time.monotonic() + 60
    while children.read_text().split():
        assert time.monotonic() < deadline, "the application has not ended"
        time.sleep(0.05)


def _listening(port: int) -> set[str]:
    """The addresses on which something listens at a port, as the kernel writes them."""
    rows = [line.split() for name in ("tcp", "tcp6") for line in _lines(Path(f"/proc/net/{name}"))]
    found = [row[1].split(":") for row in rows if len(row) > 3 and row[3] == "0A"]
    return {address for address, number in found if int(number, 16) == port}


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines()[1:] if path.exists() else []


@pytest.mark.parametrize("sends", ["", r"D\0\0\0\1x"])
async def test_application_that_does_not_leave_is_killed(sends: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It hangs; or what it sent cannot be handed on, so that nobody reads from it."""
    require("textual_serve")
    from textual_serve.download_manager import DownloadManager

    from tui import web_server

    sent = asyncio.Event()

    async def lose(data: Any = None) -> None:
        sent.set()
        raise KeyError(data)

    monkeypatch.setattr(web_server, "_LEAVE_SECONDS", 0.2)
    service = web_server._Application(
        f"printf '__GANGLION__\\n{sends}'; exec sleep 300",
        write_bytes=lose,
        write_str=lose,
        close=lose,
        download_manager=DownloadManager(),
    )
    async with asyncio.timeout(60):
        await service.start(80, 24)
        if sends:
            await sent.wait()
        await service.end()
    assert service._process.returncode == -signal.SIGKILL


def test_without_the_package_the_command_names_it(runs: Path, tmp_path: Path) -> None:
    hidden = (
        "import importlib.util, sys; find = importlib.util.find_spec; "
        "importlib.util.find_spec = lambda name, *a: None if name == 'textual_serve' else find(name, *a); "
        f"sys.argv = ['evolve', 'web', '--runs', {str(tmp_path)!r}]; from engine.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", hidden], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 1 and "pip install asi-evolve-tui[web]" in done.stderr
