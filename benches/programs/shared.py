# Four processes add up their parts of an array in shared memory, many times.
from multiprocessing import Process, shared_memory

N = 20_000


def work(name, first):
    memory = shared_memory.SharedMemory(name)
    data = memory.buf[: 8 * N].cast("q")
    total = 0
    for _ in range(8):
        for i in range(first, N, 4):
            total += data[i] * 3 + 1
    data[first] = total
    data.release()
    memory.close()


if __name__ == "__main__":
    memory = shared_memory.SharedMemory(create=True, size=8 * N)
    data = memory.buf[: 8 * N].cast("q")
    for i in range(N):
        data[i] = i
    processes = [Process(target=work, args=(memory.name, i)) for i in range(4)]
    for p in processes:
        p.start()
    for p in processes:
        p.join()
    assert all(p.exitcode == 0 for p in processes)
    data.release()
    memory.close()
    memory.unlink()
