//! Sessions with shared memory, made without a recorder.

use orch_abi::record::{Forked, Object, Start, View, object};
use orch_recorder::session::{Meta, Session};
use orch_recorder::trace::RecordingId;
use orch_recorder::trace::record::build;
use std::ffi::OsStr;
use std::path::Path;

/// Address at which recording `n` maps an object.
pub const fn base(n: u32, object: u64) -> u64 {
    0x7f00_0000_0000 + (n as u64 * 16 + object) * 0x1000_0000
}

/// Bytes of each object that are mapped.
pub const SIZE: u64 = 16 << 20;

/// Makes a session of these recordings; `p1` starts, the others are forked
/// from it, and all map each object.
pub fn session(dir: &Path, recordings: &[Vec<Vec<u8>>], objects: &[&str]) -> Session {
    let meta = Meta::now(vec!["test".into()], dir.into(), Vec::new());
    let mut session = Session::create(&dir.join("s"), meta).expect("a new directory");
    for (n, records) in (1..).zip(recordings) {
        let mut writer = session.writer(RecordingId(n)).expect("a new recording");
        for record in begin(n, objects).iter().chain(records) {
            writer.append(record).expect("it is a record");
        }
        writer.finish().expect("there is room");
    }
    session
        .update(|meta| meta.end(0, Vec::new()))
        .expect("it can be written");
    session
}

fn begin(n: u32, objects: &[&str]) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    if n == 1 {
        let start = Start {
            pid: 100,
            ..Start::default()
        };
        out.push(build::start(
            1,
            &start,
            OsStr::new("/bin/test"),
            &["test"],
            OsStr::new("/"),
        ));
    } else {
        let forked = Forked {
            parent: 1,
            pid: 100 + n,
            tick: 1,
        };
        out.push(build::forked(2, &forked));
    }
    for (id, name) in (1..).zip(objects) {
        let what = object::FILE;
        let info = Object {
            id,
            what,
            dev: 1,
            ino: id,
        };
        out.push(build::object(2, &info, OsStr::new(name)));
        let view = View {
            addr: base(n, id),
            len: SIZE,
            object: id,
            offset: 0,
            prot: 3,
        };
        out.push(build::view(2, &view));
    }
    out
}
