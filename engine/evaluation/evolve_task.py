"""The module that evaluators import, and the harness that runs evaluators and candidates inside the sandbox.

For the author of an `evaluate.py`:

    import evolve_task

    def evaluate(program_path, report):
        circles = evolve_task.call("construct_packing", seconds=30)
        if not circles:
            raise evolve_task.Invalid("no circles")
        report(step=1, circles=len(circles))
        return {"score": float(len(circles))}

`call` runs a function of the candidate in a sandbox of its own and returns data; a `Session` is such a sandbox for many
calls, which can be timed, a `Baseline` a program of the task's own to time beside it; `source` returns the candidate's
text, `program_file` the path of its file, and `built` that of what was built from it; raise `Invalid` if a returned
value breaks the rules; `progress` streams numbers from a helper that runs beside the candidate.
Standard library only, Python 3.9 or later.

It stays one file despite its length: nothing else of the engine may become importable in an evaluation. Bubblewrap
mounts this file alone; without it, the file's folder, full of the engine's modules, is on `sys.path` for this import
only.
"""

# What is imported here delays every start: pathlib, and what stands on `re` (json, base64) or `enum` (signal).
# ruff: noqa: PTH102, PTH103, PTH110, PTH120, PTH112, PTH118, PTH119, PTH208

from __future__ import annotations

import _thread
import os
import sys

TYPE_CHECKING = False  # defined here because importing typing takes time
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, NoReturn

__all__ = [
    "Baseline",
    "CandidateError",
    "CandidateTimeout",
    "Invalid",
    "Report",
    "Session",
    "Timed",
    "built",
    "call",
    "memory",
    "program_file",
    "progress",
    "source",
    "time_call",
]

CHANNEL = 3
ARRAY = "__evolve_array__"
BUILD_SAID = 4000  # bytes of what a build prints that are kept: compilers say first what matters most
FEEDBACK = 20480  # characters of feedback that are kept
PICTURE = 4096  # numbers of a picture
CONSTRUCTION = 524288  # characters of a construction, as JSON
LARGEST = 1e300  # larger numbers could overflow in sums and differences


class Invalid(Exception):
    """Raise it in an evaluator if the candidate's result breaks the rules. The status is then `invalid`."""


class CandidateError(Exception):
    """The candidate raised, ended without an answer, or returned no valid data. If uncaught, the status is `crashed`.

    Its `str()` is one line; `traceback` is the candidate's, or empty if there is none.
    """

    def __init__(self, message: str, traceback: str = "") -> None:
        super().__init__(message)
        self.traceback = traceback


class CandidateTimeout(CandidateError):
    """The candidate gave no answer within `seconds`. If uncaught, the status is `timeout`."""


class Report:
    """Stream progress, and hold the parameters of this evaluation.

    Attributes:
        stage: `quick`, `explore` or `verify`.
        repeat: index of this repetition, from 0.
        seed: seed for random numbers of the evaluation, 31 bits.
        data_seed: seed for data that the candidate is judged on, 63 bits. Never hand it, nor what follows from it
            alone, to the candidate.
        sandbox_seed: seed for what happens in the candidate's process, 31 bits; it tells nothing about the others.
        settings: the task's settings, overridden by the stage's.
        given: in a task of the kind `improve`, the construction that the candidate is to improve: that of the program
            which it was made from, as `keep` got it; None if there is none, as for the seeds.
        device: the assigned GPU; empty if there is none.
        cores: the processors that an exclusive task's candidate runs on, and nothing else of this engine; else empty.
        scratch: the writable folder.
    """

    def __init__(self, job: dict[str, Any]) -> None:
        self.stage: str = job["stage"]
        self.repeat: int = job["repeat"]
        self.seed: int = job["seed"]
        self.data_seed: int = job["data_seed"]
        self.sandbox_seed: int = job["sandbox_seed"]
        self.settings: dict[str, Any] = job["settings"]
        self.given: Any = _from_json(job["given"].encode()) if job.get("given") else None
        self.device: str = job["device"]
        self.cores: list[int] = job["cores"]
        self.scratch: str = job["scratch"]

    def __call__(self, step: float | None = None, **values: float) -> None:
        """Report numbers while the evaluation runs; values that are not finite numbers are left out.

        Args:
            step: the progress on the task's own scale (training steps, tokens, instances).
            values: named numbers, such as loss=0.31.
        """
        progress(step, **values)

    def feedback(self, text: object) -> None:
        """Say in words what to improve: designs from this program and the analyzer read it, people too.

        Calls add up, a line each; the first 20,480 characters are kept. Held-out data do not belong here.
        """
        _add_feedback(str(text))

    def picture(self, kind: str, data: Any) -> None:
        """Keep a picture of the result, which people see on the node's screen and in reports; the last one counts.

        Args:
            kind: `points` (rows of x and y), `circles` (rows of x, y and radius) or `steps` (heights of a function).
            data: a list of them, of at most 4,096 numbers in all.

        Raises:
            ValueError: the kind is unknown, the numbers are too many, or not finite.
        """
        width = {"points": 2, "circles": 3, "steps": 1}.get(kind)
        if width is None:
            raise ValueError(f"a picture is of points, circles or steps, not of {kind!r}")
        rows = [[float(x) for x in row] if width > 1 else [float(row)] for row in data]
        if not rows or len(rows) * width > PICTURE or any(len(row) != width for row in rows):
            raise ValueError(f"a picture of {kind} is a list with {width} numbers each, at most {PICTURE} in all")
        if not all(abs(x) <= LARGEST for row in rows for x in row):
            raise ValueError("a picture holds finite numbers only")
        _pictures[:] = [_to_json({"kind": kind, "data": rows})]

    def keep(self, construction: Any) -> None:
        """Keep what the candidate constructed, for programs that are made from it to improve; the last one counts.

        Only a task of the kind `improve` stores it.

        Args:
            construction: finite numbers in lists, tuples and arrays; at most 524,288 characters as JSON.

        Raises:
            ValueError: it is longer.
            TypeError: it holds what is no data.
        """
        kept = _to_json(_to_lists(construction))
        if len(kept) > CONSTRUCTION:
            raise ValueError(f"a construction has {len(kept):,} characters as JSON, more than {CONSTRUCTION:,}")
        _constructions[:] = [kept]


