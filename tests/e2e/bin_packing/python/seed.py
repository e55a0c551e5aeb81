TIGHT = -0.5  # tune: scale -2..2


def score(room, item):
    """The bin of the least score gets the item."""
    return TIGHT * (room - item)


def choose(rooms, item):
    fits = [at for at, room in enumerate(rooms) if room >= item]
    return min(fits, key=lambda at: score(rooms[at], item), default=-1)
