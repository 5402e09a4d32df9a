// Publishes the quotes of an exchange, which trades around the price that is given.
#include "ring.h"
#include <chrono>
#include <random>
#include <thread>

static std::mt19937 random_number{std::random_device{}()};

static uint64_t price(uint64_t around) { return around + random_number() % 5; }

// Its answers take a while.
static void wait_for_the_exchange() {
    std::this_thread::sleep_for(std::chrono::microseconds(random_number() % 200));
}

// Without locks: by its version, readers know whether they saw a whole quote.
static void publish(Ring &ring, uint64_t around) {
    uint64_t n = ring.published;
    Quote &quote = ring.quotes[n % SLOTS];
    quote.version = 2 * n + 1;
    quote.bid = price(around);
    wait_for_the_exchange();
    quote.ask = price(around + 5);
    quote.version = 2 * n + 2;
    ring.published = n + 1;
}

int main(int, char **argv) {
    Ring &ring = open_ring(false);
    uint64_t around = std::strtoull(argv[1], nullptr, 10);
    ring.open++;
    while (ring.open < 2)
        std::this_thread::sleep_for(std::chrono::microseconds(100));
    while (!ring.halted) {
        wait_for_the_exchange();
        publish(ring, around);
    }
}
