/* Three functions that call each other and stop in the innermost; then each
   returns. What is on the stack: third, second, first, main. */
#include "stop.h"

volatile int go;
int counters[4] = {1, 2, 3, 4};

NOINLINE int third(int n) {
    STOP;
    return n + counters[n & 3];
}

NOINLINE int second(int n) {
    return third(n + 1) * 2;
}

NOINLINE int first(int n) {
    int sum = 0;
    for (int i = 0; i < 3; i++)
        sum += second(n + i);
    return sum;
}

int main(int argc, char **argv) {
    (void)argv;
    return first(argc) == 12345;
}
