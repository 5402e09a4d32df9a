/* Stops in the handler of a fault, on a stack of its own. With an argument the
   fault is a call of nothing; otherwise a store at the first instruction that matters.
   What is on the stack: handler, the signal's frame, fault (or: nothing, jump), main. */
#include <signal.h>
#include <stdlib.h>
#include "stop.h"

volatile int go;
int *volatile nowhere;
void (*volatile nothing)(void);

void handler(int signal) {
    (void)signal;
    STOP;
    _exit(0);
}

NOINLINE int fault(int n) {
    *nowhere = n;
    return n;
}

NOINLINE int jump(int n) {
    nothing();
    return n + 1;
}

int main(int argc, char **argv) {
    (void)argv;
    stack_t stack = {.ss_sp = malloc(1 << 16), .ss_size = 1 << 16};
    sigaltstack(&stack, 0);
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_ONSTACK};
    sigaction(SIGSEGV, &action, 0);
    return (argc > 1 ? jump(argc) : fault(argc)) + 1;
}
