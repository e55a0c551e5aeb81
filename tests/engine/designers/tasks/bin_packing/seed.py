"""Online bin packing: a bin is chosen by a score whose parameters stand in a dict."""

CONFIG = {
    "room": 1.0,
    "small_room": -0.5,
    "nearly": 0.3,
    "power": 2,
    "open_new": False,
    "prefer": "first",  # tune: choice first|last|fullest
}


def score(room, item):
    """How well a bin with so much room suits an item; the highest is taken."""
    left = room - item
    value = CONFIG["room"] * left ** CONFIG["power"]
    if left < CONFIG["nearly"]:
        value += CONFIG["small_room"] * left
    return value


def pack(items):
    """The number of a bin for each item, all bins of size 1."""
    rooms, chosen = [], []
    for item in items:
        fitting = [number for number, room in enumerate(rooms) if room >= item]
        if CONFIG["prefer"] == "last":
            fitting.reverse()
        elif CONFIG["prefer"] == "fullest":
            fitting.sort(key=lambda number: rooms[number])
        best = max(fitting, key=lambda number: score(rooms[number], item), default=None)
        if best is None or (CONFIG["open_new"] and score(rooms[best], item) < score(1.0, item)):
            best = len(rooms)
            rooms.append(1.0)
        rooms[best] -= item
        chosen.append(best)
    return chosen
