static const double TIGHT = -0.5; // tune: scale -2..2

/* The bin of the least score gets the item. */
static double score(double room, double item)
{
    return TIGHT * (room - item);
}

extern "C" int choose(const double *rooms, int count, double item)
{
    int best = -1;
    for (int at = 0; at < count; ++at)
        if (rooms[at] >= item && (best < 0 || score(rooms[at], item) < score(rooms[best], item)))
            best = at;
    return best;
}