def progress(step: float | None = None, **values: float) -> None:
    """Report numbers from a helper that runs beside the candidate in a `call` with a `report`, as `Report` does.

    The numbers are no more trustworthy than the candidate: use them for curves, never for a score.
    """
    numbers = {name: _to_number(value) for name, value in values.items()}
    finite = {name: value for name, value in numbers.items() if value is not None}
    _send({"type": "progress", "step": _to_number(step), "values": finite})


def call(function: str, *args: Any, seconds: float | None = None, report: Report | None = None, **kwargs: Any) -> Any:
    """Run a top-level function of the candidate in a sandbox of its own, and return its result.

    Arguments and the returned value must be data: None, booleans, numbers, strings, lists, dicts with string keys, and
    numpy arrays of numbers. Tuples are returned as lists. Only one call runs at a time.

    Args:
        function: its name; or `helper.py:name` for a function of a file in the task folder, which runs beside the
            candidate and loads it with `import program`. A helper's result is no more trustworthy than the candidate.
        args: passed to the function, as are `kwargs`.
        seconds: the time limit, the candidate's imports included; by default that of the evaluation.
        report: lets `progress` in that sandbox stream values as this evaluation's; without it `progress` is an error.

    Raises:
        CandidateError: it raised, ended without an answer, or returned no valid data.
        CandidateTimeout: it took longer than `seconds`.
        TypeError: an argument is not data.
    """
    file, colon, name = function.rpartition(":")
    helper = _read_helper(file) if colon else None
    header = {"function": name, "helper": helper, "seconds": seconds, "progress": report is not None}
    return _ask(header, function, [list(args), kwargs])


class Timed:
    """A call and what it took.

    Attributes:
        value: what the function returned.
        seconds: what to judge by: the larger of `wall`, and `cpu` shared among the processors that the candidate may
            use. So work that it does before it is asked or after it has answered counts as well.
        wall: from just before the arguments are sent until the answer is here, by the caller's monotonic clock.
        cpu: CPU time of the candidate's process since the end of its last call, all its threads included.
        cores: the processors that it may use. If it is one, `cpu` alone tells what the call took, without the time in
            which other programs had it.
        kept: bytes of the shared memory, copied as soon as the answer was here.
    """

    def __init__(self, value: Any, wall: float, cpu: float, cores: int, kept: bytes) -> None:
        self.value = value
        self.wall = wall
        self.cpu = cpu
        self.cores = cores
        self.seconds = max(wall, cpu / cores)
        self.kept = kept


class Session:
    """One sandbox for many calls: the candidate is loaded once, and its globals persist between calls.

        with evolve_task.Session() as candidate:
            for step in range(100):
                gradient = candidate.call("gradient", position)

    It is open from its first call to the end of the `with` block; no other call can be made in that time.

    Args:
        file: a helper in the task folder that runs beside the candidate and loads it with `import program`; calls then
            go to its functions instead of the candidate's. A helper's result is no more trustworthy than the candidate.
        memory: bytes of memory that the candidate shares, for arrays; with it, be it 0, calls can be timed.

    Attributes:
        cpu_seconds: CPU time that the sandbox's process had used at its last answer, threads included and processes
            that it started not. The supervisor reads it, so that no candidate can change it.
        memory: that memory, from the first call on; the candidate has it as `evolve_task.memory()`, and may write there
            at any time.
    """

    def __init__(self, file: str | None = None, memory: int | None = None) -> None:
        self._helper = _read_helper(file) if file else None
        self._open = False
        self._size = memory
        self._link: Any = None
        self._lost = False
        self.cpu_seconds = 0.0
        self.memory: Any = None

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        if self._open:
            self._open = False
            with _call_lock:
                _send({"type": "close"})
                _receive()
        if self._link is not None:
            self._link.close()
            self._link = None

    def load(self, seconds: float | None = None) -> None:
        """Load the candidate now, without calling a function of it.

        Raises:
            CandidateError: it raised, or ended.
            CandidateTimeout: it took longer than `seconds`.
        """
        self.call("", seconds=seconds)

    def call(self, function: str, *args: Any, seconds: float | None = None, **kwargs: Any) -> Any:
        """Run a function as `evolve_task.call` does, in the session's sandbox.

        A candidate that raises stays available; after a timeout or its end every further call of the session fails.

        Raises:
            CandidateError: it raised, ended without an answer or before this call, or returned no valid data.
            CandidateTimeout: it took longer than `seconds`.
            TypeError: an argument is not data.
        """
        header: dict[str, Any] = {"function": function, "seconds": seconds, "session": "again"}
        if self._lost:
            raise CandidateError(_GONE)
        if not self._open:
            header.update(session="new", helper=self._helper, memory=self._size)
            self._open = True
        return _ask(header, function, [list(args), kwargs], self)

    def time_call(
        self, function: str, *args: Any, seconds: float | None = None, keep: slice | None = None, **kwargs: Any
    ) -> Timed:
        """Run a function as `call` does, and time it; the candidate must have been loaded, and the session have memory.

        Arguments and result count: hand over large arrays in the memory. What the candidate did since its last call in
        the session is charged to this one, so let nothing lie between them that it must do.

        Args:
            function: its name.
            args: passed to the function, as are `kwargs`.
            seconds: the time limit; by default that of the evaluation.
            keep: what to copy from the memory at once: the candidate can write there after its answer.

        Raises:
            CandidateError: it raised, ended, be it after its answer, answered before it was asked, or returned no
                valid data.
            CandidateTimeout: it took longer than `seconds`.
            TypeError: an argument is not data.
            RuntimeError: the session has no memory, or was not called before.
        """
        if self._lost:
            raise CandidateError(_GONE)
        if self._link is None:
            raise RuntimeError("time_call needs Session(memory=…) and a load() or call() before")
        try:
            answer, body, wall, kept = _time(self._link, function, [list(args), kwargs], seconds, self.memory, keep)
        except CandidateTimeout:
            self._lost = True
            self.__exit__()
            raise
        except ConnectionError:
            self.call("")  # the supervisor knows how it ended
            raise CandidateError(f"{function}: {_GONE}") from None
        before = self.cpu_seconds
        with _call_lock:
            _send({"type": "cpu"})
            told, _ = _receive()
        used = told.get("cpu_seconds", 0.0)
        if before and not used:
            # It has ended since, and what it took is not known: that must not make it cheap.
            self.call("")  # the supervisor knows how it ended
            raise CandidateError(f"{function}: {_GONE}")
        self.cpu_seconds = used
        return Timed(_value(answer, body, function), wall, self.cpu_seconds - before, _cores(), kept)

    def _share(self, fds: list[int]) -> None:
        """Take what is shared with the candidate."""
        import _socket
        import mmap

        self._link = _socket.socket(fileno=fds[0])
        if fds[1:]:
            self.memory = mmap.mmap(fds[1], int(self._size or 0))
            os.close(fds[1])


