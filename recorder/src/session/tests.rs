use super::place::{default_dir_in, link_latest_in, list_in, locate_in};
use super::*;
use crate::trace::record::build;
use orch_abi::record::Forked;
use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use tempfile::TempDir;

fn meta() -> Meta {
    Meta::now(
        vec!["true".to_owned()],
        PathBuf::from("/"),
        vec!["A=1".to_owned()],
    )
}

#[test]
fn a_session_comes_back() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path().join("a/b");
    let mut session = Session::create(&dir, meta()).unwrap();
    assert_eq!(
        fs::metadata(&dir).unwrap().permissions().mode() & 0o777,
        0o700
    );
    assert_eq!(session.meta().running(), Some(std::process::id()));
    for id in [10, 2, 1] {
        session.writer(RecordingId(id)).unwrap().finish().unwrap();
    }
    let refused = Refused {
        call: "io_uring_setup".to_owned(),
        detail: String::new(),
        count: 2,
    };
    session.update(|meta| meta.end(3, vec![refused])).unwrap();

    let again = Session::open(&dir).unwrap();
    assert_eq!(again.meta(), session.meta());
    assert_eq!(
        (again.meta().clean, again.meta().exit_status),
        (true, Some(3))
    );
    assert_eq!(again.meta().running(), None);
    assert_eq!(again.recordings().unwrap(), [1, 2, 10].map(RecordingId));
    assert_eq!(
        again.reader(RecordingId(10)).unwrap().recording(),
        RecordingId(10)
    );
    assert!(again.summary(RecordingId(2)).unwrap().finished);
    again.remove().unwrap();
    assert!(!dir.exists());
}

#[test]
fn who_watches_is_forgotten() {
    let dir = TempDir::new().unwrap();
    let session = Session::create(dir.path(), meta()).unwrap();
    assert!(!session.is_watched());
    session.watch().unwrap();
    assert!(session.is_watched());
    let file = fs::File::open(dir.path().join("watched")).unwrap();
    for seconds in [-60, 60] {
        let now = std::time::SystemTime::now();
        let minute = std::time::Duration::from_secs(60);
        let then = if seconds < 0 {
            now - minute
        } else {
            now + minute
        };
        file.set_modified(then).unwrap();
        assert!(!session.is_watched(), "{seconds} seconds from now");
    }
    session.watch().unwrap();
    session.unwatch();
    assert!(!session.is_watched());
    session.unwatch();
}

#[test]
fn a_running_session_is_not_removed() {
    let dir = TempDir::new().unwrap();
    let session = Session::create(dir.path(), meta()).unwrap();
    let error = session.remove().unwrap_err();
    assert!(
        matches!(error, SessionError::Running { supervisor, .. } if supervisor == std::process::id())
    );
}

#[test]
fn a_session_whose_supervisor_was_killed_is_not_running() {
    let mut meta = meta();
    // The same process id, but of a process that started at another time.
    meta.supervisor_start += 1;
    assert_eq!(meta.running(), None);
}

#[test]
fn what_is_no_session_is_named() {
    let dir = TempDir::new().unwrap();
    let open = || Session::open(dir.path()).unwrap_err();
    assert!(matches!(open(), SessionError::NotASession { .. }));
    let nowhere = Session::open(&dir.path().join("x")).unwrap_err();
    assert!(matches!(nowhere, SessionError::NotASession { .. }));
    fs::write(dir.path().join(META_FILE), "{ nonsense").unwrap();
    assert!(matches!(open(), SessionError::Meta { .. }));
    fs::write(
        dir.path().join(META_FILE),
        r#"{"format": 9, "orch": "7.1", "new": []}"#,
    )
    .unwrap();
    let text = open().to_string();
    assert!(
        text.contains("format 9 (made by orch 7.1), this orch reads format 1"),
        "{text}"
    );
    let error = Session::create(dir.path(), meta()).unwrap_err();
    assert!(matches!(error, SessionError::Exists { .. }));
}

#[test]
fn directories_are_numbered_and_the_newest_is_found() {
    let dir = TempDir::new().unwrap();
    let root = dir.path().join("orch");
    assert!(matches!(locate_in(&root), Err(SessionError::None { .. })));
    let mut made = Vec::new();
    for n in 1..=3 {
        let path = default_dir_in(&root, OsStr::new("/usr/bin/prog")).unwrap();
        assert_eq!(path, root.join(format!("prog-{n}")));
        Session::create(&path, meta()).unwrap();
        link_latest_in(&root, &path).unwrap();
        made.insert(0, path);
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert_eq!(
        default_dir_in(&root, OsStr::new("prog-1")).unwrap(),
        root.join("prog-1-1")
    );
    assert_eq!(list_in(&root).unwrap(), made);
    assert_eq!(
        locate_in(&root).unwrap().dir(),
        made[0].canonicalize().unwrap()
    );
    fs::remove_dir_all(&made[0]).unwrap();
    assert_eq!(
        locate_in(&root).unwrap().dir(),
        made[1].canonicalize().unwrap()
    );
}

/// A recording of a process that says that `parent` has forked it.
fn forked(session: &Session, id: u32, parent: u32) {
    let mut writer = session.writer(RecordingId(id)).unwrap();
    let forked = Forked {
        parent,
        ..Forked::default()
    };
    writer.append(&build::forked(1, &forked)).unwrap();
    writer.finish().unwrap();
}

#[test]
fn who_follows_parents_comes_to_an_end() {
    let dir = TempDir::new().unwrap();
    let session = Session::create(&dir.path().join("s"), meta()).unwrap();
    forked(&session, 2, 1);
    forked(&session, 1, 2);
    forked(&session, 3, 3);
    let line = |id| session.lineage(RecordingId(id)).unwrap();
    assert_eq!(line(2).recordings, [2, 1].map(RecordingId));
    assert_eq!(line(3).recordings, [3].map(RecordingId));
    assert_eq!(line(2).program, None);
}
