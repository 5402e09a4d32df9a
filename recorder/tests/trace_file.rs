//! Recording files: what is written is read, from any place, finished or cut
//! off anywhere; damage is an error and stays where it is.

use orch_abi::record::{Ended, Exit, Signal, Spawn, Start, Syscall, View, ended};
use orch_recorder::trace::record::build;
use orch_recorder::trace::{
    End, Origin, Rare, RecordingId, RecordingReader, RecordingWriter, Tick, TraceError, VERSION,
};
use proptest::prelude::*;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const ID: RecordingId = RecordingId(3);

/// A plausible recording of `calls` calls, one record an element.
fn records(calls: u64) -> Vec<Vec<u8>> {
    let start = Start {
        pid: 77,
        parent: 1,
        time: 5,
        ..Start::default()
    };
    let program = OsStr::new("/bin/prog");
    let mut out = vec![build::start(
        1,
        &start,
        program,
        &[program],
        OsStr::new("/"),
    )];
    out.push(build::spawn(2, &Spawn { what: 1, child: 1 }));
    for i in 0..calls {
        let text = format!("line {i} {}", i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let call = Syscall {
            ip: 0x40_1000 + i % 5,
            result: text.len() as i64,
            ..Syscall::default()
        };
        out.push(build::syscall(
            3 + 2 * i,
            0,
            0,
            &call,
            &[(0x7000, false, text.as_bytes())],
        ));
    }
    out.push(build::exit(
        3 + 2 * calls,
        &Exit {
            status: 4,
            whole: 1,
            ..Exit::default()
        },
    ));
    out.push(build::ended(
        4 + 2 * calls,
        &Ended {
            how: ended::EXITED,
            value: 4,
        },
    ));
    out
}

struct File {
    _dir: TempDir,
    path: PathBuf,
}

fn empty() -> File {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("events");
    File { _dir: dir, path }
}

/// Writes records, with a flush after every `flush`, and closes the file or not.
fn write(records: &[Vec<u8>], flush: usize, finish: bool) -> File {
    let file = empty();
    let mut writer = RecordingWriter::create(&file.path, ID).unwrap();
    for records in records.chunks(flush) {
        writer.append(&records.concat()).unwrap();
        writer.flush().unwrap();
    }
    if finish {
        writer.finish().unwrap();
    }
    file
}

fn read_all(path: &Path) -> Result<Vec<u8>, TraceError> {
    let mut reader = RecordingReader::open(path)?;
    let mut raw = Vec::new();
    while let Some(block) = reader.next_block()? {
        assert_eq!(block.offset, raw.len() as u64);
        raw.extend(block.raw);
    }
    assert_eq!(raw.len() as u64, reader.end());
    Ok(raw)
}

#[test]
fn all_comes_back_with_a_summary() {
    let records = records(20_000);
    for finish in [true, false] {
        let file = write(&records, usize::MAX, finish);
        assert_eq!(read_all(&file.path).unwrap(), records.concat());
        let summary = RecordingReader::summary_of(&file.path).unwrap();
        assert_eq!(summary.recording, ID);
        assert_eq!(summary.events, records.len() as u64);
        assert_eq!(summary.bytes, records.concat().len() as u64);
        assert_eq!(
            (summary.first_tick, summary.last_tick),
            (Tick(1), Tick(40_004))
        );
        assert_eq!(summary.end, Some(End::Exited(4)));
        assert_eq!(
            (summary.threads, summary.finished),
            (finish.then_some(2), finish)
        );
        let Some(Origin::Exec {
            parent,
            pid,
            program,
            ..
        }) = summary.origin
        else {
            panic!()
        };
        assert_eq!(
            (parent, pid, program.args),
            (Some(RecordingId(1)), 77, vec!["/bin/prog".to_owned()])
        );
    }
}

/// Blocks are noted as they are written, and again where somebody else closes the file; a
/// file that lies, or does not say, has none too few and none that is not there.
#[test]
fn what_is_rare_is_noted() {
    let mmap = |tick| build::syscall(tick, 9, 0, &Syscall::default(), &[]);
    let signal = |tick| build::signal(tick, 10, &Signal::default(), &[0; 128]);
    let mut records = records(3000);
    records.insert(1234, signal(5));
    records.insert(2345, mmap(6));
    records.insert(2346, signal(7));
    records.insert(2800, build::view(8, &View::default()));
    let expected = |which: fn(&Rare) -> &[u32], path: &Path| {
        let reader = RecordingReader::open(path).unwrap();
        reader.blocks_with(which)
    };
    let file = write(&records, 100, true);
    assert_eq!(expected(|r| &r.signals, &file.path), [12, 23]);
    assert_eq!(expected(|r| &r.maps, &file.path), [0, 23]);
    assert_eq!(expected(|_| &[0, 7, 1 << 30], &file.path), [0, 7]);
    let shared = |path: &Path| {
        let reader = RecordingReader::open(path).unwrap();
        reader.noted_blocks(|r| r.shared.as_deref())
    };
    assert_eq!(shared(&file.path), Some(vec![28]));
    let file = write(&records, 100, false);
    let all = RecordingReader::open(&file.path).unwrap().blocks_len();
    assert_eq!(expected(|r| &r.signals, &file.path).len(), all);
    assert_eq!(shared(&file.path), None);
    let mut writer = RecordingWriter::resume(&file.path).unwrap().unwrap();
    writer.finish().unwrap();
    assert_eq!(expected(|r| &r.signals, &file.path), [12, 23]);
}

#[test]
fn places_are_found() {
    let records = records(3000);
    let file = write(&records, 100, true);
    let mut cursor = RecordingReader::open(&file.path).unwrap().records();
    assert!(cursor.reader().blocks_len() > 20);
    let mut offset = 0;
    for (index, expected) in records.iter().enumerate() {
        if index % 37 == 0 {
            cursor.seek_offset(offset).unwrap();
            let record = cursor.next_record().unwrap().unwrap();
            assert_eq!((record.offset, record.index), (offset, index as u64));
            let tick = record.head.tick;
            for wanted in [tick, tick.saturating_sub(u64::from(index > 2))] {
                cursor.seek_tick(Tick(wanted)).unwrap();
                let record = cursor.next_record().unwrap().unwrap();
                assert_eq!((record.index, record.head.tick), (index as u64, tick));
            }
        }
        offset += expected.len() as u64;
    }
    cursor.seek_offset(offset).unwrap();
    assert!(cursor.next_record().unwrap().is_none());
    assert!(matches!(
        cursor.seek_offset(offset + 1),
        Err(TraceError::OutOfRange { .. })
    ));
    cursor.seek_tick(Tick(u64::MAX)).unwrap();
    assert!(cursor.next_record().unwrap().is_none());
    cursor.seek_last_block();
    let mut last = None;
    while let Some(record) = cursor.next_record().unwrap() {
        last = Some(record.ended().map_err(|_| record.offset));
    }
    assert_eq!(last.unwrap().unwrap().value, 4);
}

#[test]
fn a_file_cut_off_anywhere_reads_up_to_the_last_whole_block() {
    let records = records(60);
    let raw = records.concat();
    let file = write(&records, 10, true);
    let whole = fs::read(&file.path).unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for len in (0..whole.len()).rev() {
        fs::OpenOptions::new()
            .write(true)
            .open(&file.path)
            .unwrap()
            .set_len(len as u64)
            .unwrap();
        let Ok(mut reader) = RecordingReader::open(&file.path) else {
            assert!(len < 32, "{len}");
            continue;
        };
        assert!(!reader.is_finished());
        let _any = reader.summary();
        let read = read_all(&file.path).unwrap();
        assert_eq!(read, raw[..read.len()]);
        seen.insert(read.len());
    }
    assert_eq!((seen.len(), *seen.last().unwrap()), (8, raw.len()));
}

#[test]
fn damage_stays_in_its_block() {
    let records = records(600);
    let file = write(&records, 100, true);
    let mut bytes = fs::read(&file.path).unwrap();
    bytes[400] ^= 1;
    fs::write(&file.path, &bytes).unwrap();
    let mut reader = RecordingReader::open(&file.path).unwrap();
    let (mut good, mut bad) = (0, Vec::new());
    loop {
        match reader.next_block() {
            Ok(Some(_)) => good += 1,
            Ok(None) => break,
            Err(error) => bad.push(error.to_string()),
        }
    }
    assert_eq!((good, bad.len()), (6, 1));
    assert!(
        bad[0].ends_with("is damaged at byte 32: a frame's body has another checksum"),
        "{bad:?}"
    );
}

#[test]
fn other_files_and_versions_are_named() {
    let file = write(&records(1), 1, true);
    let open = |bytes: &[u8]| {
        fs::write(&file.path, bytes).unwrap();
        RecordingReader::open(&file.path).err().unwrap()
    };
    assert!(matches!(open(b""), TraceError::NotARecording { .. }));
    assert!(matches!(open(&[7; 500]), TraceError::NotARecording { .. }));
    // The head of a file of version 9: docs/trace-format.md.
    let mut head = b"orchrec\n".to_vec();
    head.extend([9, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    head.extend(xxhash_rust::xxh3::xxh3_64(&head).to_le_bytes());
    let error = open(&head);
    assert!(matches!(error, TraceError::Version { found: 9, .. }));
    let ours = format!("this orch reads version {VERSION}");
    assert!(error.to_string().contains(&ours), "{error}");
}

#[test]
fn malformed_input_is_refused_behind_what_is_sound() {
    let file = empty();
    let mut writer = RecordingWriter::create(&file.path, ID).unwrap();
    let mut raw = records(1).concat();
    let sound = raw.len();
    raw.extend([0; 16]);
    let error = writer.append(&raw).unwrap_err();
    assert!(matches!(error, TraceError::Input { at, .. } if at == sound));
    drop(writer);
    assert_eq!(read_all(&file.path).unwrap(), raw[..sound]);
    assert!(matches!(
        RecordingWriter::create(&file.path, ID),
        Err(TraceError::Io { .. })
    ));
}

#[test]
fn a_live_file_can_be_read() {
    let file = empty();
    let mut writer = RecordingWriter::create(&file.path, ID).unwrap();
    assert_eq!(read_all(&file.path).unwrap(), b"");
    let records = records(10).concat();
    writer.append(&records).unwrap();
    assert_eq!(read_all(&file.path).unwrap(), b"");
    writer.flush().unwrap();
    assert_eq!(read_all(&file.path).unwrap(), records);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_flushes_and_pieces_give_the_same(calls in 0..400u64, flush in 1..500usize, finish: bool) {
        let records = records(calls);
        let file = write(&records, flush, finish);
        prop_assert_eq!(read_all(&file.path).unwrap(), records.concat());
    }

    #[test]
    fn damage_is_never_a_panic(
        finish: bool,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        cut in any::<prop::sample::Index>(),
        do_cut: bool,
    ) {
        let file = write(&records(200), 30, finish);
        let mut bytes = fs::read(&file.path).unwrap();
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if do_cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        fs::write(&file.path, &bytes).unwrap();
        let Ok(mut reader) = RecordingReader::open(&file.path) else { return Ok(()) };
        let _any = reader.summary();
        for _ in 0..=reader.blocks_len() {
            if let Ok(Some(block)) = reader.next_block() {
                assert!(block.records().all(|record| record.is_ok()));
            }
        }
    }
}

#[test]
fn data_that_is_not_compressed_is_read_all_the_same() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("events");
    let mut writer = RecordingWriter::create(&path, ID).unwrap();
    let mut raw = Vec::new();
    for i in 0..20_u64 {
        let bytes = vec![b'a' + u8::try_from(i).unwrap(); 50_000 + usize::try_from(i).unwrap()];
        let record = build::data(i + 1, 0x1000 * i, &bytes);
        writer.set_plain(i < 14);
        writer.append(&record).unwrap();
        raw.extend(record);
    }
    writer.finish().unwrap();
    assert!(fs::metadata(&path).unwrap().len() > 500_000);
    let mut reader = RecordingReader::open(&path).unwrap();
    let mut read = Vec::new();
    while let Some(block) = reader.next_block().unwrap() {
        read.extend(block.raw);
    }
    assert_eq!(read, raw);
}
