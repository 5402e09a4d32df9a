// Follows the quotes, and halts the market at one that no exchange would make.
#include "ring.h"
#include <chrono>
#include <cstdio>
#include <thread>

// Takes quote n, if it is there, whole, and has not been replaced.
static bool take(const Ring &ring, uint64_t n, uint64_t &bid, uint64_t &ask) {
    const Quote &quote = ring.quotes[n % SLOTS];
    uint64_t version = quote.version;
    bid = quote.bid;
    ask = quote.ask;
    return version == 2 * n + 2 && version == quote.version;
}

int main() {
    Ring &ring = open_ring(false);
    uint64_t n = 0, bid, ask;
    while (n < 4000) {
        n = ring.published;
        if (n > 0 && take(ring, n - 1, bid, ask) && bid > ask) {
            std::printf("reader: slot %lu bids %lu.%02lu and asks %lu.%02lu\n", (n - 1) % SLOTS,
                        bid / 100, bid % 100, ask / 100, ask % 100);
            ring.halted = 1;
            return 1;
        }
        std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
    ring.halted = 1;
    std::puts("reader: all is well");
}
