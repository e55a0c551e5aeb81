double score(double room, double item);
