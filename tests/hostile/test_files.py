"""Candidates that reach for files of others: only with limits alone do they get any."""

from __future__ import annotations

from .lair import Case, Lair, cases, numbers

FILES = [
    Case("private key", "attempt('key', lambda: open(DECOYS + '/home/.ssh/id_rsa').read())", "key"),
    Case("notes by a link", "attempt('n', lambda: (os.symlink(DECOYS + '/home/notes.txt', 'l'), open('l').read()))", "n"),
    Case("notes by a hard link", "attempt('n', lambda: os.link(DECOYS + '/home/notes.txt', 'l'))", "n"),
    Case("notes by the root of a process", "attempt('n', lambda: open('/proc/self/root' + DECOYS + '/home/notes.txt'))", "n"),
    Case("notes above its own folder", "attempt('n', lambda: open('../../../../decoys/home/notes.txt').read())", "n"),
    Case("notes by a folder's descriptor", """
def read():
    folder = os.open(DECOYS, os.O_PATH)
    open(os.open('home/notes.txt', os.O_RDONLY, dir_fd=folder)).read()
attempt('n', read)
""", "n"),
    Case("notes by a shell", "attempt('n', lambda: subprocess.run(['/bin/cat', DECOYS + '/home/notes.txt'], check=True) if not "
         "subprocess.run(['/bin/cat', DECOYS + '/home/notes.txt'], capture_output=True).returncode else 1 // open('/none'))", "n"),
    Case("held-out data", "attempt('data', lambda: open(DECOYS + '/../task/heldout.txt').read())", "data"),
    Case("evaluator", "attempt('text', lambda: open(DECOYS + '/../task/evaluate.py').read())", "text"),
    Case("journal", "attempt('db', lambda: open(DECOYS + '/../run/run.db').read())", "db"),
    Case("users of the machine", "attempt('users', lambda: open('/etc/passwd').read())", "users"),
    Case("list of a home", "attempt('names', lambda: os.listdir(DECOYS + '/home'))", "names"),
    Case("list of processes", "attempt('engine', lambda: open('/proc/ENGINE/cmdline').read())", "engine"),
    Case("a program of others", "attempt('ran', lambda: os.execv(DECOYS + '/home/tool.sh', ['x']))", ""),
    Case("overwrite", "attempt('w', lambda: open(DECOYS + '/home/notes.txt', 'w').write('mine'))", "w", changes=True),
    Case("empty by opening to read", "attempt('w', lambda: os.open(DECOYS + '/home/notes.txt', os.O_RDONLY | os.O_TRUNC))",
         "w", changes=True),
    Case("empty by path", "attempt('w', lambda: os.truncate(DECOYS + '/home/notes.txt', 0))", "w", changes=True),
    Case("new file", "attempt('w', lambda: open(DECOYS + '/home/.bashrc', 'w'))", "w", changes=True),
    Case("new folder", "attempt('w', lambda: os.mkdir(DECOYS + '/home/bin'))", "w", changes=True),
    Case("new link", "attempt('w', lambda: os.symlink('/', DECOYS + '/home/all'))", "w", changes=True),
    Case("new pipe", "attempt('w', lambda: os.mkfifo(DECOYS + '/home/pipe'))", "w", changes=True),
    Case("new socket", "attempt('w', lambda: socket.socket(socket.AF_UNIX).bind(os.path.relpath(DECOYS + '/s')))", "w", changes=True),
    Case("delete", "attempt('w', lambda: os.unlink(DECOYS + '/home/notes.txt'))", "w", changes=True),
    Case("move away", "attempt('w', lambda: os.rename(DECOYS + '/home/notes.txt', 'notes'))", "w", changes=True),
    Case("modes", "attempt('w', lambda: os.chmod(DECOYS + '/home/.ssh/id_rsa', 0o777))", "w", changes=True),
    Case("times", "attempt('w', lambda: os.utime(DECOYS + '/home/notes.txt', (1, 1)))", "w", changes=True),
    Case("owner", "attempt('w', lambda: os.chown(DECOYS + '/home/notes.txt', 65534, 65534))"),
    Case("attributes", "attempt('w', lambda: os.setxattr(DECOYS + '/home/notes.txt', 'trusted.x', b'1'))"),
    Case("program beside the harness", "import evolve_task\nattempt('w', lambda: open(os.path.dirname(evolve_task.__file__) + '/x_TOKEN', 'w').close() "
         "or os.unlink(os.path.dirname(evolve_task.__file__) + '/x_TOKEN'))", None),
    Case("the interpreter", "attempt('w', lambda: os.open(sys.executable, os.O_WRONLY | os.O_APPEND))", None),
    Case("a device of its own", "import stat\nattempt('node', lambda: os.mknod('d', 0o600 | stat.S_IFCHR, os.makedev(1, 1)))"),
    Case("a file by its handle", numbers("open_by_handle_at") + "attempt('handle', lambda: call(open_by_handle_at, -100, b'x' * 64, 0))"),
    Case("messages of the kernel", "attempt('log', lambda: open('/dev/kmsg').read(1))", None),
]  # fmt: skip


@cases(FILES)
async def test_candidate_reaches_no_file_of_others(lair: Lair, case: Case) -> None:
    await lair.judge(case)
