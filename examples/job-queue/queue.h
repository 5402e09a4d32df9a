// A queue of jobs in shared memory: one process submits, several work, one reports.
#pragma once
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <fcntl.h>
#include <stdexcept>
#include <sys/mman.h>
#include <unistd.h>

constexpr int JOBS = 16;

enum State : uint32_t { EMPTY, READY, RUNNING, DONE };

struct Job {
    int32_t failures; // how often it was tried in vain
    std::atomic<uint32_t> state;
    char title[32];
};

struct Queue {
    std::atomic<uint32_t> submitted;
    std::atomic<uint32_t> done;
    std::atomic<uint32_t> closed;
    uint32_t unused;
    Job jobs[JOBS];
};

inline Queue &open_queue(bool create) {
    const char *name = std::getenv("QUEUE");
    int fd = shm_open(name ? name : "/job-queue", O_RDWR | (create ? O_CREAT | O_TRUNC : 0), 0600);
    if (fd < 0 || (create && ftruncate(fd, sizeof(Queue)) < 0))
        throw std::runtime_error("no queue");
    void *at = mmap(nullptr, sizeof(Queue), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (at == MAP_FAILED)
        throw std::runtime_error("the queue cannot be mapped");
    return *static_cast<Queue *>(at);
}
