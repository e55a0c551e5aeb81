"""Candidates that leave processes: none is left a moment after the outcome, which `Lair.loose` checks for every candidate."""

from __future__ import annotations

from .lair import Case, Lair, cases, numbers

SLEEP = "os.execve('/bin/sleep', ['sleep', '1000.TOKEN'], {})"
SURVIVORS = [
    Case("a daemon", f"if os.fork() == 0:\n    os.setsid()\n    {SLEEP}"),
    Case("a daemon of a daemon with nothing of ours", f"""
child = os.fork()
if child == 0:
    os.setsid()
    if os.fork() == 0:
        libc.prctl(1, 0, 0, 0, 0)
        os.closerange(0, 256)
        os.chdir('/')
        {SLEEP}
    os._exit(0)
os.waitpid(child, 0)
"""),
    Case("a daemon that ignores signals", """
if os.fork() == 0:
    os.setsid()
    for number in set(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP}:
        try:
            signal.signal(number, signal.SIG_IGN)
        except (OSError, ValueError):
            pass
    time.sleep(1000)
"""),
    Case("a stopped daemon", "if os.fork() == 0:\n    os.setsid()\n    os.kill(os.getpid(), signal.SIGSTOP)"),
    Case("a child by vfork in a new session", "subprocess.Popen(['/bin/sleep', '1000.TOKEN'], start_new_session=True, env={})"),
    Case("children that start children", """
if os.fork() == 0:
    while True:
        if os.fork():
            time.sleep(0.01)
            os._exit(0)
time.sleep(0.2)
"""),
    Case("a traced child", numbers("ptrace") + "if os.fork() == 0:\n    libc.ptrace(0, 0, 0, 0)\n    os.kill(os.getpid(), signal.SIGSTOP)"),
    Case("a thread without end", "threading.Thread(target=time.sleep, args=(1000,)).start()"),
    Case("code at exit", "import atexit\natexit.register(time.sleep, 1000)"),
    Case("a daemon of a crash", f"if os.fork() == 0:\n    os.setsid()\n    {SLEEP}\nos.abort()", status="crashed"),
    Case("a daemon of one that leaves", f"if os.fork() == 0:\n    os.setsid()\n    {SLEEP}\nos._exit(0)", status="crashed"),
    Case("children that are not waited for", "for _ in range(50):\n    if os.fork() == 0:\n        os._exit(0)"),
]  # fmt: skip


@cases(SURVIVORS)
async def test_no_process_is_left(lair: Lair, case: Case) -> None:
    await lair.judge(case)
