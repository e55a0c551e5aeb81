#include "score.h"

int choose(const double *rooms, int count, double item)
{
    int best = -1;
    for (int at = 0; at < count; ++at)
        if (rooms[at] >= item && (best < 0 || score(rooms[at], item) < score(rooms[best], item)))
            best = at;
    return best;
}
