"""Kernels that only look fast: each is refused, or no faster than what it really does."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from tests.engine.tasks.c_task import TASK, evaluate_kernel
from tests.needs import require

require("gcc", "bubblewrap")

HONEST = TASK.seeds[0].code.replace("void kernel(", "static void honest(")
PARAMETERS = (
    "const float *q, const float *k, const float *v, const float *beta, float *out, int batch, int tokens, int heads, "
    "int keys, int values"
)
ARGUMENTS = "q, k, v, beta, out, batch, tokens, heads, keys, values"
HEAD = f"""
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
{HONEST}
static size_t size;
#define NUMBERS (size = (size_t)batch * tokens * heads * values)
static int calls;
"""


def kernel(body: str, before: str = "") -> str:
    """Return a program whose kernel has this body; `honest` is the seed's."""
    return f"{HEAD}\n{before}\nvoid kernel({PARAMETERS})\n{{\n    NUMBERS;\n    ++calls;\n    {body}\n}}\n"


DO = f"honest({ARGUMENTS});"
KEEP_ARGUMENTS = """
static struct { const float *q, *k, *v, *beta; float *out; int batch, tokens, heads, keys, values; } last;
static void *redo(void *_)
{
    honest(last.q, last.k, last.v, last.beta, last.out, last.batch, last.tokens, last.heads, last.keys, last.values);
    return 0;
}
static void start(void *(*run)(void *)) { pthread_t thread; pthread_create(&thread, 0, run, 0); pthread_detach(thread); }
"""
LAST = f"last = (typeof(last)){{{ARGUMENTS}}};"
SPIN = "static void *spin(void *_) { for (volatile long i = 0;; ++i); return 0; }"

REFUSED = {
    "outputs cached by their place": (
        kernel(
            f"if (out == at && size == kept_size) {{ memcpy(out, kept, 4 * size); return; }} {DO}"
            "at = out; kept_size = size; kept = realloc(kept, 4 * size); memcpy(kept, out, 4 * size);",
            "static float *at, *kept; static size_t kept_size;",
        ),
        "the output is off by",
    ),
    "outputs cached by the first input": (
        kernel(
            f"if (size == kept_size && *beta < 1) {{ memcpy(out, kept, 4 * size); return; }} {DO}"
            "kept_size = size; kept = realloc(kept, 4 * size); memcpy(kept, out, 4 * size);",
            "static float *kept; static size_t kept_size;",
        ),
        "the output is off by",
    ),
    "the last call's output left as it is": (kernel(f"if (calls > 10) return; {DO}"), "uncomputed"),
    "no work once the checks are over": (kernel(f"if (keys == 64 && calls > 9) memset(out, 0, 4 * size); else {DO}"), "off by"),
    "an answer before the work": (
        kernel(f"{LAST} if (calls <= 9) {DO} else start(late);", f"{KEEP_ARGUMENTS} static void *late(void *_) {{ usleep(20000); return redo(0); }}"),
        "uncomputed",
    ),
    "numbers near zero flushed": (
        kernel(DO, "__attribute__((constructor)) static void flush(void) { __builtin_ia32_ldmxcsr(__builtin_ia32_stmxcsr() | 0x8040); }"),
        "tiny",
    ),
    "half the precision": (
        kernel(f"{DO} for (size_t i = 0; i < size; ++i) {{ unsigned w; memcpy(&w, out + i, 4); w = (w + 0x800) & ~0xfffu; memcpy(out + i, &w, 4); }}"),
        "the output is off by",
    ),
    "addresses taken for aligned": (
        kernel(f"{DO} typedef float wide __attribute__((vector_size(64))); *(volatile wide *)out = *(volatile wide *)out;"),
        "SIGSEGV",
    ),
    "marks overwritten": (kernel(f"memset((char *)out - 32, 0, 32); {DO}"), "beside its output"),
    "an answer of its own": (
        kernel(
            f"{DO} if (calls > 9) for (int fd = 4; fd < 64; ++fd) {{ int type; socklen_t most = sizeof type;"
            " if (!getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &most)) { (void)!write(fd, \"\\0\\0\\0\\x19{\\\"type\\\": \\\"returned\\\"}\\nnull\", 29); } }"
        ),
        "answered before it was asked",
    ),
}  # fmt: skip
IN_VAIN = kernel(
    f"""if (won) return;
    pid_t child = fork();
    if (!child) {{ {DO} _exit(0); }}
    if (child > 0) {{ waitpid(child, 0, 0); return; }}
    {DO}""",
    """static int won;
int clock_gettime(clockid_t clock, struct timespec *time) { time->tv_sec = clock; time->tv_nsec = 0; return 0; }
__attribute__((constructor)) static void rise(void)
{
    char path[40];
    cpu_set_t all;
    memset(&all, 255, sizeof all);
    struct sched_param first = {.sched_priority = 1};
    setenv("LD_PRELOAD", "/tmp/kernel.so", 1);
    if (!sched_setaffinity(0, sizeof all, &all)) won |= 1;
    if (!setpriority(PRIO_PROCESS, 0, -20)) won |= 2;
    if (!sched_setscheduler(0, SCHED_RR, &first)) won |= 4;
    for (int pid = 2; pid < 40000; ++pid) {  // the first one is bubblewrap's own, which knows nothing
        sprintf(path, "/proc/%d/mem", pid);
        if (pid != getpid() && open(path, O_RDONLY) >= 0) won |= 8;
    }
    fprintf(stderr, "won %d\\n", won);
}""",
)
"""It wants a clock of its own, a process that nobody counts, priority, other processors, and the memory of others."""
SLOWER = {
    "a thread that slows the seed's turn": kernel(f"if (calls == 1) start(spin); {DO}", f"{KEEP_ARGUMENTS} {SPIN}"),
    "a thread that works before it is asked": kernel(
        f"{LAST} if (calls < 10) {DO} if (calls == 10) {{ {DO} start(watch); }}"
        "if (calls > 10) while (last.beta[0] != done) sched_yield();",
        f"""{KEEP_ARGUMENTS} static volatile float done;
static void *watch(void *_)
{{
    for (;;) {{
        float now = *(volatile const float *)last.beta;
        if (now != done) {{ redo(0); done = now; }}
    }}
    return 0;
}}""",
    ),
}


@pytest.mark.parametrize("cheat", REFUSED, ids=lambda name: name.replace(" ", "-"))
async def test_it_is_refused(cheat: str, tmp_path: Path) -> None:
    code, reason = REFUSED[cheat]
    outcome = await evaluate_kernel(tmp_path, code)
    assert outcome.status in ("invalid", "crashed"), (outcome.score, outcome.metrics)
    assert reason in outcome.reason


async def test_what_it_wants_is_not_to_be_had(tmp_path: Path) -> None:
    outcome = await evaluate_kernel(tmp_path, IN_VAIN)
    assert outcome.status == "ok" and outcome.score is not None, (outcome.reason, outcome.stderr)
    assert outcome.stderr == b"won 0\n"
    assert outcome.score < 5  # a clock that stands still would make it thousands


@pytest.mark.parametrize("cheat", SLOWER, ids=lambda name: name.replace(" ", "-"))
async def test_it_is_slower(cheat: str, tmp_path: Path) -> None:
    outcome = await evaluate_kernel(tmp_path, SLOWER[cheat])
    # What a thread does at the wrong time may also be seen in the output.
    score = outcome.score if outcome.status == "ok" else -math.inf
    assert score is not None and score < 1.0, outcome
