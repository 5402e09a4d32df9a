//! How fast recordings are written and read, and how small they become:
//! `cargo test --release -p orch-recorder --test trace_speed -- --ignored --nocapture`

use orch_abi::record::Syscall;
use orch_recorder::trace::record::build;
use orch_recorder::trace::{RecordingId, RecordingReader, RecordingWriter};
use std::time::Instant;
use tempfile::TempDir;
use xxhash_rust::xxh3::xxh3_64;

/// Raw bytes of each workload.
const VOLUME: usize = 256 << 20;

/// Numbers that do not compress (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

type Chunk<'a> = (u64, bool, &'a [u8]);

fn call(
    tick: u64,
    nr: u16,
    ip: u64,
    args: [u64; 3],
    result: i64,
    hash: u64,
    chunks: &[Chunk],
) -> Vec<u8> {
    let [a, b, c] = args;
    let call = Syscall {
        ip,
        result,
        args: [a, b, c, 0, 0, 0],
        in_hash: hash,
    };
    build::syscall(tick, nr, 0, &call, chunks)
}

/// Fills about `VOLUME` / 8 bytes with what `step` makes; the rest repeats it in the test.
fn stream(mut step: impl FnMut(u64, &mut Random) -> Vec<u8>) -> (Vec<u8>, u64) {
    let (mut out, mut random, mut n) = (Vec::new(), Random(1), 0);
    while out.len() < VOLUME / 8 {
        out.extend(step(n, &mut random));
        n += 1;
    }
    (out, n)
}

fn measure(name: &str, limit: Option<f64>, (raw, steps): (Vec<u8>, u64)) {
    let dir = TempDir::new_in(if std::path::Path::new("/dev/shm").exists() {
        "/dev/shm"
    } else {
        "/tmp"
    });
    let dir = dir.unwrap();
    let path = dir.path().join("events");
    let mut writer = RecordingWriter::create(&path, RecordingId(1)).unwrap();
    // Pieces as the supervisor takes them from a ring, cut between records.
    let mut pieces = Vec::new();
    let (mut start, mut at) = (0, 0);
    while at < raw.len() {
        at += 16 + u32::from_le_bytes(raw[at + 4..at + 8].try_into().unwrap()) as usize;
        if at - start > 100_000 || at == raw.len() {
            pieces.push(&raw[start..at]);
            start = at;
        }
    }
    let began = Instant::now();
    for _ in 0..8 {
        pieces
            .iter()
            .for_each(|piece| writer.append(piece).unwrap());
    }
    writer.finish().unwrap();
    let wrote = began.elapsed().as_secs_f64();
    let summary = writer.summary();
    let total = summary.bytes as f64;
    let stored = writer.file_len() as f64;

    let began = Instant::now();
    let mut records = RecordingReader::open(&path).unwrap().records();
    let mut count = 0;
    while let Some(_record) = records.next_record().unwrap() {
        count += 1;
    }
    let read = began.elapsed().as_secs_f64();
    assert_eq!(count, summary.events);
    let each = stored / (steps * 8) as f64;
    println!(
        "{name:24} {:6.1} raw bytes/record {each:8.3} stored {:7.0} MB/s written {:7.0} MB/s read",
        total / summary.events as f64,
        total / wrote / 1e6,
        total / read / 1e6,
    );
    if let Some(limit) = limit {
        assert!(each <= limit, "{name}: {each} bytes a record");
    }
}

