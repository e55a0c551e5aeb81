"""The Textual application: it holds the session and the way between the screens."""

from __future__ import annotations

import gc
import logging
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual import constants
from textual.app import App
from textual.binding import Binding, BindingType
from textual.command import CommandPalette
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Input

from engine.errors import EvolveError
from engine.journal.events import BestCrowned, RunFailed, RunFinished, RunStopped
from engine.runs.command_kinds import Answer, refuse
from engine.runs.folder import Run
from engine.workspace import workspace
from tui import acts
from tui.driver import TerminalDriver
from tui.encoding import needs_plain
from tui.feed.batch import Batch, FeedMaker
from tui.guard import HANGUP_EXIT, Guard
from tui.keymap import unknown_ids
from tui.log import tail_log
from tui.navigation import Navigator
from tui.palette import ActionProvider
from tui.screens.base import BaseScreen
from tui.screens.live import LiveScreen
from tui.screens.run_view import RunView
from tui.session import Session, Waiting
from tui.settings import TuiSettings
from tui.theme import DEFAULT_THEME, THEMES
from tui.widgets.hints import HintBar
from tui.widgets.painted import Painted

__all__ = ["BatchRead", "EvolveApp"]

_RINGING = (BestCrowned, RunFinished, RunFailed, RunStopped)

_log = logging.getLogger(__name__)


class BatchRead(Message):
    """A feed has read a batch."""

    def __init__(self, session: Session, batch: Batch) -> None:
        super().__init__()
        self.session = session
        self.batch = batch