class Baseline:
    """A program of the task's own, such as its seed, in a process of its own: to time beside a candidate, turn by turn.

        with evolve_task.Session("run.py", memory=0) as candidate, evolve_task.Baseline("run.py", "seed.py") as seed:
            candidate.load()
            ratio = seed.time_call("run", 3).seconds / candidate.time_call("run", 3).seconds

    It runs as the evaluator does, with all that the evaluator may read: never give it a candidate. Its `call` and
    `time_call` are those of a session; it runs on the candidate's processors.

    Args:
        file: a helper in the task folder, as for a session; None to call the program's functions.
        program: the program's path, relative to the task folder.
        built: the folder of what was built from it, for `built` in the helper.
        memory: bytes of shared memory.

    Attributes:
        memory: that memory.
    """

    def __init__(self, file: str | None, program: str, built: str = "", memory: int = 0) -> None:
        import _socket
        import mmap

        path = os.path.join(_the_job()["task_folder"], program)
        with open(path, encoding="utf-8") as opened:
            text = opened.read()
        job = {"helper": _read_helper(file) if file else None, "program_path": path, "built": built}
        self.memory: Any = mmap.mmap(-1, memory) if memory else None
        ours, theirs = _socket.socketpair()
        sys.stdout.flush()
        sys.stderr.flush()
        self._pid = os.fork()
        if not self._pid:
            try:
                ours.close()
                limit = _job["limits"]["result_mb"]
                cores = _job["cores"]
                _job.clear()
                if cores:
                    os.sched_setaffinity(0, cores)
                _shared.append(self.memory)
                find = _finder(job, text)
                link = theirs.detach()
                while _serve(link, find, limit):
                    pass
            finally:
                os._exit(0)
        theirs.close()
        self._link: Any = ours
        self._clock = (~self._pid << 3) | 2
        self.cpu_seconds = 0.0

    def __enter__(self) -> Baseline:
        return self

    def __exit__(self, *_: object) -> None:
        self._link.close()
        os.kill(self._pid, 9)  # it may be in a call that has timed out
        os.waitpid(self._pid, 0)

    def call(self, function: str, *args: Any, seconds: float | None = None, **kwargs: Any) -> Any:
        """Run a function and return its result, as `Session.call` does."""
        return self.time_call(function, *args, seconds=seconds, **kwargs).value

    def time_call(
        self, function: str, *args: Any, seconds: float | None = None, keep: slice | None = None, **kwargs: Any
    ) -> Timed:
        """Run a function and time it, as `Session.time_call` does."""
        import time

        before = time.clock_gettime(self._clock)
        answer, body, wall, kept = _time(self._link, function, [list(args), kwargs], seconds, self.memory, keep)
        cpu = time.clock_gettime(self._clock) - before
        return Timed(_value(answer, body, function), wall, cpu, _cores(), kept)


_GONE = "the session's candidate is gone"


def time_call(function: str, *args: Any, seconds: float | None = None, **kwargs: Any) -> Timed:
    """Run a function as `call` does, in a candidate that has been loaded, and time it.

    Raises:
        CandidateError: it raised, ended without an answer, or returned no valid data.
        CandidateTimeout: it took longer than `seconds`.
        TypeError: an argument is not data.
    """
    file, colon, name = function.rpartition(":")
    with Session(file if colon else None, memory=0) as candidate:
        candidate.load(seconds=seconds)
        return candidate.time_call(name, *args, seconds=seconds, **kwargs)


def memory() -> Any:
    """Return the memory that a session's candidate, or the helper beside it, shares with the evaluator.

    Raises:
        RuntimeError: there is none.
    """
    if not _shared or _shared[0] is None:
        raise RuntimeError("nothing is shared: the evaluator says Session(memory=…)")
    return _shared[0]


_shared: list[Any] = []
"""In a candidate, or a baseline: the memory that it shares, or None."""


def _cores() -> int:
    """Return how many processors a candidate may use."""
    return len(_the_job()["cores"] or os.sched_getaffinity(0))


def _time(
    link: Any, name: str, arguments: list[Any], seconds: float | None, memory: Any, keep: slice | None
) -> tuple[dict[str, Any], bytes, float, bytes]:
    """Make a call over a link; return the answer's header and body, the seconds, and what was copied.

    Raises:
        CandidateError: the process at the other end does not keep to the form.
        ConnectionError: it is gone.
        CandidateTimeout: no answer came in time.
        TypeError: an argument is not data.
    """
    import time

    limit = int(_the_job()["limits"]["result_mb"] * 2**20) + 65536
    body = _encode(arguments)
    data = _to_json({"function": name}).encode() + b"\n" + body
    data = len(data).to_bytes(4, "big") + data
    deadline = time.monotonic() + seconds if seconds is not None else None
    try:
        link.settimeout(0)
        try:
            early = link.recv(1)
        except BlockingIOError:
            pass
        else:
            if not early:
                raise ConnectionError(_GONE)
            raise CandidateError("it answered before it was asked")
        link.settimeout(seconds)
        began = time.perf_counter_ns()
        link.sendall(data)
        size = int.from_bytes(_pull(link, 4, deadline), "big")
        if size > limit:
            raise CandidateError(f"{name} answered with {size} bytes, more than result_mb allows")
        answer = _pull(link, size, deadline)
        wall = (time.perf_counter_ns() - began) / 1e9
    except TimeoutError:
        raise CandidateTimeout(f"{name}: no answer within {seconds:g} s") from None
    except OSError:
        raise ConnectionError(f"{name}: {_GONE}") from None
    kept = bytes(memory[keep]) if keep is not None else b""
    head, _, body = answer.partition(b"\n")
    try:
        header = _from_json(head)
        header["type"] = str(header["type"])
    except (ValueError, TypeError, KeyError, RecursionError):
        raise CandidateError(f"{name} answered with what is no message") from None
    return header, body, wall, kept


