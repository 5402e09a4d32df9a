use super::*;
use orch_abi::digest::Digest;
use orch_abi::record::{
    Boot, Data, Ended, Exit, Forked, Insn, Map, Point, Signal, Spawn, Start, Switch, Syscall, flag,
};
use orch_recorder::trace::record::{Plain, build};
use proptest::prelude::*;
use std::ffi::OsStr;

const P3: RecordingId = RecordingId(3);

fn line(bytes: &[u8]) -> Line {
    let (record, _) = Record::parse(bytes, 0, 0).expect("it was built");
    describe(P3, &record)
}

fn text(bytes: &[u8]) -> String {
    line(bytes).text
}

fn plain(kind: Kind, value: &impl Plain) -> Vec<u8> {
    let mut payload = Vec::new();
    value.write(&mut payload);
    build::record(kind, 0, 0, 7, &payload)
}

#[test]
fn calls() {
    let call = Syscall {
        args: [1, 0x1000, 6, 0, 0, 0],
        result: 6,
        ..Syscall::default()
    };
    let chunks = [(0x1000, true, &b"hello\n"[..])];
    let record = build::syscall(7, 1, 0, &call, &chunks);
    let said = line(&record);
    assert_eq!(said.text, r#"write(1, "hello\n", 6) = 6"#);
    assert_eq!(said.result, Value::Number(6));
    assert_eq!(said.position().to_string(), "p3@7");
    let json = serde_json::to_string(&said).expect("plain data");
    assert_eq!(
        json,
        r#"{"recording":"p3","tick":7,"offset":0,"event":"syscall","name":"write","#.to_owned()
            + r#""args":{"fd":"1","buf":"\"hello\\n\"","count":"6"},"result":6,"#
            + r#""text":"write(1, \"hello\\n\", 6) = 6"}"#
    );
    let failed = Syscall {
        result: -38,
        ..call
    };
    let said = line(&build::syscall(7, 425, flag::REFUSED, &failed, &[]));
    assert!(
        said.refused && said.error.as_deref() == Some("ENOSYS"),
        "{said:?}"
    );
    assert!(
        said.text.ends_with("(refused: cannot be recorded)"),
        "{said}"
    );
    assert_eq!(attempted(3, [5, 0, 0, 0, 0, 0]), "close(5)");
}

#[test]
fn beginnings_and_ends() {
    let start = Start {
        pid: 9,
        parent: 1,
        ..Start::default()
    };
    let args = ["ls", "a b"];
    assert_eq!(
        text(&build::start(
            1,
            &start,
            OsStr::new("/bin/ls"),
            &args,
            OsStr::new("/")
        )),
        r#"starts "/bin/ls" ["ls", "a b"] in "/", pid 9"#
    );
    let forked = Forked {
        parent: 2,
        pid: 5,
        tick: 40,
    };
    assert_eq!(text(&build::forked(1, &forked)), "forked from p2@40, pid 5");
    let end = |how, value| text(&build::ended(1, &Ended { how, value }));
    assert_eq!(end(1, 3), "+++ exited with 3 +++");
    assert_eq!(end(2, 9), "+++ killed by SIGKILL +++");
    assert_eq!(end(3, 5), "+++ goes on as p5 +++");
    assert_eq!(end(4, 0), "+++ ended; nobody saw how +++");
    let exit = Exit {
        status: 1,
        whole: 1,
        ..Exit::default()
    };
    assert_eq!(text(&build::exit(1, &exit)), "exit_group(1)");
    assert_eq!(
        text(&build::spawn(1, &Spawn { what: 0, child: 4 })),
        "forks p4"
    );
}

#[test]
fn signals() {
    let mut info = [0; 128];
    info[8] = 1;
    info[16] = 0x10;
    let signal = Signal {
        ip: 0x400,
        fatal: 1,
        ..Signal::default()
    };
    assert_eq!(
        text(&build::signal(1, 11, &signal, &info)),
        "--- SIGSEGV {si_code=SEGV_MAPERR, si_addr=0x10} at 0x400, ends the process ---"
    );
}

#[test]
fn every_kind_has_words() {
    let records = [
        plain(Kind::Map, &Map::default()),
        plain(Kind::RuntimeMap, &Map::default()),
        plain(Kind::Data, &Data::default()),
        plain(Kind::Enter, &Syscall::default()),
        plain(Kind::Exec, &Syscall::default()),
        plain(Kind::Switch, &Switch::default()),
        plain(Kind::Insn, &Insn::default()),
        plain(Kind::Point, &Point::default()),
        plain(Kind::Digest, &Digest::default()),
        plain(Kind::Boot, &Boot::default()),
    ];
    for record in &records {
        let line = line(record);
        assert!(
            !line.name.is_empty() && !line.text.contains("damaged"),
            "{line:?}"
        );
    }
}

#[test]
fn records_that_make_no_sense_are_called_damaged() {
    for kind in 1..=20_u8 {
        let mut bytes = build::record(Kind::Data, 0, 0, 1, &[0xff; 8]);
        bytes[0] = kind;
        let line = line(&bytes);
        // Switch, Spawn and Ended have 8 bytes.
        let whole = matches!(kind, 6 | 9 | 16);
        assert!(
            line.text.starts_with("damaged: ") != whole,
            "{kind}: {line}"
        );
    }
}

proptest! {
    #[test]
    fn no_record_breaks_it(kind in 1_u8.., flags: u8, aux: u16, payload in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut bytes = build::record(Kind::Data, flags, aux, 1, &payload);
        bytes[0] = kind;
        let line = line(&bytes);
        prop_assert!(!line.text.contains('\n'));
    }
}
