"""The Textual application: it holds the session, opens the screens, and folds in what the feed reads."""

from __future__ import annotations

import gc
import logging
import os
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
from engine.runs.command_kinds import Answer, refuse
from engine.runs.folder import Run
from engine.workspace import workspace
from tui import acts
from tui.access import Access
from tui.driver import TerminalDriver
from tui.encoding import needs_plain, output_encoding
from tui.feed.batch import Batch, FeedMaker
from tui.guard import HANGUP_EXIT, Guard
from tui.keymap import unknown_ids
from tui.log import tail_log
from tui.navigation import Navigator, RunScreenName
from tui.notify import NOTIFIED, notice_of, notify_sequence
from tui.palette import ActionProvider
from tui.screens.base import BaseScreen
from tui.screens.live import LiveScreen
from tui.screens.opening import make_screen
from tui.screens.run_view import RunView
from tui.session import Session, Waiting
from tui.settings import TuiSettings
from tui.theme import DEFAULT_THEME, THEMES
from tui.widgets.hints import HintBar
from tui.widgets.painted import Painted

__all__ = ["BatchRead", "EvolveApp"]

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
        run: the run to show first; None for the list of runs.
        replay: replay the run instead: the event to start at (None: the first), the speed as a multiple of the
            recorded one, whether to play at once.
        settings: look and keys.
        make_feed: return the feed for a run; the seam for tests.
        log: the log file.
        hints: show a few words to a new user.
        access: what the person may do.
    """

    TITLE = "evolve"
    CSS = """
    App.-plain Prompt > Vertical, App.-plain Confirm > Vertical { border-top: ascii $look-border; }
    App.-plain CommandPalette #--input { border: ascii $look-border; }
    App.-plain CommandPalette CommandList { border-bottom: ascii $look-border; }
    App.-plain CommandPalette SearchIcon { display: none; }
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
        access: Access = "terminal",
    ) -> None:
        # If the environment names a driver, it is that of a browser.
        super().__init__(driver_class=None if constants.DRIVER else TerminalDriver)
        self._started = time.monotonic()
        self.runs = runs
        self.session: Session | None = None
        self.cache = workspace() / "cache"
        self.settings = settings
        self.guard = Guard(self._hang_up, self._repaint)
        self._hints_file = workspace() / "state" / "hints-seen"
        self.hints = hints and not self._hints_file.exists()
        """Whether to show a few words to a new user."""
        self.access: Access = access
        self._runs_choice: RunsChoice | None = None
        self._graphics: Graphics | None = None
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
        # Textual made its variables before our theme was registered, and makes them anew only for another theme:
        # without this its own widgets would keep its own colours.
        self.stylesheet.set_variables(self.get_css_variables())
        self.set_keymap(settings.keymap)
        self.plain = needs_plain(settings.glyphs)
        """Whether to draw with ASCII signs only."""
        self.set_class(self.plain, "-plain")

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Return the colours of the looks until a theme is set."""
        return dict(THEMES[DEFAULT_THEME].variables)

    def on_mount(self) -> None:
        """Show the first screen and start watching the terminal."""
        if not self.is_headless:
            self.guard.install()
        if self._first is not None and self._replay is not None:
            self.replay(self._first, *self._replay)
        elif self._first is not None:
            self.attach(self._first)
        else:
            self.show_runs()
        self.call_after_refresh(self._report_unknown_settings)
        if self.access == "read":
            self.call_after_refresh(self.say, "read-only: nothing here changes a run", "accent", 10.0)

    def _report_unknown_settings(self) -> None:
        """Report an unknown theme and unknown binding ids in config.toml."""
        problems = []
        if self.settings.theme not in THEMES:
            problems.append(f"theme is one of {', '.join(THEMES)}, not '{self.settings.theme}'")
        unknown = unknown_ids(self.settings.keymap) if self.settings.keymap else []
        if unknown:
            problems.append(f"keymap: unknown id {', '.join(unknown)}; the help shows the ids")
        if problems:
            self.say(f"config.toml: [tui] {'; '.join(problems)}", "bad", 10.0)

    def on_ready(self) -> None:
        """Log how long the start took."""
        _log.info("ready in %d ms", (time.monotonic() - self._started) * 1000)
        if self.session is None:
            _enable_garbage_collection()

    # Opening screens

    def attach(self, run: Run) -> None:
        """Watch a run live."""
        self._stop_session()
        session = Session(self._make_feed(run))
        self._begin(session, LiveScreen(session))

    def replay(
        self, run: Run, at: int | None = None, speed: float = 10, playing: bool = True, came_from_live: bool = False
    ) -> None:
        """Replay a run.

        Args:
            run: the run.
            at: the event to start at; None for the first.
            speed: as a multiple of the recorded one.
            playing: whether to play at once.
            came_from_live: whether leaving returns to the live run.
        """
        from tui.feed.replay import ReplayFeed
        from tui.screens.replay import ReplayScreen

        self._stop_session()
        session = Session(ReplayFeed(run, at, speed, playing))
        self._begin(session, ReplayScreen(session, came_from_live))

    def _begin(self, session: Session, screen: BaseScreen) -> None:
        session.answered = self._answered
        session.unanswered = partial(self._carry_out_unanswered, session)
        self.session = session
        self._show(screen)
        # After the first paint, since the reader would delay it.
        self.call_after_refresh(session.start, lambda batch: self._post(session, batch))

    def show_runs(self) -> None:
        """Show the list of runs."""
        from tui.screens.runs import RunsChoice, RunsScreen

        self._stop_session()
        _enable_garbage_collection()
        self._runs_choice = self._runs_choice or RunsChoice()
        self._show(RunsScreen(self.runs, self._runs_choice))

    def _show(self, screen: BaseScreen) -> None:
        if isinstance(self.screen, BaseScreen):
            self.switch_screen(screen)
        else:
            self.push_screen(screen)

    def _stop_session(self) -> None:
        if self.session is not None:
            self.session.stop()
            self.session = None

    def show_node(self, node: int) -> None:
        """Show one node of the run."""
        from tui.screens.node import NodeScreen

        if self.session is not None:
            self.push_screen(NodeScreen(self.session, node))

    def show_priors(self, run: Run, node: int | None = None) -> None:
        """Show the priors of a run, or those that retrieval finds for one of its nodes."""
        from tui.screens.cognition import CognitionScreen

        session = self.session if self.session is not None and self.session.run == run else None
        if self.access == "read":
            # The list of a task's priors keeps files and base the same, which writes both.
            from tui.screens.recorded_priors import RecordedPriorsScreen

            self.push_screen(RecordedPriorsScreen(run, session))
            return
        self.push_screen(CognitionScreen(run, self.runs, session, node))

    def show_screen(self, name: RunScreenName) -> None:
        """Show another screen of the run."""
        if self.session is not None:
            self.push_screen(make_screen(name, self.session))

    def leave_node(self, node: int) -> None:
        """Go back to the population, with the cursor on the node."""
        self.pop_screen()
        for view in self.screen.query(RunView):
            view.go_to(node)

    # The feed

    def _post(self, session: Session, batch: Batch) -> None:
        # Runs in the feed's thread; posting is safe from there and does not wait.
        self.post_message(BatchRead(session, batch))

    def on_batch_read(self, event: BatchRead) -> None:
        """Fold a batch in."""
        if event.session is self.session:
            event.session.take(event.batch)
            _enable_garbage_collection()
            rings = any(isinstance(item.data, NOTIFIED) for item in event.batch.events)
            if rings and self.settings.bell and not event.session.is_replay:
                self.bell()
            if self.settings.notify != "off" and self.access == "terminal" and not event.session.is_replay:
                self._notify_desktop(event.session, event.batch)

    def _notify_desktop(self, session: Session, batch: Batch) -> None:
        """Notify of the newest event that is worth it: of several that came at once only that one matters."""
        newest = next((item for item in reversed(batch.events) if isinstance(item.data, NOTIFIED)), None)
        if newest is not None and session.model is not None and self._driver is not None:
            notice = notice_of(newest, session.model.state)
            in_tmux = "TMUX" in os.environ
            self._driver.write(notify_sequence(self.settings.notify, session.run.name, notice, in_tmux))
            self._driver.flush()

    def _answered(self, kind: str, answer: Answer) -> None:
        if not answer.ok:
            self.say(f"{kind} refused: {answer.text}", "bad", 10.0)
        elif answer.text and answer.text != kind:
            self.say(f"{kind}: {answer.text}", "ok")

    def _carry_out_unanswered(self, session: Session, command: int, waiting: Waiting) -> None:
        """Carry out a command that an engine left unanswered when it ended, if that needs no engine."""

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
        """Show a message on the visible screen."""
        _log.info("said: %s", text)
        for screen in reversed(self.screen_stack):
            if isinstance(screen, BaseScreen):
                screen.say(text, look, seconds)
                return

    def on_app_focus(self) -> None:
        """Poll often again."""
        if self.session is not None:
            self.session.focus(True)

    def on_app_blur(self) -> None:
        """Poll rarely: nobody looks."""
        if self.session is not None:
            self.session.focus(False)

    # The terminal

    @property
    def graphics(self) -> Graphics | None:
        """What pictures the terminal can show; None where only signs reach it."""
        driver = self._driver
        if not isinstance(driver, TerminalDriver) or self.access != "terminal" or self.plain or self.no_color:
            return None
        if self._graphics is None:
            from tui.graphics import Graphics

            # Kitty's placeholders are letters of Unicode whose colour says which picture they are of.
            colours = self.console.color_system if output_encoding() == "utf-8" else None
            deep = {"truecolor": True, "256": False}.get(colours or "")
            self._graphics = Graphics(driver, self.settings.pictures, deep, self.call_later)
        return self._graphics

    def _hang_up(self) -> None:
        self.exit(HANGUP_EXIT, return_code=HANGUP_EXIT)

    def _repaint(self) -> None:
        self.refresh(layout=True)

    # Acting

    def action_leave(self) -> None:
        """Exit; the run goes on."""
        self.exit(0)

    def action_command_palette(self) -> None:
        """Show the palette without a blinking cursor, which would write for ever."""
        if not isinstance(self.screen, CommandPalette):
            palette = CommandPalette()
            self.push_screen(palette)
            self.call_after_refresh(_stop_blinking, palette)

    def action_help(self) -> None:
        """Show the help of the current screen."""
        from tui.screens.reading import HelpScreen

        if isinstance(self.screen, BaseScreen) and not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen(self.screen))

    def action_log(self) -> None:
        """Show the last lines of the log."""
        from tui.screens.reading import LogScreen

        if not isinstance(self.screen, LogScreen):
            self.push_screen(LogScreen(tail_log(self._log_path), str(self._log_path or "")))

    def action_settings(self) -> None:
        """Show the settings."""
        from tui.screens.settings import SettingsScreen

        if isinstance(self.screen, BaseScreen) and not isinstance(self.screen, SettingsScreen):
            self.push_screen(SettingsScreen(self.settings))

    def use_settings(self, settings: TuiSettings) -> None:
        """Apply settings now; the mouse setting takes effect at the next start."""
        before, self.settings = self.settings, settings
        if settings.theme in THEMES:
            self.theme = settings.theme
        if self._graphics is not None:
            self._graphics.use(settings.pictures)
        if settings.keymap != before.keymap:
            self.set_keymap(settings.keymap)
        if (settings.theme, settings.keymap) != (before.theme, before.keymap):
            self._report_unknown_settings()
        plain = needs_plain(settings.glyphs)
        if plain != self.plain:
            self.plain = plain
            self.set_class(plain, "-plain")
            self.refresh_css()
            for screen in self.screen_stack:
                for widget in screen.query(Painted):
                    widget.repaint_all()

    def forget_hints(self) -> None:
        """Remove the hints for good."""
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
        """Print one plain line instead of a screen of locals; the log has the traceback."""
        if self._exit_renderables:
            self._exit_renderables.clear()
            print(
                f"evolve: the terminal application failed; see {self._log_path}. The run goes on.", file=sys.__stderr__
            )


def _enable_garbage_collection() -> None:
    """Enable garbage collection after the start, except for the objects that the start made."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()


def _stop_blinking(screen: Screen[Any]) -> None:
    for line in screen.query(Input):
        line.cursor_blink = False


if TYPE_CHECKING:
    from tui.graphics import Graphics
    from tui.screens.runs import RunsChoice

    def _check_navigator(app: EvolveApp) -> Navigator:
        """Fail the type check if the application lacks a way that screens use."""
        return app