def _pull(link: Any, size: int, deadline: float | None) -> bytes:
    """Read bytes of a link.

    Raises:
        OSError: its other end is gone, or (TimeoutError) they did not come in time.
    """
    data = bytearray()
    while len(data) < size:
        if deadline is not None and data:
            import time

            link.settimeout(max(1e-3, deadline - time.monotonic()))
        part = link.recv(min(size - len(data), 1 << 20))
        if not part:
            raise ConnectionError("it is gone")
        data += part
    return bytes(data)


def _read_helper(file: str) -> dict[str, str]:
    with open(os.path.join(_the_job()["task_folder"], file), encoding="utf-8") as opened:
        return {"file": file, "source": opened.read()}


def _ask(header: dict[str, Any], name: str, arguments: list[Any], session: Session | None = None) -> Any:
    """Send a call, wait for its answer and decode it; a session keeps the CPU time that comes with it."""
    limits = _the_job()["limits"]
    body = _encode(arguments)
    if len(body) > limits["result_mb"] * 2**20:
        raise TypeError(f"the arguments take more than result_mb = {limits['result_mb']} MiB")
    fds: list[int] = []
    with _call_lock:
        _send({"type": "call", **header}, body)
        answer, body = _receive(fds if header.get("memory") is not None else None)
    if session is not None:
        session.cpu_seconds = answer.get("cpu_seconds", session.cpu_seconds)
        if fds:
            session._share(fds)
    return _value(answer, body, name)


def _value(answer: dict[str, Any], body: bytes, name: str) -> Any:
    """Return the value of an answer.

    Raises:
        CandidateError: there is none.
        CandidateTimeout: it did not come in time.
    """
    if answer["type"] == "timeout":
        raise CandidateTimeout(f"{name}: {answer['message']}")
    if answer["type"] == "raised":
        raise CandidateError(str(answer.get("message"))[:65536], str(answer.get("traceback", ""))[:65536])
    try:
        return _decode(body)
    except (ValueError, TypeError, KeyError, RecursionError, ImportError) as exc:
        raise CandidateError(f"{name} returned what is no data: {exc}") from None


def source() -> str:
    """Return the text of the candidate program."""
    return str(_the_job()["program"])


def program_file() -> str:
    """Return the path of the candidate's file, whose suffix is that of the task's language, or of its folder.

    An evaluator of a guarded task has no such file: there only a helper, which runs beside the candidate, may ask.

    Raises:
        RuntimeError: the evaluator of a guarded task asks, or it is not called in an evaluation.
    """
    if _job and _job["guarded"]:
        raise RuntimeError("a guarded task's evaluator has no program file: ask in a helper, call('helper.py:name')")
    return str((_job or _candidate or _the_job())["program_path"])


def built(name: str = "") -> str:
    """Return the path of a file that the task's `[build]` made of the candidate; without a name, that of their folder.

    An evaluator of a guarded task has no such file, as `program_file` says.

    Args:
        name: the file's name.

    Raises:
        RuntimeError: the evaluator of a guarded task asks, the task has no `[build]`, or it is no evaluation.
        FileNotFoundError: the build made no file of this name.
    """
    if _job and _job["guarded"]:
        raise RuntimeError("a guarded task's evaluator sees nothing built: ask in a helper, call('helper.py:name')")
    folder = str((_job or _candidate or _the_job())["built"])
    if not folder:
        raise RuntimeError("task.toml has no [build], so that nothing is built")
    path = os.path.join(folder, name)
    if not os.path.exists(path):
        raise FileNotFoundError(f"the build made no {name}, but {', '.join(sorted(os.listdir(folder))) or 'nothing'}")
    return path


_job: dict[str, Any] = {}
_candidate: dict[str, Any] = {}
"""The job of a process that runs the candidate or a helper beside it."""
_call_lock = _thread.allocate_lock()
_send_lock = _thread.allocate_lock()


def _the_job() -> dict[str, Any]:
    if not _job:
        raise RuntimeError("this works only inside an evaluation: try 'evolve check TASK'")
    return _job


# Frames: a length of four bytes, a header (one line of JSON), a body


def _send(header: dict[str, Any], body: bytes = b"") -> None:
    if _job.get("pid", os.getpid()) != os.getpid():
        raise RuntimeError("report() and call() work only in the process that runs evaluate()")
    payload = _to_json(header).encode() + b"\n" + body
    view = memoryview(len(payload).to_bytes(4, "big") + payload)
    with _send_lock:
        while view:
            view = view[os.write(CHANNEL, view) :]


def _receive(fds: list[int] | None = None) -> tuple[dict[str, Any], bytes]:
    """Read a frame; descriptors that come with it are added to the list, if there is one."""
    first = b""
    if fds is not None:
        import _socket

        channel = _socket.socket(fileno=os.dup(CHANNEL))
        first, ancillary, _, _ = channel.recvmsg(4, 64)
        channel.close()
        for _, kind, packed in ancillary:
            if kind == _socket.SCM_RIGHTS:
                fds += [int.from_bytes(packed[at : at + 4], sys.byteorder) for at in range(0, len(packed) & ~3, 4)]
        for fd in fds:
            os.set_inheritable(fd, False)
        if not first:
            os._exit(1)
    head, _, body = _read(int.from_bytes(first + _read(4 - len(first)), "big")).partition(b"\n")
    header: dict[str, Any] = _from_json(head)
    return header, body


def _read(size: int, fd: int = CHANNEL) -> bytes:
    data = bytearray()
    while len(data) < size:
        part = os.read(fd, min(size - len(data), 1 << 20))
        if not part:
            os._exit(1)  # the other end has ended, so nobody waits for a result
        data += part
    return bytes(data)


# JSON


def _to_json(value: Any) -> str:
    """Encode plain values, as json.dumps does."""
    if _encoder is None:
        import json

        return json.dumps(value)
    return "".join(_encoder(value, 0))


