"""Several processes count how many orders they have handled, in shared memory."""
import multiprocessing
import random
import sys
import time
from multiprocessing.shared_memory import SharedMemory

PROCESSES, ORDERS = 4, 100


def fetch():
    time.sleep(random.random() / 2000)


def handle():
    time.sleep(random.random() / 2000)


def count(name):
    memory = SharedMemory(name)
    total = memory.buf.cast("q")
    for _ in range(ORDERS):
        fetch()
        so_far = total[0]
        handle()
        total[0] = so_far + 1
    total.release()
    memory.close()


def main():
    memory = SharedMemory(create=True, size=8)
    processes = [multiprocessing.Process(target=count, args=[memory.name]) for _ in range(PROCESSES)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    total = int.from_bytes(memory.buf[:8], sys.byteorder)
    memory.close()
    memory.unlink()
    print(f"{PROCESSES * ORDERS} orders were handled, {total} were counted")
    return total != PROCESSES * ORDERS


if __name__ == "__main__":
    multiprocessing.set_start_method("fork")
    sys.exit(main())
