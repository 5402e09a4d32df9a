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
    while (n < 8000) {
        uint64_t published = ring.published;
        if (n >= published) {
            std::this_thread::sleep_for(std::chrono::microseconds(50));
            continue;
        }
        if (published - n > SLOTS)
            n = published - SLOTS; // The others are gone.
        // Exchanges ask for a little more than they bid: up to ten cents.
        if (take(ring, n, bid, ask) && (ask < bid || ask > bid + 10)) {
            std::printf("reader: slot %lu bids %lu.%02lu and asks %lu.%02lu\n", n % SLOTS,
                        bid / 100, bid % 100, ask / 100, ask % 100);
            ring.halted = 1;
            return 1;
        }
        n++;
    }
    ring.halted = 1;
    std::printf("reader: %lu quotes, all is well\n", n);
}