def _from_json(data: bytes, hook: Callable[[dict[str, Any]], Any] | None = None) -> Any:
    """Decode JSON, as json.loads does.

    Args:
        data: the text in UTF-8.
        hook: called with each object; its result takes the object's place.

    Raises:
        ValueError: it is not JSON.
    """
    if _encoder is None:
        import json

        return json.loads(data, object_hook=hook)
    import _json

    text = data.decode("utf-8", "surrogatepass").strip(" \t\n\r")
    scan: Any = _json.make_scanner(_Scanned(hook))  # type: ignore[arg-type]
    try:
        value, end = scan(text, 0)
    except StopIteration as exc:
        raise ValueError(f"no JSON at character {exc.value}") from None
    if end != len(text):
        raise ValueError(f"more than JSON at character {end}")
    return value


class _Scanned:
    """The settings of the json module's scanner, whose own module stands on `re`."""

    strict = True
    object_pairs_hook = None
    array_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float

    def __init__(self, hook: Callable[[dict[str, Any]], Any] | None) -> None:
        self.object_hook = hook


def _refuse(value: object) -> Any:
    raise TypeError(f"a {type(value).__name__} is not data")


def _make_encoder() -> Callable[[Any, int], tuple[str, ...]] | None:
    """Return the json module's own encoder; None if this interpreter has another."""
    try:
        import _json

        _json.make_scanner(_Scanned(None))  # type: ignore[arg-type]
        return _json.make_encoder(None, _refuse, _json.encode_basestring_ascii, None, ": ", ", ", False, False, True)
    except (ImportError, AttributeError, TypeError):
        return None


_encoder = _make_encoder()


# Data


def _encode(value: Any) -> bytes:
    """Encode data as JSON.

    Raises:
        TypeError: it contains a value that is not data; the message says where.
    """
    return _to_json(_to_plain(value, "value")).encode()


def _to_plain(value: Any, where: str) -> Any:
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, (list, tuple)):
        return [_to_plain(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"{where} has the key {key!r:.40}: keys must be strings")
        return {key: _to_plain(item, f"{where}[{key!r:.40}]") for key, item in value.items()}
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.generic):
        return _to_plain(value.item(), where)
    if numpy is not None and isinstance(value, numpy.ndarray):
        if value.dtype.kind not in "biufc":
            raise TypeError(f"{where} is an array of {value.dtype}: only numbers can be handed over")
        import base64

        data = base64.b64encode(numpy.ascontiguousarray(value).tobytes()).decode()
        return {ARRAY: [value.dtype.str, list(value.shape), data]}
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    raise TypeError(
        f"{where} is a {kind}: only None, booleans, numbers, strings, lists, dicts and numpy arrays are data"
    )


def _to_lists(value: Any) -> Any:
    """Return plain data with lists in the place of arrays."""
    if type(value).__module__ == "numpy" and hasattr(value, "tolist"):
        value = value.tolist()
    return [_to_lists(item) for item in value] if isinstance(value, (list, tuple)) else _to_plain(value, "construction")


def _decode(data: bytes) -> Any:
    return _from_json(data, _to_array)


def _to_array(found: dict[str, Any]) -> Any:
    if list(found) != [ARRAY]:
        return found
    import base64

    import numpy

    kind, shape, data = found[ARRAY]
    dtype = numpy.dtype(str(kind))
    if dtype.kind not in "biufc" or not all(isinstance(size, int) and size >= 0 for size in shape):
        raise ValueError("an array of no numbers")
    return numpy.frombuffer(base64.b64decode(data, validate=True), dtype).reshape(shape).copy()


def _to_number(value: Any) -> int | float | None:
    """Convert a finite number up to 1e300 to a plain int or float, or return None.

    Whole numbers beyond 2**53 become floats. numpy's scalars and arrays of one element count as numbers.
    """
    if type(value).__module__ == "numpy" and hasattr(value, "item"):
        try:
            value = value.item()
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    # Not float(value): a subclass could return another number.
    number = int.__int__(value) if isinstance(value, int) else float.__float__(value)
    if not abs(number) <= LARGEST:  # also true for NaN
        return None
    return float(number) if isinstance(number, int) and abs(number) > 2**53 else number


def _show(value: Any) -> str:
    """Format a value for a message; objects with a custom __repr__ are named by their type only."""
    if isinstance(value, (type(None), bool, int, float, str, list, tuple, dict)):
        try:
            text = repr(value)
        except Exception:
            text = "?"
        return f"{text if len(text) <= 80 else text[:77] + '...'} ({type(value).__name__})"
    return f"a {type(value).__name__}"


_feedback: list[str] = []
_pictures: list[str] = []
_constructions: list[str] = []


def _add_feedback(text: str) -> None:
    room = FEEDBACK - sum(len(part) + 1 for part in _feedback)
    if room > 0 and text.strip():
        _feedback.append(text.rstrip()[:room])


def _add_artifacts(found: Any) -> None:
    """Add named texts to the feedback."""
    if not isinstance(found, dict):
        sys.stderr.write(f"evolve: left out 'artifacts', {_show(found)}: expected a dict of texts by name\n")
        return
    for name, value in found.items():
        text = bytes(value).decode("utf-8", "replace") if isinstance(value, (bytes, bytearray)) else str(value)
        _add_feedback(f"[{name}]\n{text}" if "\n" in text.strip() else f"[{name}] {text.strip()}")


def _make_result(returned: Any, metric: str) -> dict[str, Any]:
    """Build the result message for the value that `evaluate` returned."""
    expected = f"expected a dict with a finite number (up to 1e300 in size) as {metric!r}"
    if not isinstance(returned, dict):
        return {"status": "invalid", "reason": f"evaluate() returned {_show(returned)}, {expected}"}
    if metric not in returned:
        keys = ", ".join(str(key)[:40] for key in list(returned)[:20]) or "none"
        return {"status": "invalid", "reason": f"evaluate() returned no {metric!r} (its keys: {keys}), {expected}"}
    score = _to_number(returned[metric])
    metrics: dict[str, Any] = {}
    for key, value in returned.items():
        if key == metric:
            continue
        if key == "feedback" and isinstance(value, str):
            _add_feedback(value)
            continue
        if key == "artifacts":
            _add_artifacts(value)
            continue
        number = _to_number(value)
        if number is not None or value is None or isinstance(value, bool):
            metrics[str(key)] = value if number is None else number
        elif isinstance(value, (int, float)):
            metrics[str(key)] = None  # NaN, infinity or a magnitude above 1e300: unusable in arithmetic
        elif isinstance(value, str):
            metrics[str(key)] = str(value[:4096])
        elif isinstance(value, (list, tuple)) and len(value) <= 64 and all(_to_number(x) is not None for x in value):
            metrics[str(key)] = [_to_number(x) for x in value]
        else:
            note = "metrics are numbers, strings, booleans, None and lists of up to 64 numbers"
            sys.stderr.write(f"evolve: left out the metric {str(key)[:40]!r}, {_show(value)}: {note}\n")
    if score is None:
        shown = _show(returned[metric])
        return {"status": "invalid", "reason": f"{metric!r} is {shown}, {expected}", "metrics": metrics}
    return {"status": "ok", "score": float(score), "metrics": metrics}


