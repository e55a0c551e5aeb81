"""Measures what the machine can do at most, in a process on the candidate's processor."""

import ctypes

import evolve_task

MEMORY = evolve_task.memory()
BASE = ctypes.addressof(ctypes.c_char.from_buffer(MEMORY))
LIBRARY = ctypes.CDLL(evolve_task.built("roofline.so"))
LIBRARY.multiply_add.restype = ctypes.c_float
LIBRARY.copy.argtypes = [ctypes.c_void_p, ctypes.c_long, ctypes.c_int]


def multiply_add(rounds):
    LIBRARY.multiply_add(rounds)


def copy(half, times):
    LIBRARY.copy(BASE, half, times)
