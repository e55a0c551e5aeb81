"""Candidates that try system calls and sockets that lead out of sandboxes: the kernel refuses them at every level."""

from __future__ import annotations

import platform
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from .lair import Case, Lair, cases, numbers

KEYS = "add_key keyctl request_key"
CALLS = [
    Case("keys", numbers(*KEYS.split()) + "attempt('add', lambda: call(add_key, b'user', b'x', b'y', 1, -3))\n"
         "attempt('get', lambda: call(keyctl, 0, -3, 1))\nattempt('ask', lambda: call(request_key, b'user', b'x', 0, -3))"),
    Case("keys of the user", numbers(*KEYS.split()) + "attempt('add', lambda: call(add_key, b'user', b'x', b'y', 1, -4))\n"
         "attempt('link', lambda: call(keyctl, 8, -4, -3))\nattempt('join', lambda: call(keyctl, 1, b'theirs'))"),
    Case("bpf", numbers("bpf") + "attempt('bpf', lambda: call(bpf, 0, bytes(128), 128))"),
    Case("userfaultfd", numbers("userfaultfd") + "attempt('fd', lambda: call(userfaultfd, 1))"),
    Case("performance counters", numbers("perf_event_open") +
         "event = struct.pack('IIQ', 1, 112, 0) + bytes(96)\nattempt('fd', lambda: call(perf_event_open, event, 0, -1, -1, 0))"),
    Case("io_uring", numbers("io_uring_setup") + "attempt('ring', lambda: call(io_uring_setup, 8, bytes(256)))"),
    Case("mounts", numbers("mount", "umount2", "pivot_root", "fsopen", "open_tree", "move_mount") + """
attempt('mount', lambda: call(mount, b'tmpfs', b'.', b'tmpfs', 0, 0))
attempt('umount', lambda: call(umount2, b'/proc', 2))
attempt('pivot', lambda: call(pivot_root, b'.', b'.'))
attempt('fsopen', lambda: call(fsopen, b'tmpfs', 0))
attempt('tree', lambda: call(open_tree, -100, b'/', 1))
"""),
    Case("another root", numbers("chroot") + "attempt('chroot', lambda: call(chroot, b'.'))"),
    Case("new namespaces", numbers("unshare", "clone", "setns") + """
for flag in (0x80, 0x20000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000):
    attempt(f'unshare-{flag}', lambda: call(unshare, flag))
attempt('setns', lambda: call(setns, os.open('/proc/self', os.O_RDONLY), 0))
"""),
    Case("a child in a new namespace", numbers("clone") + "attempt('clone', lambda: call(clone, 0x10000000 | 17, 0, 0, 0, 0) or os._exit(0))"),
    Case("flags out of the filter's sight", numbers("clone3") +
         "arguments = struct.pack('8Q', 0x10000000, 0, 0, 0, 17, 0, 0, 0)\n"
         "attempt('clone3', lambda: call(clone3, arguments, 64) or os._exit(0))"),
    Case("kernel modules", numbers("init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load") + """
attempt('init', lambda: call(init_module, bytes(64), 64, b''))
attempt('delete', lambda: call(delete_module, b'none', 0))
attempt('kexec', lambda: call(kexec_load, 0, 0, 0, 0))
"""),
    Case("the machine's log, clock and swap", numbers("syslog", "settimeofday", "swapoff", "acct", "quotactl") + """
attempt('log', lambda: call(syslog, 10, 0, 0))
attempt('clock', lambda: call(settimeofday, 0, 0))
attempt('swap', lambda: call(swapoff, b'/none'))
attempt('acct', lambda: call(acct, 0))
"""),
    Case("memory that nobody else can read", numbers("memfd_secret") + "attempt('secret', lambda: call(memfd_secret, 0))"),
    Case("events of all files", numbers("fanotify_init") + "attempt('events', lambda: call(fanotify_init, 0x200, 0))"),
    Case("another personality", numbers("personality") + "attempt('old', lambda: call(personality, 0x0040000))"),
    Case("System V memory", numbers("shmget") + "attempt('shm', lambda: call(shmget, 0, 4096, 0o1600))"),
    Case("System V messages", numbers("msgget", "semget") + "attempt('msg', lambda: call(msgget, 0, 0o1600))\n"
         "attempt('sem', lambda: call(semget, 0, 1, 0o1600))"),
    Case("POSIX messages", numbers("mq_open") + "attempt('mq', lambda: call(mq_open, b'evolve-TOKEN', 0o102, 0o600, 0))"),
    Case("its own mark", numbers("prlimit64", "setrlimit") + """
import resource
attempt('lower', lambda: resource.setrlimit(10, (1, 1)))
attempt('lower-by-prlimit', lambda: call(prlimit64, 0, 10, struct.pack('QQ', 1, 1), 0))
""", inside="lower lower-by-prlimit"),
    Case("core dumps", "import resource\nattempt('raised', lambda: resource.setrlimit(resource.RLIMIT_CORE, (1 << 30, 1 << 30)))"),
    Case("typing into a terminal", """
import fcntl
def push(path):
    fcntl.ioctl(os.open(path, os.O_RDWR | os.O_NOCTTY), 0x5412, b'x')
def new():
    import pty
    fcntl.ioctl(pty.openpty()[1], 0x5412, b'x')
attempt('tty', lambda: push('/dev/tty'))
attempt('new', new)
for fd in (0, 1, 2):
    attempt(f'fd-{fd}', lambda: fcntl.ioctl(fd, 0x5412, b'x'))
"""),
    Case("a filter of its own changes nothing", numbers("bpf") + """
libc.prctl(22, ctypes.c_ulong(1), 0, 0, 0) if False else None
libc.prctl(38, 0, 0, 0, 0)
attempt('bpf', lambda: call(bpf, 0, bytes(128), 128))
"""),
    Case("privileges by a program of root", "attempt('su', lambda: os.setuid(0) if os.getuid() else open('/none'))"),
]  # fmt: skip