# The harness


_libraries: list[Any] = []


def _library() -> Any:
    """Return the C library, opened once: a process that others are forked from opens it for them."""
    if not _libraries:
        import ctypes

        _libraries.append(ctypes.CDLL(None, use_errno=True))
    return _libraries[0]


def _confine(job: dict[str, Any]) -> None:
    """Set kernel-enforced limits for this process and its children; they cannot be raised again."""
    import resource

    def limit(which: int, soft: int, hard: int) -> None:
        most = resource.getrlimit(which)[1]
        bounds = [value if most == resource.RLIM_INFINITY else min(value, most) for value in (soft, hard)]
        resource.setrlimit(which, (bounds[0], bounds[1]))

    limits = job["limits"]
    file_bytes = int(limits["file_mb"] * 2**20)
    limit(resource.RLIMIT_FSIZE, file_bytes, file_bytes)
    limit(resource.RLIMIT_CORE, 0, 0)
    if limits["cpu_seconds"] is not None:
        cpu = -int(-limits["cpu_seconds"] // 1)
        limit(resource.RLIMIT_CPU, cpu, cpu + 1)
    if job["address_space"]:
        limit(resource.RLIMIT_AS, job["address_space"], job["address_space"])
        limit(resource.RLIMIT_MEMLOCK, 64 * 2**20, 64 * 2**20)
    limit(12, 819200, 819200)  # RLIMIT_MSGQUEUE: message queues take memory that no process shows
    # Threads count too, so this is only a backstop between two checks by the supervisor.
    processes = limits["processes"] * 16 + 256
    libc = _library()
    # A refusal to set one of these must end this process: nothing may run less confined than the engine says.
    bare = job.get("privileges")  # of an evaluator that starts containers, which a person has agreed to
    if not bare:
        _check(libc.prctl(38, 1, 0, 0, 0), "forbid new privileges")  # PR_SET_NO_NEW_PRIVS
    if job["sandbox"] != "bubblewrap":
        # Without a user namespace it counts all processes of the user, at most all of the machine.
        with open("/proc/loadavg") as file:
            processes += 4096 + int(file.read().split()[3].partition("/")[2])
        os.chdir(os.environ["HOME"])
        if os.getsid(0) != os.getpid():
            os.setsid()  # a signal to this process group must not reach the supervisor
        libc.prctl(1, 9, 0, 0, 0)  # PR_SET_PDEATHSIG, SIGKILL
        limit(10, job["mark"], job["mark"])  # RLIMIT_LOCKS, which Linux ignores: by it the engine finds what is left
        if not bare:
            import ctypes

            libc.capset((ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)())
    limit(resource.RLIMIT_NPROC, processes, processes)
    libc.prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE: no other process may read this one or its descriptors
    if job.get("pinned"):
        os.sched_setaffinity(0, job["pinned"])
    confinement = job["confinement"]
    if confinement["join"]:
        libc.syscall(confinement["join"], 1, None)  # KEYCTL_JOIN_SESSION_KEYRING: a new and empty one
    if confinement["landlock"]:
        _apply_landlock(libc, confinement["landlock"], job["program_path"], job["built"])
        _landlocked.append(True)
    if confinement["filter"]:
        _apply_filter(libc, bytes.fromhex(confinement["filter"]))


def _check(result: int, what: str) -> int:
    """Return the result of a system call.

    Raises:
        OSError: it failed.
    """
    if result < 0:
        import ctypes

        raise OSError(ctypes.get_errno(), f"the kernel does not let this process {what}")
    return result


def _apply_filter(libc: Any, program: bytes) -> None:
    """Have the kernel judge every further system call of this process and its children by a BPF program."""
    import ctypes
    import struct

    # A number and a pointer, packed: to make a class for them takes longer than the call.
    wanted = struct.pack("@HP", len(program) // 8, ctypes.cast(ctypes.c_char_p(program), ctypes.c_void_p).value)
    # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
    _check(libc.prctl(22, ctypes.c_ulong(2), wanted, 0, 0), "filter its system calls")


def _apply_landlock(libc: Any, plan: dict[str, Any], program_path: str, built: str = "") -> None:
    """Confine this process and its children to some files."""
    import ctypes
    import struct

    # Older kernels take fewer fields, and newer ones take fewer too.
    fields = [plan["handled"], plan["net"], plan["scoped"]]
    while not fields[-1]:
        fields.pop()
    attributes = struct.pack(f"={len(fields)}Q", *fields)
    size = ctypes.c_size_t(len(attributes))
    ruleset = _check(libc.syscall(ctypes.c_long(444), attributes, size, 0), "make rules of Landlock")
    everything = plan["handled"]
    own = [(os.environ["HOME"], everything), ("/proc/self", everything & 0b1100), (program_path, everything & 0b1100)]
    if built:
        own.append((built, everything & 0b1101))
    for path, access in [*plan["rules"], *own]:
        try:
            fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue  # it is gone, or there is no program file: then nothing of it can be opened either
        # Rights that files have: execute, write, read, truncate, ioctl.
        most = everything if os.path.isdir(path) else 0b1100000000000111
        rule = struct.pack("=Qi", access & most, fd)
        _check(libc.syscall(ctypes.c_long(445), ruleset, 1, rule, 0), f"add a rule for {path}")
        os.close(fd)
    _check(libc.syscall(ctypes.c_long(446), ruleset, 0), "be confined by Landlock")
    os.close(ruleset)


def _last_line(error: BaseException) -> str:
    text = str(error).strip()
    line = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return line + (_WITHOUT_SHARED if _landlocked and _needs_shared(error) else "")


_landlocked: list[bool] = []
"""Not empty if Landlock confines this process."""
_WITHOUT_SHARED = (
    " (the level landlock gives no named semaphores and no shared memory, which pools, queues and locks of "
    "multiprocessing and workers of a DataLoader need: use processes with pipes, threads, or num_workers=0)"
)


def _needs_shared(error: BaseException) -> bool:
    """Tell whether an error comes from a lack of named semaphores or shared memory."""
    if not isinstance(error, PermissionError):
        return "shared memory object" in str(error) and "ermission denied" in str(error)
    frames = error.__traceback__
    while frames is not None and frames.tb_next is not None:
        frames = frames.tb_next
    file = frames.tb_frame.f_code.co_filename if frames is not None else ""
    return file.endswith(("multiprocessing/synchronize.py", "multiprocessing/shared_memory.py"))


def _traceback(error: BaseException) -> str:
    """Format the traceback without the frames of this file and of the import system."""
    import traceback

    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename in (__file__, "<frozen importlib._bootstrap>"):
        frames = frames.tb_next
    try:
        return "".join(traceback.format_exception(type(error), error, frames))
    except Exception as exc:  # a helper may have changed anything: report the failure nevertheless
        return f"{_last_line(error)}\n(no traceback: {_last_line(exc)})\n"


def _load(path: str, name: str, text: str) -> Any:
    """Execute a file's text as a module that can be imported by its name."""
    module = type(sys)(name)
    module.__file__ = path
    sys.modules[name] = module
    exec(compile(text, path, "exec"), module.__dict__)  # noqa: S102 - running it is what this is for
    return module


def _positional(function: Callable[..., Any]) -> int:
    """Return how many positional arguments `evaluate` takes, 1 or 2."""
    code = getattr(function, "__code__", None)
    if code is not None:
        return 2 if code.co_flags & 0x04 else min(2, code.co_argcount)  # 0x04: it has *args
    import inspect

    found = inspect.signature(function).parameters.values()
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in found):
        return 2
    return min(
        2, sum(parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD) for parameter in found)
    )


