// Quotes in shared memory: the publisher goes round the ring, readers follow it.
#pragma once
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <fcntl.h>
#include <stdexcept>
#include <sys/mman.h>
#include <unistd.h>

constexpr int SLOTS = 64;

// Prices are in cents.
struct Quote {
    std::atomic<uint64_t> version; // of quote n: 2n + 1 while it is being written, then 2n + 2
    std::atomic<uint64_t> bid;
    std::atomic<uint64_t> ask;
    uint64_t unused;
};

struct Ring {
    std::atomic<uint64_t> published;
    std::atomic<uint64_t> open;   // exchanges that are there
    std::atomic<uint64_t> halted; // by the reader
    uint64_t unused[5];
    Quote quotes[SLOTS];
};

inline Ring &open_ring(bool create) {
    const char *name = std::getenv("RING");
    int fd = shm_open(name ? name : "/quotes", O_RDWR | (create ? O_CREAT | O_TRUNC : 0), 0600);
    if (fd < 0 || (create && ftruncate(fd, sizeof(Ring)) < 0))
        throw std::runtime_error("no ring");
    void *at = mmap(nullptr, sizeof(Ring), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (at == MAP_FAILED)
        throw std::runtime_error("the ring cannot be mapped");
    return *static_cast<Ring *>(at);
}
