"""Run the command that designs on behalf of rounds: each run is recorded as a call, never repeated, within budgets."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from engine.errors import EvolveError, RunError, Stopping
from engine.evaluation.capacity import CapacityLimiter
from engine.evaluation.errand import arguments_of, lack_of, shown_paths, stdin_of
from engine.evaluation.evaluator import Job
from engine.evaluation.job import Errand
from engine.journal.database import sha256_of
from engine.journal.events import CallDone, CallStarted, CallTold
from engine.llm.command import Command, Left, ReadProgram
from engine.llm.messages import Role
from engine.llm.record import Place
from engine.llm.secrets import held_back_of, hide
from engine.llm.tries import Spent
from engine.loop.command_record import Ended, Usage, cost_told, prompt_of, read_end, usage_of
from engine.loop.evaluations import Evaluations
from engine.loop.flights import Flight, Flights
from engine.loop.gate import PauseGate
from engine.loop.recorded_run import RecordedRun
from engine.loop.session import RunSession
from engine.settings.command import CommandSettings
from engine.task.spec import Limits
from engine.text import begun_code_of, without_codes

__all__ = ["CommandCalls"]

_NO_ANSWER = "the engine ended before the command did"
_SPARE_SECONDS = 60.0
"""Beyond its time limit, for its start and its end."""
_FILE_MB = 512


class CommandCalls:
    """Run the command of a run's settings.

    Args:
        session: the run, in which every call is recorded.
        gate: lets a command start.
        evaluations: runs it, so that it is frozen, thawed and cancelled as evaluations are.
        flights: holds calls within the budgets.
        work: the folder for folders of running commands.
        task_folder: the run's copy of its task, which a command does not see.
    """

    def __init__(
        self,
        session: RunSession,
        gate: PauseGate,
        evaluations: Evaluations,
        flights: Flights,
        work: Path,
        task_folder: Path,
    ) -> None:
        self._session, self._gate, self._evaluations, self._flights = session, gate, evaluations, flights
        self._work, self._task_folder = work, task_folder
        self._slots = CapacityLimiter(session.state.settings.command.concurrency)
        self._recorded = RecordedRun(session)

    def for_round(self, round_: int) -> Command:
        """Return the function that runs the command on behalf of a round."""

        async def run(
            role: Role, files: Mapping[str, bytes], read: ReadProgram, most_bytes: int, seed: int, *, key: str
        ) -> Left:
            known = self._session.state.answered.get((round_, None, key))
            if known is not None:
                return self._left(known)
            settings = self._session.state.settings
            prompt = prompt_of(files)
            if settings.answers:
                return await self._replay((round_, None, key), role, prompt)
            self._slots.limit = settings.command.concurrency
            async with self._slots:
                await self._gate.wait(round_)
                flight = Flight(role, 0.0, settings.command.tokens or 0, Spent())
                await self._flights.admit(flight)
                # Another command may have been set meanwhile.
                problem = lack_of(self._session.state.settings.command)
                if problem:
                    return Left("", "", problem, "designer")
                return await self._run(round_, role, files, read, most_bytes, seed, key, prompt, flight)

        return run

    def close(self) -> None:
        """Close the journal of another run."""
        self._recorded.close()

    def _left(self, done: CallDone) -> Left:
        return Left(self._session.text(done.program), done.notes, done.problem)

    async def _run(
        self,
        round_: int,
        role: Role,
        files: Mapping[str, bytes],
        read: ReadProgram,
        most_bytes: int,
        seed: int,
        key: str,
        prompt: bytes,
        flight: Flight,
    ) -> Left:
        """Run the command once, and record it however it ends.

        Raises:
            Stopping: the engine is ending.
        """
        session, settings = self._session, self._session.state.settings.command
        call = session.state.last_call + 1
        self._flights.begin(call, flight)
        name = f"command:{settings.label}"
        secrets = {name: os.environ[name] for name in settings.environment}
        parameters = {field: value for field, value in msgspec.to_builtins(settings).items() if value not in (None, [])}
        started = CallStarted(call, role, name, sha256_of(prompt), parameters, key, command=settings.run)
        session.emit(started, round=round_, blobs=[prompt])
        live = _Live(session, round_, {"call": call, "role": role, "round": round_, "model": name}, secrets)
        told = _Told(session, round_, call)
        begun = time.monotonic()
        error = ""
        ended: Ended | None = None
        stopping = False
        try:
            folder = self._work / f"command-{round_}-{key.rpartition('/')[2]}"
            job = self._job(settings, files, most_bytes, seed, secrets, folder)
            outcome = await self._evaluations.run_errand(job, live.add, told.add)
            ended = read_end(outcome, read, settings, secrets)
        except Stopping:
            error, stopping = _NO_ANSWER, True
        except EvolveError as exc:
            error = hide(str(exc), secrets.values())
        finally:
            self._flights.end(call)
        usage = (ended.usage if ended is not None else None) or told.last
        left = ended.left if ended is not None else Left("", "", error, "designer")
        transcript = ended.transcript.encode() if ended is not None else b""
        program = left.code.encode()
        done = CallDone(
            call=call,
            role=role,
            model=name,
            answer_blob=sha256_of(transcript) if transcript else "",
            **cost_told(usage),
            seconds=round(time.monotonic() - begun, 3),
            error=error,
            fault="stopped" if stopping else "environment" if error else "",
            key=key,
            program=sha256_of(program) if program else "",
            notes=left.notes,
            problem=left.problem if ended is not None else "",
        )
        session.emit(done, round=round_, blobs=[blob for blob in (transcript, program) if blob])
        if stopping:
            raise Stopping
        # Nothing may come of a program that a crash could still lose.
        await session.durable()
        return left

    def _job(
        self,
        settings: CommandSettings,
        files: Mapping[str, bytes],
        most_bytes: int,
        seed: int,
        secrets: Mapping[str, str],
        folder: Path,
    ) -> Job:
        variables = {"EVOLVE_SEED": str(seed), "EVOLVE_SECONDS": f"{settings.seconds:g}", "NO_COLOR": "1"}
        variables |= {"TERM": "dumb"} | ({"EVOLVE_TOKENS": str(settings.tokens)} if settings.tokens else {})
        words, beside = arguments_of(settings)
        errand = Errand(
            command=words,
            files={**files, **beside},
            stdin=stdin_of(settings),
            seconds=settings.seconds,
            tokens=settings.tokens,
            most_bytes=most_bytes,
            network=settings.network,
            environment={**variables, **secrets},
        )
        limits = Limits(
            seconds=settings.seconds + _SPARE_SECONDS,
            memory_mb=settings.memory_mb,
            processes=settings.processes,
            file_mb=_FILE_MB,
            result_mb=2 + most_bytes * 2 // 2**20,
        )
        cores = len(os.sched_getaffinity(0))
        return Job(
            program="",
            task_folder=self._task_folder,
            folder=folder,
            metric="",
            guarded=True,
            gpu=False,
            python=None,
            mounts=shown_paths(settings),
            stage="command",
            repeat=0,
            seed=0,
            settings={},
            limits=limits,
            threads=max(1, cores // settings.concurrency),
            is_build=True,
            errand=errand,
        )

    async def _replay(self, place: Place, role: Role, prompt: bytes) -> Left:
        """Return what a command left in another run for these files.

        Raises:
            RunError: none is recorded.
        """
        found = self._recorded.calls.find(role, sha256_of(prompt), place)
        if found is None:
            raise RunError(
                f"{self._recorded.folder} holds nothing that a command left for the folder of round {place[0]} "
                f"({place[2]})",
                "It fits a run of the same task with the same settings, seed and one worker",
            )
        command = self._session.state.settings.command.run
        blobs = (found.answer_blob, found.program)
        return self._left(await self._recorded.give(found, place, prompt, blobs, command=command))


class _Live:
    """Show what a command prints while it runs, without secrets.

    Args:
        session: the run.
        round_: the round.
        head: the fields of each row beside its text.
        secrets: the values of the variables that it got, by name.
    """

    def __init__(self, session: RunSession, round_: int, head: dict[str, object], secrets: Mapping[str, str]) -> None:
        self._session, self._round, self._head, self._secrets = session, round_, head, list(secrets.values())
        self._kept = self._code = ""

    def add(self, stream: str, text: str, left_out: int) -> None:
        """Show more of it."""
        gap = f"\n… {left_out:,} bytes left out …\n" if left_out else ""
        if left_out:
            self._kept = self._code = ""
        # Colours may stand amid a secret, so they go first.
        text = self._code + text
        begun = begun_code_of(text)
        text, self._code = text[: len(text) - begun], text[len(text) - begun :]
        whole = hide(self._kept + without_codes(text), self._secrets)
        kept = held_back_of(whole, self._secrets)
        shown, self._kept = whole[: len(whole) - kept], whole[len(whole) - kept :]
        row = {**self._head, "text": gap + shown, "command": True}
        self._session.live("stream", self._round, msgspec.json.encode(row))


class _Told:
    """Record what a command says that its design cost, so that it counts however the command or the engine ends.

    Args:
        session: the run.
        round_: the round.
        call: the number of the call.
    """

    def __init__(self, session: RunSession, round_: int, call: int) -> None:
        self._session, self._round, self._call = session, round_, call
        self.last: Usage | None = None
        """What it said last that can be counted."""

    def add(self, step: float | None, values: dict[str, float]) -> None:
        """Take in what it says now."""
        usage = usage_of(values)
        if usage is not None:
            self.last = usage
            self._session.emit(CallTold(self._call, **msgspec.structs.asdict(usage)), round=self._round)
