"""Candidates that signal, stop, kill, trace or starve the engine and the supervisor: each ends itself at most."""

from __future__ import annotations

from .lair import Case, Lair, cases, numbers

SIGNALS = [
    # In bubblewrap the parent is the first process of its own namespace, on which no signal has an effect.
    Case("terminate its parent", "attempt('sent', lambda: os.kill(SUPERVISOR, signal.SIGTERM))\ntime.sleep(0.1)", inside="sent"),
    Case("kill its parent", "attempt('sent', lambda: os.kill(SUPERVISOR, signal.SIGKILL))\ntime.sleep(0.1)", inside="sent"),
    Case("stop its parent", "attempt('sent', lambda: os.kill(SUPERVISOR, signal.SIGSTOP))\ntime.sleep(0.1)", inside="sent"),
    Case("interrupt its parent", "attempt('sent', lambda: os.kill(SUPERVISOR, signal.SIGINT))\ntime.sleep(0.1)", inside="sent"),
    Case("stop the parent's group", "attempt('sent', lambda: os.kill(-SUPERVISOR, signal.SIGSTOP))\ntime.sleep(0.1)"),
    Case("kill after leaving its session", """
if os.fork() == 0:
    os.setsid()
    parent = os.getppid()
    try:
        os.kill(SUPERVISOR, signal.SIGKILL)
    finally:
        os._exit(0)
os.wait()
time.sleep(0.1)
"""),
    # Signal 0 asks whether one could.
    Case("signal the engine", "attempt('sent', lambda: os.kill(ENGINE, 0))"),
    Case("signal the engine's group", "attempt('sent', lambda: os.kill(-os.getpgid(ENGINE), 0))"),
    # Where it may signal nobody, Linux tells a process that it has signalled all of them.
    Case("signal everybody", "attempt('sent', lambda: os.kill(-1, 0))", landlock="sent"),
    Case("signal a thread of the engine", numbers("tgkill", "tkill") + "attempt('a', lambda: call(tgkill, ENGINE, ENGINE, 0))\n"
         "attempt('b', lambda: call(tkill, ENGINE, 0))"),
    Case("queue a signal to the engine", numbers("rt_sigqueueinfo", "rt_tgsigqueueinfo") +
         "info = struct.pack('iii', 0, 0, -1) + bytes(116)\nattempt('a', lambda: call(rt_sigqueueinfo, ENGINE, 0, info))\n"
         "attempt('b', lambda: call(rt_tgsigqueueinfo, ENGINE, ENGINE, 0, info))"),
    Case("signal the engine by a descriptor", numbers("pidfd_open", "pidfd_send_signal") +
         "attempt('sent', lambda: call(pidfd_send_signal, call(pidfd_open, ENGINE, 0), 0, 0, 0))"),
    Case("have the kernel signal the engine", """
import fcntl
def own():
    ours, theirs = os.pipe()
    fcntl.fcntl(ours, fcntl.F_SETOWN, ENGINE)
    fcntl.fcntl(ours, 10, 23)  # F_SETSIG, SIGURG
    fcntl.fcntl(ours, fcntl.F_SETFL, os.O_ASYNC)
attempt('sent', own)
"""),
    Case("limits of the engine", "import resource\nattempt('set', lambda: resource.prlimit(ENGINE, resource.RLIMIT_CORE))"),
    Case("priority of the engine", "attempt('set', lambda: os.setpriority(os.PRIO_PROCESS, ENGINE, 19))"),
    Case("priority of all that the user runs", "attempt('set', lambda: os.setpriority(os.PRIO_USER, 0, 19))"),
    Case("cores of the engine", "attempt('set', lambda: os.sched_setaffinity(ENGINE, {0}))"),
    Case("scheduling of the engine", "attempt('set', lambda: os.sched_setscheduler(ENGINE, os.SCHED_BATCH, os.sched_param(0)))"),
    Case("real time for itself", "attempt('set', lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50)))"),
    Case("trace its parent", numbers("ptrace") + "attempt('a', lambda: call(ptrace, 0x4206, SUPERVISOR, 0, 0))\n"
         "attempt('b', lambda: call(ptrace, 16, SUPERVISOR, 0, 0))"),
    Case("trace its child", numbers("ptrace") + """
child = os.fork()
if child == 0:
    time.sleep(5)
    os._exit(0)
attempt('a', lambda: call(ptrace, 0x4206, child, 0, 0))
os.kill(child, 9)
"""),
    Case("memory of its parent", numbers("process_vm_readv") + "attempt('a', lambda: call(process_vm_readv, SUPERVISOR, 0, 0, 0, 0, 0))\n"
         "attempt('b', lambda: open(f'/proc/{SUPERVISOR}/mem', 'r+b'))"),
    Case("descriptors of its parent", numbers("pidfd_open", "pidfd_getfd") +
         "attempt('a', lambda: call(pidfd_getfd, call(pidfd_open, SUPERVISOR, 0), 0, 0))\n"
         "attempt('b', lambda: os.open(f'/proc/{SUPERVISOR}/fd/0', os.O_RDWR))", inside="b", forked=""),
    Case("what its parent sees", """
for name in ('root', 'cwd', 'exe', 'environ', 'maps', 'ns/user', 'ns/mnt'):
    attempt(name, lambda: os.open(f'/proc/{SUPERVISOR}/{name}', os.O_RDONLY))
""", limits=None, inside="cwd environ exe maps ns/mnt ns/user root", forked=""),
    Case("namespaces above its own", """
import fcntl
def above(name, request):
    fcntl.ioctl(os.open(f'/proc/self/ns/{name}', os.O_RDONLY), request)
attempt('parent', lambda: above('user', 0xb702))  # NS_GET_PARENT
if SUPERVISOR == 1:  # elsewhere its own is that of this machine
    attempt('owner of files', lambda: above('mnt', 0xb701))  # NS_GET_USERNS
    attempt('owner of processes', lambda: above('pid', 0xb701))
""", limits=None),
    Case("environment of the engine", "attempt('keys', lambda: open('/proc/ENGINE/environ').read())"),
    Case("a sibling in place of a child", numbers("clone") + "attempt('sibling', lambda: call(clone, 0x8000 | 17, 0, 0, 0, 0) or os._exit(0))"),
    Case("stop itself", "os.kill(os.getpid(), signal.SIGSTOP)", status="timeout", reason="time limit", seconds=4.0),
    Case("kill itself", "os.kill(os.getpid(), signal.SIGKILL)", status="crashed", reason="killed by SIGKILL"),
    Case("kill its group", "os.killpg(0, signal.SIGKILL)", status="crashed", reason="killed by SIGKILL"),
    Case("leave without a word", "os._exit(0)", status="crashed", reason="exited with code 0"),
    Case("abort", "os.abort()", status="crashed", reason="killed by SIGABRT"),
]  # fmt: skip


@cases(SIGNALS)
async def test_candidate_ends_itself_at_most(lair: Lair, case: Case) -> None:
    await lair.judge(case)
