// Two processes pass one byte to and fro through two pipes, 20,000 times:
// the cost of a system call that wakes another process.
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv) {
    int there[2], back[2], rounds = argc > 1 ? atoi(argv[1]) : 20000;
    char byte = 'x';
    if (pipe(there) || pipe(back)) return 1;
    if (fork() == 0) {
        for (int i = 0; i < rounds; i++)
            if (read(there[0], &byte, 1) != 1 || write(back[1], &byte, 1) != 1) _exit(1);
        _exit(0);
    }
    for (int i = 0; i < rounds; i++)
        if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1) return 1;
    int status;
    wait(&status);
    return status != 0;
}
