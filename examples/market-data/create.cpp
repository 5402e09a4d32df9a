// Makes an empty ring.
#include "ring.h"

int main() { open_ring(true); }
