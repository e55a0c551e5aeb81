#include "score.h"

static const double TIGHT = -0.5; // tune: scale -2..2

double score(double room, double item)
{
    return TIGHT * (room - item);
}
