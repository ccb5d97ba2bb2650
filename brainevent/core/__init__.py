"""What knows neither formats nor backends: the two primitives, the kernel table, the law of connectivity, the choice of a path."""
