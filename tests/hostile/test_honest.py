"""What honest candidates need works at every level: libraries, threads, children, files of their own."""

from __future__ import annotations

import pytest

from .lair import Case, Lair, cases

HONEST = [
    Case("numpy with threads", "import numpy\nnumpy.ones((200, 200)) @ numpy.ones((200, 200))"),
    Case("scipy", "import scipy.optimize\nscipy.optimize.minimize(lambda x: (x ** 2).sum(), [1.0, 2.0])"),
    Case("threads", "ts = [threading.Thread(target=sum, args=([1, 2],)) for _ in range(8)]\n[t.start() for t in ts]\n[t.join() for t in ts]"),
    Case("a process and a pipe", """
import multiprocessing
context = multiprocessing.get_context('fork')
ours, theirs = context.Pipe()
child = context.Process(target=lambda: theirs.send(7))
child.start()
assert ours.recv() == 7
child.join()
assert child.exitcode == 0
"""),
    Case("a child that is terminated", """
import multiprocessing
child = multiprocessing.get_context('fork').Process(target=time.sleep, args=(100,))
child.start()
child.terminate()
child.join()
assert child.exitcode == -signal.SIGTERM
"""),
    Case("a shell", "assert subprocess.run(['/bin/sh', '-c', 'echo yes | cat'], capture_output=True).stdout == b'yes\\n'"),
    Case("files", """
import tempfile, sqlite3, shutil
with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, 'x')
    open(path, 'w').write('1')
    shutil.copyfile(path, path + '2')
    os.rename(path, folder + '/y')
    database = sqlite3.connect(path + '.db')
    database.execute('create table t (x)')
    database.commit()
    database.close()
"""),
    Case("asyncio", "import asyncio\nasyncio.run(asyncio.sleep(0))"),
    Case("what the machine is", "os.cpu_count()\nos.getloadavg()\nopen('/proc/meminfo').read()\nopen('/proc/self/status').read()"),
    Case("memory", "memory = mmap.mmap(-1, 1 << 20)\nmemory.madvise(mmap.MADV_DONTNEED)\nos.close(os.memfd_create('x'))"),
]  # fmt: skip

TORCH = [
    Case("torch with threads", """
import torch
torch.set_num_threads(2)
layer = torch.nn.Linear(64, 64)
layer(torch.ones(256, 64)).sum().backward()
assert layer.weight.grad is not None
"""),
]  # fmt: skip

# Named semaphores lie in /dev/shm, which Landlock cannot give each evaluation anew.
POOL = """
import multiprocessing
def work():
    with multiprocessing.get_context('fork').Pool(2) as pool:
        assert pool.map(abs, [1, -2]) == [1, 2]
attempt('pool', work)
"""


@cases(HONEST)
async def test_honest_candidate_runs(lair: Lair, case: Case) -> None:
    await lair.judge(case)


@pytest.mark.needs("torch")
@cases(TORCH)
async def test_torch_runs(lair: Lair, case: Case) -> None:
    await lair.judge(case)


@cases([Case("a pool of processes", POOL, limits="pool", inside="pool", landlock="")])
async def test_pool_of_processes_runs_where_shared_memory_is_private(lair: Lair, case: Case) -> None:
    await lair.judge(case)


@pytest.mark.needs("landlock")
@pytest.mark.parametrize("level", ["landlock"])
@pytest.mark.parametrize(
    "body",
    [
        "multiprocessing.Lock()",
        "multiprocessing.get_context('fork').Pool(2)",
        "shared_memory.SharedMemory(create=True, size=9)",
    ],
)
async def test_landlock_says_why_shared_memory_fails(lair: Lair, body: str) -> None:
    outcome = await lair.loose(
        f"import multiprocessing\nfrom multiprocessing import shared_memory\ndef solve():\n    {body}\n"
    )
    assert outcome.status == "crashed"
    assert "the level landlock gives no named semaphores" in outcome.reason, outcome.reason
    assert "use processes with pipes, threads, or num_workers=0" in outcome.reason
