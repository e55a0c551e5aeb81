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
calls; `source` returns the candidate's text; raise `Invalid` if a returned value breaks the rules; `progress` streams
numbers from a helper that runs beside the candidate. Standard library only, Python 3.9 or later.

It stays one file despite its length: every sandbox mounts this file alone. A second file would cost each evaluation
another mount and another import.
"""

# Importing pathlib would delay the start.
# ruff: noqa: PTH112, PTH118, PTH119

from __future__ import annotations

import _thread
import base64
import json
import math
import os
import sys

TYPE_CHECKING = False  # defined here because importing typing takes time
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, NoReturn

__all__ = ["CandidateError", "CandidateTimeout", "Invalid", "Report", "Session", "call", "progress", "source"]

CHANNEL = 3
ARRAY = "__evolve_array__"
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
        device: the assigned GPU; empty if there is none.
        scratch: the writable folder.
    """

    def __init__(self, job: dict[str, Any]) -> None:
        self.stage: str = job["stage"]
        self.repeat: int = job["repeat"]
        self.seed: int = job["seed"]
        self.data_seed: int = job["data_seed"]
        self.sandbox_seed: int = job["sandbox_seed"]
        self.settings: dict[str, Any] = job["settings"]
        self.device: str = job["device"]
        self.scratch: str = job["scratch"]

    def __call__(self, step: float | None = None, **values: float) -> None:
        """Report numbers while the evaluation runs; values that are not finite numbers are left out.

        Args:
            step: the progress on the task's own scale (training steps, tokens, instances).
            values: named numbers, such as loss=0.31.
        """
        progress(step, **values)


def progress(step: float | None = None, **values: float) -> None:
    """Report numbers from a helper that runs beside the candidate in a `call` with a `report`, as `Report` does.

    The numbers are no more trustworthy than the candidate: use them for curves, never for a score.
    """
    numbers = {name: _to_number(value) for name, value in values.items()}
    finite = {name: value for name, value in numbers.items() if value is not None}
    _send({"type": "progress", "step": _to_number(step), "values": finite})


