//! System V and POSIX message queues, semaphores and shared memory.

use super::names::*;
use super::rows::*;
use Ty::*;

pub(super) const CALLS: &[Call] = calls! {
    29 shmget(key: Hex, size: Uint, shmflg: IPC).publishes();
    30 shmat(shmid: Int, shmaddr: Addr, shmflg: Flags(SHMAT)).does(Does::Memory).gives(Ret::Addr);
    31 shmctl(shmid: Int, cmd: Int, buf: Hex).publishes().only(SHM, EINVAL);
    64 semget(key: Hex, nsems: Int, semflg: IPC).publishes();
    65 semop(semid: Int, sops: reads_len(Len::ArgTimes(2, 6)), nsops: Uint).sleeps().publishes();
    66 semctl(semid: Int, semnum: Int, cmd: Int, arg: Hex).publishes().only(SEM, EINVAL);
    67 shmdt(shmaddr: Addr).does(Does::Memory);
    68 msgget(key: Hex, msgflg: IPC).publishes();
    69 msgsnd(msqid: Int, msgp: reads_len(Len::ArgPlus(2, 8)), msgsz: Uint, msgflg: IPC)
        .sleeps().publishes();
    70 msgrcv(msqid: Int, msgp: Out(Buf::Bytes { cap: Len::ArgPlus(2, 8), used: Len::ResultPlus(8) }),
        msgsz: Uint, msgtyp: Long, msgflg: IPC).sleeps();
    71 msgctl(msqid: Int, cmd: Int, buf: Hex).publishes().only(MSG_CTL, EINVAL);
    220 semtimedop(semid: Int, sops: reads_len(Len::ArgTimes(2, 6)), nsops: Uint,
        timeout: reads(16)).sleeps().publishes();
    240 mq_open(name: Path, oflag: OPEN, mode: Octal, attr: reads(MQ_ATTR))
        .publishes().gives(Ret::Fd).variants(MQ_OPEN);
    241 mq_unlink(name: Path).publishes();
    242 mq_timedsend(mqdes: Fd, msg_ptr: reads_len(Len::Arg(2)), msg_len: Uint, msg_prio: Uint,
        abs_timeout: reads(16)).blocks().publishes();
    243 mq_timedreceive(mqdes: Fd, msg_ptr: filled(2), msg_len: Uint, msg_prio: out(4),
        abs_timeout: reads(16)).blocks();
    244 mq_notify(mqdes: Fd, sevp: reads(64));
    245 mq_getsetattr(mqdes: Fd, newattr: reads(MQ_ATTR), oldattr: out(MQ_ATTR));
};

// Without O_CREAT the last two arguments are whatever the registers held.
const MQ_OPEN: &[Variant] = variants! { 1 & 0o100;
    0 O_RDONLY => 3: Addr;
};

/// `struct mq_attr`.
const MQ_ATTR: u32 = 64;
/// `struct shmid64_ds`, `struct semid64_ds`, `struct msqid64_ds`.
const SHMID: u32 = 112;
const SEMID: u32 = 104;
const MSQID: u32 = 120;

const SHM: &[Variant] = variants! { 1 & 0xffff_ffff;
    0 IPC_RMID => 2: Hex;
    1 IPC_SET => 2: reads(SHMID);
    2 IPC_STAT => 2: out(SHMID);
    3 IPC_INFO => 2: out(72);
    11 SHM_LOCK => 2: Hex;
    12 SHM_UNLOCK => 2: Hex;
    13 SHM_STAT => 2: out(SHMID);
    14 SHM_INFO => 2: out(48);
    15 SHM_STAT_ANY => 2: out(SHMID);
};

const SEM: &[Variant] = variants! { 2 & 0xffff_ffff;
    0 IPC_RMID => 3: Hex;
    1 IPC_SET => 3: reads(SEMID);
    2 IPC_STAT => 3: out(SEMID);
    3 IPC_INFO => 3: out(40);
    11 GETPID => 3: Hex;
    12 GETVAL => 3: Hex;
    13 GETALL => 3: out_len(Len::Semaphores(0));
    14 GETNCNT => 3: Hex;
    15 GETZCNT => 3: Hex;
    16 SETVAL => 3: Int;
    17 SETALL => 3: reads_len(Len::Semaphores(0));
    18 SEM_STAT => 3: out(SEMID);
    19 SEM_INFO => 3: out(40);
    20 SEM_STAT_ANY => 3: out(SEMID);
};

const MSG_CTL: &[Variant] = variants! { 1 & 0xffff_ffff;
    0 IPC_RMID => 2: Hex;
    1 IPC_SET => 2: reads(MSQID);
    2 IPC_STAT => 2: out(MSQID);
    3 IPC_INFO => 2: out(32);
    11 MSG_STAT => 2: out(MSQID);
    12 MSG_INFO => 2: out(32);
    13 MSG_STAT_ANY => 2: out(MSQID);
};
