"""Packs items by the candidate's `choose`, beside it in its sandbox."""

import program


def pack(items):
    rooms, places = [], []
    for item in items:
        place = program.choose(rooms, item)
        if place < 0:
            place = len(rooms)
            rooms.append(1.0)
        rooms[place] -= item
        places.append(place)
    return places
