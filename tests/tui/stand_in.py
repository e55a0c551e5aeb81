"""A stand-in for the engine: `python -m tests.tui.stand_in RUN --rate 10` goes on with a synthetic run, holds its lock
and answers commands.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.journal import events as ev
from engine.journal.clock import now_ms
from engine.journal.database import connect_writer, pending_commands
from engine.runs.folder import Run, lock_run
from tests.tui.synthetic import OpenRound, Pen, Synthesizer, make_run


def pick_up(run: Run) -> Synthesizer:
    """A generator that goes on where a journal ends, as far as its readers can tell."""
    from engine.journal.reader import JournalReader
    from engine.state.fold import fold_run

    with JournalReader(run.db) as reader:
        state = fold_run(reader)
    synthesizer = Synthesizer(seed=state.seq, workers=state.settings.workers or 4)
    synthesizer.seq = state.seq
    synthesizer.scores = [node.score for node in state.nodes]
    synthesizer.best = state.best
    synthesizer.rounds = state.rounds_started
    for number, open_round in sorted(state.open_rounds.items()):
        item = OpenRound(number, open_round.worker, phase=str(state.phase(open_round)), node=open_round.node)
        item.parent = open_round.learned.parent if open_round.learned else 0
        if item.phase != "end":
            synthesizer.open.append(item)
    return synthesizer


class StandIn:
    """Goes on with a run as an engine would: events at a rate, commands answered, the lock held."""

    def __init__(self, run: Run, rate: float) -> None:
        self.run = run
        self.rate = rate
        self.paused = False
        self.ended = False

    def work(self) -> None:
        """Until stopped by a command or SIGTERM."""
        synthesizer = pick_up(self.run)
        connection = connect_writer(self.run.db)
        connection.execute("PRAGMA synchronous=OFF")
        pen = Pen(connection, synthesizer)
        due: list[ev.Event] = []
        started = time.monotonic()
        written = 0
        with lock_run(self.run):
            while not self.ended:
                for command in pending_commands(connection):
                    due += [*self._answer(synthesizer, command.id, command.kind, command.data)]
                    connection.execute(
                        "UPDATE commands SET done_at = ?, result = 'ok' WHERE id = ?", (now_ms(), command.id)
                    )
                owed = 0 if self.paused else int((time.monotonic() - started) * self.rate) - written
                batch: list[ev.Event] = []
                while len(batch) < owed:
                    batch += synthesizer.advance()
                written += len(batch)
                if due or batch:
                    now = now_ms()
                    pen.write([event._replace(at=now) for event in due + batch])
                    due = []
                if self.paused:
                    started = time.monotonic() - written / self.rate if self.rate else time.monotonic()
                time.sleep(0.02)

    def _answer(self, synthesizer: Synthesizer, id_: int, kind: str, data: dict[str, Any]) -> Iterator[ev.Event]:
        node = data.get("node")
        known = isinstance(node, int) and 0 <= node < len(synthesizer.scores)
        simple = {"pin": ev.NodePinned, "unpin": ev.NodeUnpinned, "prune": ev.NodePruned, "restore": ev.NodeRestored}
        # The order of the events matters more than their number: batch events already have theirs.
        ok, result = True, "ok"
        if kind == "pause":
            self.paused = True
            yield synthesizer.event(ev.RunPaused(now=bool(data.get("now"))))
            result = "paused"
        elif kind == "resume":
            self.paused = False
            yield synthesizer.event(ev.RunResumed())
            result = "resumed"
        elif kind == "stop":
            self.ended = True
            result = "stopping"
        elif kind in simple and known:
            yield synthesizer.event(simple[kind](), None, node)
        elif kind == "star" and known:
            yield synthesizer.event(ev.NodeStarred(bool(data.get("starred", True))), None, node)
        elif kind == "inject":
            what: Any = data.get("what")
            program = synthesizer.blob(str(data["code"])) if what == "program" else ""
            yield synthesizer.event(ev.Injected(what, str(data.get("text", "")), program, str(data.get("name", ""))))
        else:
            ok, result = False, f"this engine knows no command '{kind}'"
        yield synthesizer.event(ev.CommandDone(id_, kind, ok, result))
        if self.ended:
            yield synthesizer.event(ev.RunStopped("stopped by hand"))


def main() -> None:
    """Go on with a run, or write one."""
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("--nodes", type=int, default=0, help="write a new run of so many nodes first")
    parser.add_argument("--shape", default="bushy")
    parser.add_argument("--hostile", action="store_true")
    parser.add_argument("--end", default="")
    parser.add_argument("--rate", type=float, default=0.0, help="then go on at so many events a second")
    options = parser.parse_args()
    if options.nodes:
        make_run(options.run, options.nodes, shape=options.shape, hostile=options.hostile, end=options.end)
    if options.rate or not options.nodes:
        stand_in = StandIn(Run(options.run), options.rate)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        stand_in.work()


if __name__ == "__main__":
    main()
