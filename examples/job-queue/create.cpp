// Makes an empty queue.
#include "queue.h"

int main() { open_queue(true); }