def _evaluate(job: dict[str, Any]) -> dict[str, Any]:
    """Run the evaluator and return the result message."""
    path = os.path.join(job["task_folder"], "evaluate.py")
    sys.path.insert(0, job["task_folder"])
    try:
        with open(path, encoding="utf-8") as file:
            module = _load(path, "evaluate", file.read())
        function = module.evaluate
        returned = function(*(job["program_path"], Report(job))[: _positional(function)])
        if hasattr(returned, "__await__"):
            import asyncio

            async def finish() -> Any:
                return await returned

            returned = asyncio.run(finish())
        return _make_result(returned, job["metric"])
    except Invalid as exc:
        return {"status": "invalid", "reason": str(exc) or "the evaluator calls it invalid"}
    except CandidateError as exc:
        sys.stderr.write(f"{exc.traceback or exc}\n")
        return {"status": "timeout" if isinstance(exc, CandidateTimeout) else "crashed", "reason": str(exc)}
    except BaseException as exc:
        sys.stderr.write(_traceback(exc))
        reason = _last_line(exc)
        if job["guarded"] and job["program_path"] in reason:
            reason += " (a guarded task's evaluator has no program file: use evolve_task.call or evolve_task.source)"
        return {"status": "crashed", "reason": reason}


def _build(job: dict[str, Any], program: bytes) -> tuple[dict[str, Any], bytes]:
    """Run the command that builds the candidate; return the result message, and what it made as JSON."""
    import base64
    import subprocess

    build = job["build"]
    folder = os.path.join(job["scratch"], "build")
    os.mkdir(folder)
    given = {name: base64.b64decode(content) for name, content in build["files"].items()}
    if build["program"]:
        given[build["program"]] = program
    for name, content in given.items():
        os.makedirs(os.path.dirname(os.path.join(folder, name)), exist_ok=True)
        with open(os.path.join(folder, name), "wb") as file:
            file.write(content)
    command = build["command"]
    try:
        with subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as process:
            assert process.stdout is not None
            said = bytearray()
            length = 0
            for line in process.stdout:
                length += len(line)
                said += line[: BUILD_SAID - len(said)]
    except OSError as exc:
        what = f"the task's [build] cannot run {command[0]!r}: {exc.strerror}"
        return {"status": "crashed", "reason": f"{what}; install it, or correct `command` in task.toml"}, b""
    text = said.decode("utf-8", "replace").replace(folder + "/", "")
    if length > len(said):
        text += f"\n({length - len(said)} more bytes)\n"
    sys.stderr.write(text)
    if process.returncode:
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        told = next((line for line in lines if "error" in line.lower()), lines[-1] if lines else "it says nothing")
        how = f"exit code {process.returncode}" if process.returncode > 0 else f"signal {-process.returncode}"
        return {"status": "invalid", "reason": f"the build failed ({how}): {told[:400]}"}, b""
    made: dict[str, str] = {}
    size, limit = 0, job["limits"]["result_mb"]
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.name in given or not entry.is_file(follow_symlinks=False):
            continue
        size += entry.stat(follow_symlinks=False).st_size * 4 // 3
        if size > limit * 2**20:
            return {"status": "invalid", "reason": f"the build made more than result_mb = {limit} MiB"}, b""
        with open(entry.path, "rb") as file:
            made[entry.name] = base64.b64encode(file.read()).decode()
    return {"status": "ok", "score": 0.0, "metrics": {}}, _to_json(made).encode()


def _load_candidate(job: dict[str, Any], program: str) -> Any:
    """Return the module whose functions are called: the candidate's, or that of the helper beside it.

    A helper runs the candidate by importing it: whatever the helper sets up first applies to the candidate too.
    """
    helper = job["helper"]
    _candidate.update(job)
    path = job["program_path"]
    if not helper and not path.endswith(".py"):
        what = f"{os.path.basename(path)} is no Python module"
        raise TypeError(f"{what}: call a function of a helper, evolve_task.call('helper.py:name')")
    if not helper:
        return _load(job["program_path"], "program", program)
    # Load what hands over an array or reports a failure: a helper may forbid opening files from now on.
    import base64  # noqa: F401
    import tokenize  # noqa: F401 - from Python 3.13 on it is imported only where a source line is shown
    import traceback  # noqa: F401

    if os.path.isdir(path):
        sys.path.insert(0, path)  # a candidate of several files, whose modules the helper imports
    else:
        sys.meta_path.insert(0, _Program(path, program))
    return _load(helper["file"], os.path.basename(helper["file"]).partition(".")[0], helper["source"])