I386 = """
import platform
code = bytes.fromhex('53b8140000' '00cd805bc3')  # push rbx; mov eax, 20 (getpid); int 0x80; pop rbx; ret
memory = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
memory.write(code)
run = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(memory)))
if run() == os.getpid():
    reached.append('i386')
attempt('x32', lambda: call(0x40000000 | 39))
"""
if platform.machine() == "x86_64":
    CALLS.append(Case("calls of other architectures", I386))

NETWORK = [
    Case("a port of this machine", "attempt('tcp', lambda: socket.create_connection(('127.0.0.1', PORT), 2).send(b'x'))"),
    Case("a datagram", "attempt('udp', lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', PORT)))",
         inside="udp"),
    Case("a port of its own", "attempt('listen', lambda: socket.create_server(('127.0.0.1', 0)))", inside="listen"),
    Case("an abstract socket", "attempt('unix', lambda: socket.socket(socket.AF_UNIX).connect('\\0evolve-TOKEN'))", "unix"),
    Case("a socket by its path", "attempt('unix', lambda: socket.socket(socket.AF_UNIX).connect(os.path.relpath(DECOYS + '/../service')))",
         "unix"),
    Case("odd families", """
for family in (3, 4, 5, 9, 17, 21, 26, 29, 31, 38, 39, 40, 42, 43, 44):
    attempt(f'family-{family}', lambda: socket.socket(family, socket.SOCK_DGRAM))
    attempt(f'family-{family}', lambda: socket.socket(family, socket.SOCK_SEQPACKET))
"""),
    Case("raw packets and odd protocols", """
attempt('raw', lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1))
attempt('mptcp', lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262))
attempt('sctp', lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132))
attempt('audit', lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 9))
"""),
    Case("names of machines", "attempt('dns', lambda: socket.getaddrinfo('example.org', 80))"),
]  # fmt: skip


@cases(CALLS)
async def test_kernel_refuses_the_call(lair: Lair, case: Case) -> None:
    await lair.judge(case)


@contextmanager
def services(lair: Lair) -> Iterator[int]:
    """Listen on a port, on an abstract socket and on a path; return the port."""
    path = lair.folder / "service"
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_UNIX) as abstract,
        socket.socket(socket.AF_UNIX) as named,
        pytest.MonkeyPatch.context() as patch,
    ):
        abstract.bind(f"\0evolve-{lair.token}")
        patch.chdir(lair.folder)  # a path of a socket has 107 bytes
        named.bind(path.name)
        for service in (abstract, named):
            service.listen()
        yield tcp.getsockname()[1]


@cases(NETWORK)
async def test_candidate_connects_to_nothing(lair: Lair, case: Case) -> None:
    with services(lair) as port:
        body = case.body.replace("PORT", str(port))
        await lair.judge(Case(case.name, body, case.limits, case.inside, case.landlock))
