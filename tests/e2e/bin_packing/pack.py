"""Packs items by the candidate's `choose`, beside it in its sandbox."""

import ctypes

import evolve_task


def pack(items):
    choose = ctypes.CDLL(evolve_task.built("choose.so")).choose
    choose.argtypes = [ctypes.POINTER(ctypes.c_double), ctypes.c_int, ctypes.c_double]
    rooms, places = (ctypes.c_double * len(items))(), []
    count = 0
    for item in items:
        place = choose(rooms, count, item)
        if place < 0:
            place = count
            rooms[place] = 1.0
            count += 1
        rooms[place] -= item
        places.append(place)
    return places
