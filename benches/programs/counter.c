// Four processes increment one counter under a process-shared mutex,
// 8,000,000 times in all. The sum must be exact.
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

struct shared {
    pthread_mutex_t lock;
    _Alignas(64) uint64_t count;
};

int main(int argc, char **argv) {
    uint64_t n = argc > 1 ? strtoull(argv[1], NULL, 10) : 8000000;
    struct shared *s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (s == MAP_FAILED) return 1;
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    pthread_mutex_init(&s->lock, &attr);
    for (int p = 0; p < 4; p++)
        if (fork() == 0) {
            for (uint64_t i = 0; i < n / 4; i++) {
                pthread_mutex_lock(&s->lock);
                s->count++;
                pthread_mutex_unlock(&s->lock);
            }
            _exit(0);
        }
    while (wait(NULL) > 0) {}
    return s->count == n / 4 * 4 ? 0 : 2;
}
