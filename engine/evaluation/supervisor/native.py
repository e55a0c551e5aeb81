"""The C library, opened once: each opening makes classes, and a forked process copies every page that it writes to."""

from __future__ import annotations

import ctypes

__all__ = ["libc"]

# PyDLL keeps the interpreter's lock: a fork finds itself where this process is.
libc = ctypes.PyDLL(None, use_errno=True)
"""It keeps the number of an error for `ctypes.get_errno`."""

for _name in ("capset", "mount", "prctl", "sethostname", "setns", "syscall", "umount2", "unshare"):
    getattr(libc, _name, None)  # found once, too