#[test]
#[ignore = "measures; wants a release build and a quiet machine"]
fn sizes_and_speeds() {
    measure(
        "getpid alone",
        Some(2.0),
        stream(|n, _| call(n, 39, 0x1000, [0; 3], 77, 0, &[])),
    );
    let mut tick = 0;
    let getpid = stream(|_, random| {
        tick += 1 + random.below(4);
        call(tick, 39, 0x1000, [0; 3], 77, 0, &[])
    });
    measure("getpid among others", Some(2.0), getpid);
    let mut tick = 0;
    let ping_pong = stream(|n, random| {
        tick += 1 + random.below(3);
        let byte = [n as u8 / 2];
        if n % 2 == 0 {
            call(tick, 1, 0x1000, [4, 0x7ffc_1230, 1], 1, xxh3_64(&byte), &[])
        } else {
            call(
                tick,
                0,
                0x1010,
                [3, 0x7ffc_1240, 1],
                1,
                0,
                &[(0x7ffc_1240, false, &byte)],
            )
        }
    });
    measure("ping-pong of a byte", Some(2.0), ping_pong);
    let mut tick = 0;
    let counter = stream(|n, random| {
        tick += 1 + random.below(3);
        let count = (n / 2).to_le_bytes();
        if n % 2 == 0 {
            call(
                tick,
                1,
                0x1000,
                [4, 0x7ffc_1230, 8],
                8,
                xxh3_64(&count),
                &[],
            )
        } else {
            call(
                tick,
                0,
                0x1010,
                [3, 0x7ffc_1240, 8],
                8,
                0,
                &[(0x7ffc_1240, false, &count)],
            )
        }
    });
    measure("ping-pong of a counter", None, counter);
    let mut time = 1_700_000_000_000_000_000u64;
    let clock = stream(|n, random| {
        time += 800 + random.below(400);
        let (s, ns) = (time / 1_000_000_000, time % 1_000_000_000);
        let spec = [s.to_le_bytes(), ns.to_le_bytes()].concat();
        call(
            n,
            228,
            0x1000,
            [1, 0x7ffc_1230, 0],
            0,
            0,
            &[(0x7ffc_1230, false, &spec)],
        )
    });
    measure("clock_gettime", None, clock);
    let mut tick = 0;
    let mut site = 0;
    let mixed = stream(|_, random| {
        tick += 1 + random.below(6);
        // Mostly the usual successor, sometimes another of 40 sites.
        site = if random.below(5) == 0 {
            random.below(40)
        } else {
            (site * 7 + 3) % 40
        };
        let result = if site % 4 == 0 {
            random.below(200) as i64
        } else {
            0
        };
        let args = [site % 9, 0x5555_0000 + random.below(2) * 64 * site, 100];
        call(
            tick,
            (site * 5) as u16,
            0x1000 + site * 16,
            args,
            result,
            0,
            &[],
        )
    });
    measure("40 call sites", None, mixed);
    let text = std::fs::read_to_string(file!())
        .or_else(|_| std::fs::read_to_string("tests/trace_speed.rs"));
    let text = text.unwrap().repeat(12);
    let reads = stream(|n, random| {
        let start = random.below(1000) as usize;
        let piece = &text.as_bytes()[start..start + 65536];
        call(
            n,
            0,
            0x1000,
            [3, 0x7000_0000, 65536],
            65536,
            0,
            &[(0x7000_0000, false, piece)],
        )
    });
    measure("reads of 64 KiB of text", None, reads);
    let noise = stream(|n, random| {
        let piece: Vec<u8> = (0..8192)
            .flat_map(|_| random.next().to_le_bytes())
            .collect();
        call(
            n,
            0,
            0x1000,
            [3, 0x7000_0000, 65536],
            65536,
            0,
            &[(0x7000_0000, false, &piece)],
        )
    });
    measure("reads of 64 KiB of noise", None, noise);
}

#[test]
#[ignore = "measures; wants a release build and a quiet machine"]
fn opening_is_quick() {
    use orch_recorder::session::{Meta, Session};
    let dir = TempDir::new().unwrap();
    let meta = Meta::now(vec!["true".to_owned()], "/".into(), Vec::new());
    let session = Session::create(&dir.path().join("s"), meta).unwrap();
    let record = call(1, 39, 0x1000, [0; 3], 77, 0, &[]);
    for id in 1..=1000 {
        let mut writer = session.writer(RecordingId(id)).unwrap();
        writer.append(&record).unwrap();
        writer.finish().unwrap();
    }
    let mut writer = session.writer(RecordingId(1001)).unwrap();
    for _ in 0..100_000 {
        writer.append(&record).unwrap();
        writer.flush().unwrap();
    }
    let path = session.events_path(RecordingId(1001));
    let time = |what: &str, f: &dyn Fn()| {
        let began = Instant::now();
        f();
        println!("{what:45} {:6.1} ms", began.elapsed().as_secs_f64() * 1e3);
    };
    let open = || assert_eq!(RecordingReader::open(&path).unwrap().records_len(), 100_000);
    time("open 100,000 blocks without an index", &open);
    writer.finish().unwrap();
    time("open 100,000 blocks with an index", &open);
    time("summarise 1001 recordings", &|| {
        for id in session.recordings().unwrap() {
            assert!(session.summary(id).unwrap().finished);
        }
    });
}