class EvolveApp(App[int]):
    """Watches and steers runs.

    Args:
        runs: the folder of the runs.
        run: the run to look at first; None shows the list.
        replay: show how that run went instead of how it is: the event to begin at (None: the first), how many times
            faster than recorded, whether it plays at once.
        settings: look and keys.
        make_feed: gives the feed for a run; the seam for tests.
        log: the log file.
    """

    TITLE = "evolve"
    CSS = """
    App.-plain Prompt > Vertical, App.-plain Confirm > Vertical { border-top: ascii $look-border; }
    """
    COMMANDS = {ActionProvider}  # noqa: RUF012 - as the base class declares it
    ENABLE_COMMAND_PALETTE = True
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "ctrl+c", "leave", "Quit", id="app.interrupt", show=False, priority=True, tooltip="Leave; the run goes on"
        ),
    ]

    def __init__(
        self,
        runs: Path,
        run: Run | None,
        settings: TuiSettings,
        make_feed: FeedMaker,
        log: Path | None = None,
        replay: tuple[int | None, float, bool] | None = None,
        hints: bool = False,
    ) -> None:
        # A driver that the environment names is the one of a browser.
        super().__init__(driver_class=None if constants.DRIVER else TerminalDriver)
        self._started = time.monotonic()
        self.runs = runs
        self.session: Session | None = None
        self.cache = workspace() / "cache"
        self.settings = settings
        self.guard = Guard(self._lost, self._continued)
        self._hints_file = workspace() / "state" / "hints-seen"
        self.hints = hints and not self._hints_file.exists()
        """Show a few words for whoever is here for the first time."""
        self._first = run
        self._replay = replay
        self._make_feed = make_feed
        self._log_path = log
        self.animation_level = "none"
        for theme in THEMES.values():
            self.register_theme(theme)
        for name in set(self.available_themes) - set(THEMES):
            self.unregister_theme(name)
        self.theme = settings.theme if settings.theme in THEMES else DEFAULT_THEME
        # What Textual was told to begin with was no theme yet when it made the variables, and it makes them anew only
        # for another theme: widgets of its own would keep the colours of its own.
        self.stylesheet.set_variables(self.get_css_variables())
        self.set_keymap(settings.keymap)
        self.plain = needs_plain(settings.glyphs)
        """Draw with ASCII signs only."""
        self.set_class(self.plain, "-plain")

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """The looks' colours, for the moment before a theme is chosen."""
        return dict(THEMES[DEFAULT_THEME].variables)

    def on_mount(self) -> None:
        """Show the first screen and begin to watch the terminal."""
        if not self.is_headless:
            self.guard.install()
        if self._first is not None and self._replay is not None:
            self.replay(self._first, *self._replay)
        elif self._first is not None:
            self.attach(self._first)
        else:
            self.show_runs()
        self.call_after_refresh(self._name_what_is_unknown)

    def _name_what_is_unknown(self) -> None:
        """Say what config.toml asks for and nobody knows."""
        told = []
        if self.settings.theme not in THEMES:
            told.append(f"theme is one of {', '.join(THEMES)}, not '{self.settings.theme}'")
        unknown = unknown_ids(self.settings.keymap) if self.settings.keymap else []
        if unknown:
            told.append(f"keymap names no key of ours: {', '.join(unknown)}; the help shows the ids")
        if told:
            self.say(f"config.toml: [tui] {'; '.join(told)}", "bad", 10.0)

    def on_ready(self) -> None:
        """Note how long the start took."""
        _log.info("ready in %d ms", (time.monotonic() - self._started) * 1000)
        if self.session is None:
            _collect_again()

    # Between the screens

    def attach(self, run: Run) -> None:
        """Look at a run."""
        self._let_go()
        session = Session(self._make_feed(run))
        self._begin(session, LiveScreen(session))

    def replay(
        self, run: Run, at: int | None = None, speed: float = 10, playing: bool = True, came_from_live: bool = False
    ) -> None:
        """Look at how a run went.

        Args:
            run: the run.
            at: the event to begin at; the first one for None.
            speed: how many times faster than recorded.
            playing: whether it plays at once.
            came_from_live: whether leaving goes to the run as it is now.
        """
        from tui.feed.replay import ReplayFeed
        from tui.screens.replay import ReplayScreen

        self._let_go()
        session = Session(ReplayFeed(run, at, speed, playing))
        self._begin(session, ReplayScreen(session, came_from_live))

    def _begin(self, session: Session, screen: BaseScreen) -> None:
        session.answered = self._answered
        session.unanswered = partial(self._left, session)
        self.session = session
        self._show(screen)
        # After the first paint, since the reader would take its time from it.
        self.call_after_refresh(session.start, lambda batch: self._post(session, batch))

    def show_runs(self) -> None:
        """Show all runs."""
        from tui.screens.runs import RunsScreen

        self._let_go()
        _collect_again()
        self._show(RunsScreen(self.runs))

    def _show(self, screen: BaseScreen) -> None:
        if isinstance(self.screen, BaseScreen):
            self.switch_screen(screen)
        else:
            self.push_screen(screen)

    def _let_go(self) -> None:
        if self.session is not None:
            self.session.stop()
            self.session = None

    def show_node(self, node: int) -> None:
        """Show one node of the run."""
        from tui.screens.node import NodeScreen

        if self.session is not None:
            self.push_screen(NodeScreen(self.session, node))

    def show_priors(self, run: Run, node: int | None = None) -> None:
        """Show the priors that a run reads, or what would be found among them for one of its nodes."""
        from tui.screens.cognition import CognitionScreen

        session = self.session if self.session is not None and self.session.run == run else None
        self.push_screen(CognitionScreen(run, self.runs, session, node))

    def show_writing(self) -> None:
        """Show what models write for the run."""
        from tui.screens.writing import WritingScreen

        if self.session is not None:
            self.push_screen(WritingScreen(self.session))

    def leave_node(self, node: int) -> None:
        """Back to the population, with the cursor on the node that was looked at last."""
        self.pop_screen()
        for view in self.screen.query(RunView):
            view.go_to(node)

    # The feed

    def _post(self, session: Session, batch: Batch) -> None:
        # From the feed's thread; posting is safe from there and does not wait.
        self.post_message(BatchRead(session, batch))

    def on_batch_read(self, event: BatchRead) -> None:
        """Fold a batch in."""
        if event.session is self.session:
            event.session.take(event.batch)
            _collect_again()
            rings = any(isinstance(item.data, _RINGING) for item in event.batch.events)
            if rings and self.settings.bell and not event.session.is_replay:
                self.bell()

    def _answered(self, kind: str, answer: Answer) -> None:
        if not answer.ok:
            self.say(f"{kind} refused: {answer.text}", "bad", 10.0)
        elif answer.text and answer.text != kind:
            self.say(f"{kind}: {answer.text}", "ok")

    def _left(self, session: Session, command: int, waiting: Waiting) -> None:
        """Do what an engine was asked for when it ended, as far as that can be done without one."""

        def work() -> None:
            try:
                answer = acts.ask_again(session.run, command, waiting.kind, waiting.data)
            except EvolveError as exc:
                answer = refuse(exc)
            if answer is None:
                self.call_from_thread(session.sent, command, waiting.kind, waiting.data)
            else:
                self.call_from_thread(session.answered, waiting.kind, answer)

        self.run_worker(work, thread=True, group="acts", exit_on_error=False)

    def say(self, text: str, look: str, seconds: float = 5.0) -> None:
        """Say something on the screen that is seen."""
        _log.info("said: %s", text)
        for screen in reversed(self.screen_stack):
            if isinstance(screen, BaseScreen):
                screen.say(text, look, seconds)
                return

    def on_app_focus(self) -> None:
        """Look often again."""
        if self.session is not None:
            self.session.focus(True)

    def on_app_blur(self) -> None:
        """Look seldom: nobody sees it."""
        if self.session is not None:
            self.session.focus(False)

    # The terminal

    def _lost(self) -> None:
        self.exit(HANGUP_EXIT, return_code=HANGUP_EXIT)

    def _continued(self) -> None:
        self.refresh(layout=True)

    # Acting

    def action_leave(self) -> None:
        """Leave; the run goes on."""
        self.exit(0)

    def action_command_palette(self) -> None:
        """Show the palette, its cursor still: a blinking one writes for ever."""
        if not isinstance(self.screen, CommandPalette):
            palette = CommandPalette()
            self.push_screen(palette)
            self.call_after_refresh(_still, palette)

    def action_help(self) -> None:
        """Show what can be done here."""
        from tui.screens.reading import HelpScreen

        if isinstance(self.screen, BaseScreen) and not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen(self.screen))

    def action_log(self) -> None:
        """Show the last lines of the log."""
        from tui.screens.reading import LogScreen

        if not isinstance(self.screen, LogScreen):
            self.push_screen(LogScreen(tail_log(self._log_path), str(self._log_path or "")))

    def action_settings(self) -> None:
        """Show what can be set."""
        from tui.screens.settings import SettingsScreen

        if isinstance(self.screen, BaseScreen) and not isinstance(self.screen, SettingsScreen):
            self.push_screen(SettingsScreen(self.settings))

    def use_settings(self, settings: TuiSettings) -> None:
        """Look and sound as set from now on; keys and mouse take effect where they can."""
        before, self.settings = self.settings, settings
        if settings.theme in THEMES:
            self.theme = settings.theme
        if settings.keymap != before.keymap:
            self.set_keymap(settings.keymap)
        if (settings.theme, settings.keymap) != (before.theme, before.keymap):
            self._name_what_is_unknown()
        plain = needs_plain(settings.glyphs)
        if plain != self.plain:
            self.plain = plain
            self.set_class(plain, "-plain")
            self.refresh_css()
            for screen in self.screen_stack:
                for widget in screen.query(Painted):
                    widget.repaint_all()

    def forget_hints(self) -> None:
        """Take the hints away for good."""
        self.hints = False
        for screen in self.screen_stack:
            screen.query(HintBar).remove()
        try:
            self._hints_file.parent.mkdir(parents=True, exist_ok=True)
            self._hints_file.touch()
        except OSError as exc:
            _log.warning("%s cannot be written: %s", self._hints_file, exc.strerror)

    def _handle_exception(self, error: Exception) -> None:
        _log.error("fatal", exc_info=error)
        super()._handle_exception(error)

    def _print_error_renderables(self) -> None:
        """A plain line instead of a screen of locals; the log has the traceback."""
        if self._exit_renderables:
            self._exit_renderables.clear()
            print(
                f"evolve: the terminal application failed; see {self._log_path}. The run goes on.", file=sys.__stderr__
            )


def _collect_again() -> None:
    """Once the start is over, collect garbage, but never look for it among what the start made."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()


def _still(screen: Screen[Any]) -> None:
    for line in screen.query(Input):
        line.cursor_blink = False


if TYPE_CHECKING:

    def _check_navigator(app: EvolveApp) -> Navigator:
        """Fail the type check if the application lacks a way that screens use."""
        return app
