// 64 frames of 8 MiB go from one process to another through shared memory:
// copied in, announced on a pipe, copied out and checked.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FRAME = 8 << 20 };

int main(int argc, char **argv) {
    int n = argc > 1 ? atoi(argv[1]) : 64, full[2], empty[2];
    char *shared = mmap(NULL, FRAME, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    char *own = malloc(FRAME), byte = 0;
    if (shared == MAP_FAILED || !own || pipe(full) || pipe(empty)) return 1;
    if (fork() == 0) {
        for (int i = 0; i < n; i++) {
            memset(own, i, FRAME);
            memcpy(shared, own, FRAME);
            if (write(full[1], &byte, 1) != 1 || read(empty[0], &byte, 1) != 1) _exit(1);
        }
        _exit(0);
    }
    for (int i = 0; i < n; i++) {
        if (read(full[0], &byte, 1) != 1) return 1;
        memcpy(own, shared, FRAME);
        if (own[0] != (char)i || own[FRAME - 1] != (char)i) return 2;
        if (write(empty[1], &byte, 1) != 1) return 1;
    }
    wait(NULL);
    return 0;
}
