/* Stops below functions whose stack is aligned, one of a size that is not known: the
   frame is then found by r10 or rbp and what is in memory, not by rsp alone.
   What is on the stack: leaf, varying, aligned, main. */
#include <string.h>
#include "stop.h"

volatile int go;

NOINLINE int leaf(char *p) {
    STOP;
    return p[0];
}

NOINLINE int varying(int n) {
    char bytes[n + 100];
    memset(bytes, n, sizeof bytes);
    return leaf(bytes) + bytes[n];
}

NOINLINE int aligned(int n, int a, int b, int c, int d, int e, int f, int g) {
    __attribute__((aligned(64))) char line[64];
    line[0] = (char)n;
    int sum = varying(n + a + b + c);
    return sum + leaf(line) + d + e + f + g;
}

int main(int argc, char **argv) {
    (void)argv;
    return aligned(argc, 1, 2, 3, 4, 5, 6, 7) == 12345;
}