class _Program:
    """Import hook that provides the candidate's module as `program`."""

    def __init__(self, path: str, text: str) -> None:
        from importlib.machinery import ModuleSpec

        self._spec = ModuleSpec("program", self, origin=path)  # type: ignore[arg-type]
        self._path = path
        self._text = text

    def find_spec(self, name: str, path: object = None, target: object = None) -> Any:
        return self._spec if name == "program" else None

    def create_module(self, spec: object) -> None:
        """Use the default module creation."""

    def exec_module(self, module: Any) -> None:
        module.__file__ = self._path
        exec(compile(self._text, self._path, "exec"), module.__dict__)  # noqa: S102 - running it is what this is for


def _answer(find: Callable[[], Any], name: str, body: bytes, result_mb: float) -> tuple[dict[str, Any], bytes]:
    """Call a function of the module that `find` returns; return the answer as header and body."""
    try:
        args, kwargs = _decode(body)
        module = find()
        if not name:
            return {"type": "returned"}, _encode(None)
        function = getattr(module, name, None)
        if not callable(function):
            return {"type": "raised", "message": f"the program defines no function {name}()"}, b""
        answer = _encode(function(*args, **kwargs))
        if len(answer) > result_mb * 2**20:
            raise ValueError(f"{name} returned more than result_mb = {result_mb} MiB")
        return {"type": "returned"}, answer
    except BaseException as exc:
        return {"type": "raised", "message": _last_line(exc)[:4096], "traceback": _traceback(exc)[-20000:]}, b""


def _run_candidate(job: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
    """Load the candidate, answer its calls and return the last answer as header and body.

    A session has no last call: the supervisor ends it.
    """
    size, result_mb = job["program_size"], job["limits"]["result_mb"]
    find = _finder(job, body[:size].decode())
    found = _answer(find, job["function"], body[size:], result_mb)
    polled = None
    if _links:
        import select

        polled = select.poll()
        for fd in (CHANNEL, _links[0]):
            polled.register(fd, select.POLLIN)
    while job.get("session"):
        _send(*found)
        while polled is not None and _serve(_links[0], find, result_mb, polled):
            pass
        header, arguments = _receive()
        found = _answer(find, header["function"], arguments, result_mb)
    return found


_links: list[int] = []
"""In a candidate whose calls can be timed: its end of the link to the evaluator."""


def _share(fds: list[int], size: int) -> None:
    """Take what this candidate shares with its evaluator: the link, and memory if there is some."""
    import mmap

    _links.append(fds[0])
    _shared.append(mmap.mmap(fds[1], size) if fds[1:] else None)
    for fd in fds[1:]:
        os.close(fd)


def _finder(job: dict[str, Any], program: str) -> Callable[[], Any]:
    """Return what loads the candidate at first, and returns its module."""
    loaded: list[Any] = []

    def find() -> Any:
        if not loaded:
            loaded.append(_load_candidate(job, program))
        return loaded[0]

    return find


def _serve(link: int, find: Callable[[], Any], result_mb: float, polled: Any = None) -> bool:
    """Answer one timed call; return False once the supervisor has a message, if both are polled."""
    if polled is not None and CHANNEL in dict(polled.poll()):
        return False
    head, _, arguments = _read(int.from_bytes(_read(4, link), "big"), link).partition(b"\n")
    header, body = _answer(find, _from_json(head)["function"], arguments, result_mb)
    payload = _to_json(header).encode() + b"\n" + body
    view = memoryview(len(payload).to_bytes(4, "big") + payload)
    while view:
        view = view[os.write(link, view) :]
    return True


def _say_ready(in_memory: Sequence[str]) -> None:
    """Tell the supervisor that this process runs: which one it is, and the folders in memory that it may fill.

    The supervisor sees neither from outside. The kernel translates the process id, and an open folder tells for ever
    how much is in it, files without a name included.
    """
    import _socket  # not socket, which takes longer

    header = b'{"type": "ready"}\n'
    folders = [os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC) for folder in in_memory]
    own = b"".join(number.to_bytes(4, sys.byteorder) for number in (os.getpid(), os.getuid(), os.getgid()))
    ancillary = [(_socket.SOL_SOCKET, _socket.SCM_CREDENTIALS, own)]
    if folders:
        packed = b"".join(fd.to_bytes(4, sys.byteorder) for fd in folders)
        ancillary.append((_socket.SOL_SOCKET, _socket.SCM_RIGHTS, packed))
    channel = _socket.socket(fileno=os.dup(CHANNEL))
    channel.sendmsg([len(header).to_bytes(4, "big") + header], ancillary)
    channel.close()
    for fd in folders:
        os.close(fd)


def _main(role: str, in_memory: Sequence[str] = ()) -> NoReturn:
    """Run as `evaluator` or `candidate` (`role`); the supervisor starts this.

    Args:
        in_memory: the writable folders whose content takes memory.
    """
    os.set_inheritable(CHANNEL, False)
    _say_ready(in_memory)
    fds: list[int] = []
    job, body = _receive(fds if role == "candidate" else None)
    if fds:
        _share(fds, job["memory"])
    os.environ.update(job.get("environment", {}))
    _confine(job)
    if job.get("home"):
        os.environ["HOME"] = job["home"]  # of an evaluator that runs unconfined
    # Those who watch see each line as it is printed, and a process that is killed loses none.
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    # A fork of this process must not send messages on its behalf.
    os.register_at_fork(after_in_child=lambda: os.close(CHANNEL))
    answer = b""
    if role == "evaluator":
        _job.update(job, program=body.decode(), pid=os.getpid())
        if "build" in job:
            found, answer = _build(job, body)
        elif "errand" in job:
            # This code is in no other evaluation; it comes with the job.
            found, answer = _load("evolve_errand.py", "evolve_errand", job["errand"]["source"]).run(job)
        else:
            found = _evaluate(job)
        said = {"feedback": "\n".join(_feedback), "picture": "".join(_pictures)}
        message = {"type": "result", **found, **said, "construction": "".join(_constructions)}
    else:
        message, answer = _run_candidate(job, body)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            pass  # the program closed or replaced the stream
    _send(message, answer)
    os._exit(0)  # skip the interpreter's shutdown: it can take a second and runs the program's code