def call(function: str, *args: Any, seconds: float | None = None, report: Report | None = None, **kwargs: Any) -> Any:
    """Run a top-level function of the candidate in a sandbox of its own, and return what it returned.

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


class Session:
    """One sandbox for many calls: the candidate is loaded once, and its globals persist between calls.

        with evolve_task.Session() as candidate:
            for step in range(100):
                gradient = candidate.call("gradient", position)

    It is open from its first call to the end of the `with` block; no other call can be made in that time.

    Args:
        file: a helper in the task folder that runs beside the candidate and loads it with `import program`; calls then
            go to its functions instead of the candidate's. A helper's result is no more trustworthy than the candidate.
    """

    def __init__(self, file: str | None = None) -> None:
        self._helper = _read_helper(file) if file else None
        self._open = False

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        if self._open:
            self._open = False
            with _call_lock:
                _send({"type": "close"})
                _receive()

    def call(self, function: str, *args: Any, seconds: float | None = None, **kwargs: Any) -> Any:
        """Run a function as `evolve_task.call` does, in the session's sandbox.

        A candidate that raises stays available; after a timeout or its end every further call of the session fails.

        Raises:
            CandidateError: it raised, ended without an answer or before this call, or returned no valid data.
            CandidateTimeout: it took longer than `seconds`.
            TypeError: an argument is not data.
        """
        header: dict[str, Any] = {"function": function, "seconds": seconds, "session": "again"}
        if not self._open:
            header.update(session="new", helper=self._helper)
            self._open = True
        return _ask(header, function, [list(args), kwargs])


def _read_helper(file: str) -> dict[str, str]:
    with open(os.path.join(_the_job()["task_folder"], file), encoding="utf-8") as opened:
        return {"file": file, "source": opened.read()}


def _ask(header: dict[str, Any], name: str, arguments: list[Any]) -> Any:
    """Send a call, wait for its answer and decode it."""
    limits = _the_job()["limits"]
    body = _encode(arguments)
    if len(body) > limits["result_mb"] * 2**20:
        raise TypeError(f"the arguments take more than result_mb = {limits['result_mb']} MiB")
    with _call_lock:
        _send({"type": "call", **header}, body)
        answer, body = _receive()
    if answer["type"] == "timeout":
        raise CandidateTimeout(f"{name}: {answer['message']}")
    if answer["type"] == "raised":
        raise CandidateError(answer["message"], answer.get("traceback", ""))
    try:
        return _decode(body)
    except (ValueError, TypeError, KeyError, RecursionError, ImportError) as exc:
        raise CandidateError(f"{name} returned what is no data: {exc}") from None


def source() -> str:
    """Return the text of the candidate program."""
    return str(_the_job()["program"])


_job: dict[str, Any] = {}
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
    payload = json.dumps(header).encode() + b"\n" + body
    view = memoryview(len(payload).to_bytes(4, "big") + payload)
    with _send_lock:
        while view:
            view = view[os.write(CHANNEL, view) :]


def _receive() -> tuple[dict[str, Any], bytes]:
    head, _, body = _read(int.from_bytes(_read(4), "big")).partition(b"\n")
    header: dict[str, Any] = json.loads(head)
    return header, body


def _read(size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        part = os.read(CHANNEL, min(size - len(data), 1 << 20))
        if not part:
            os._exit(1)  # the supervisor has ended, so nobody waits for a result
        data += part
    return bytes(data)


# Data


def _encode(value: Any) -> bytes:
    """Encode data as JSON.

    Raises:
        TypeError: it contains a value that is not data; the message says where.
    """
    return json.dumps(_to_plain(value, "value")).encode()


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
        data = base64.b64encode(numpy.ascontiguousarray(value).tobytes()).decode()
        return {ARRAY: [value.dtype.str, list(value.shape), data]}
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    raise TypeError(
        f"{where} is a {kind}: only None, booleans, numbers, strings, lists, dicts and numpy arrays are data"
    )


def _decode(data: bytes) -> Any:
    return json.loads(data, object_hook=_to_array)


def _to_array(found: dict[str, Any]) -> Any:
    if list(found) != [ARRAY]:
        return found
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


def _confine(job: dict[str, Any]) -> None:
    """Set kernel-enforced limits for this process and its children; they cannot be raised again."""
    import ctypes
    import resource
    import signal

    def limit(which: int, soft: int, hard: int) -> None:
        most = resource.getrlimit(which)[1]
        bounds = [value if most == resource.RLIM_INFINITY else min(value, most) for value in (soft, hard)]
        resource.setrlimit(which, (bounds[0], bounds[1]))

    limits = job["limits"]
    file_bytes = int(limits["file_mb"] * 2**20)
    limit(resource.RLIMIT_FSIZE, file_bytes, file_bytes)
    limit(resource.RLIMIT_CORE, 0, 0)
    if limits["cpu_seconds"] is not None:
        cpu = math.ceil(limits["cpu_seconds"])
        limit(resource.RLIMIT_CPU, cpu, cpu + 1)
    if job["address_space"]:
        limit(resource.RLIMIT_AS, job["address_space"], job["address_space"])
        limit(resource.RLIMIT_MEMLOCK, 64 * 2**20, 64 * 2**20)
    limit(12, 819200, 819200)  # RLIMIT_MSGQUEUE: message queues take memory that no process shows
    # Threads count too, so this is only a backstop between two checks by the supervisor.
    processes = limits["processes"] * 16 + 256
    libc = ctypes.CDLL(None, use_errno=True)
    # A refusal to set one of these must end this process: nothing may run less confined than the engine says.
    _check(libc.prctl(38, 1, 0, 0, 0), "forbid new privileges")  # PR_SET_NO_NEW_PRIVS
    if job["sandbox"] != "bubblewrap":
        # Without a user namespace it counts all that the user runs, which is at most what the machine runs.
        with open("/proc/loadavg") as file:
            processes += 4096 + int(file.read().split()[3].partition("/")[2])
        os.chdir(os.environ["HOME"])
        if os.getsid(0) != os.getpid():
            os.setsid()  # a signal to this process group must not reach the supervisor
        libc.prctl(1, int(signal.SIGKILL), 0, 0, 0)  # PR_SET_PDEATHSIG
        limit(10, job["mark"], job["mark"])  # RLIMIT_LOCKS, which Linux ignores: by it the engine finds what is left
        libc.capset((ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)())
    limit(resource.RLIMIT_NPROC, processes, processes)
    libc.prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE: no other process may read this one or its descriptors
    confinement = job["confinement"]
    if confinement["join"]:
        libc.syscall(confinement["join"], 1, None)  # KEYCTL_JOIN_SESSION_KEYRING: a new and empty one
    if confinement["landlock"]:
        _apply_landlock(libc, confinement["landlock"], job["program_path"])
    if confinement["filter"]:
        _apply_filter(libc, base64.b64decode(confinement["filter"]))


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

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_char_p)]

    wanted = Program(len(program) // 8, program)
    # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
    _check(libc.prctl(22, ctypes.c_ulong(2), ctypes.byref(wanted), 0, 0), "filter its system calls")


def _apply_landlock(libc: Any, plan: dict[str, Any], program_path: str) -> None:
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
    own = [(os.environ["HOME"], everything), ("/proc/self", everything & 0b1100), (program_path, everything & 0b0100)]
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
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _traceback(error: BaseException) -> str:
    """Format the traceback without the frames of this file and of the import system."""
    import traceback

    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename in (__file__, "<frozen importlib._bootstrap>"):
        frames = frames.tb_next
    try:
        return "".join(traceback.format_exception(type(error), error, frames))
    except Exception as exc:  # a helper may have set up anything: what went wrong is told all the same
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


def _load_candidate(job: dict[str, Any], program: str) -> Any:
    """Return the module whose functions are called: the candidate's, or that of the helper beside it.

    A helper runs the candidate by importing it: whatever the helper sets up first applies to the candidate too.
    """
    helper = job["helper"]
    if not helper:
        return _load(job["program_path"], "program", program)
    # Load the modules that report a failure: a helper may forbid opening files from now on.
    import tokenize  # noqa: F401 - from Python 3.13 on it is imported only where a source line is shown
    import traceback  # noqa: F401

    sys.meta_path.insert(0, _Program(job["program_path"], program))
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
        function = getattr(find(), name, None)
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
    loaded: list[Any] = []

    def find() -> Any:
        if not loaded:
            loaded.append(_load_candidate(job, body[:size].decode()))
        return loaded[0]

    found = _answer(find, job["function"], body[size:], result_mb)
    while job.get("session"):
        _send(*found)
        header, arguments = _receive()
        found = _answer(find, header["function"], arguments, result_mb)
    return found


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
    job, body = _receive()
    _confine(job)
    # A fork of this process must not send messages on its behalf.
    os.register_at_fork(after_in_child=lambda: os.close(CHANNEL))
    answer = b""
    if role == "evaluator":
        _job.update(job, program=body.decode(), pid=os.getpid())
        message = {"type": "result", **_evaluate(job)}
    else:
        message, answer = _run_candidate(job, body)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            pass  # the program closed or replaced the stream
    _send(message, answer)
    os._exit(0)  # skip the interpreter's shutdown: it can take a second and runs the program's code
