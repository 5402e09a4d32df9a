use super::*;
use std::os::unix::fs::PermissionsExt;
use tempfile::TempDir;

struct Place {
    dir: TempDir,
}

impl Place {
    fn new() -> Self {
        Self {
            dir: TempDir::new().unwrap(),
        }
    }

    fn store(&self) -> FileStore {
        FileStore::open(&self.dir.path().join("files")).unwrap()
    }

    fn file(&self, name: &str, content: &[u8]) -> (File, PathBuf) {
        let path = self.dir.path().join(name);
        fs::write(&path, content).unwrap();
        (File::open(&path).unwrap(), path)
    }
}

#[test]
fn content_is_kept_once_and_survives_the_file() {
    let place = Place::new();
    let mut store = place.store();
    let content = vec![42; 700_001];
    let (a, a_path) = place.file("a", &content);
    let (b, b_path) = place.file("b", &content);
    let (c, c_path) = place.file("c", b"other");
    assert_eq!(store.capture(&a, &a_path).unwrap(), FileId(0));
    assert_eq!(store.capture(&a, &a_path).unwrap(), FileId(0));
    assert_eq!(store.capture(&b, &b_path).unwrap(), FileId(0));
    assert_eq!(store.capture(&c, &c_path).unwrap(), FileId(1));
    assert_eq!(store.captured().len(), 3);
    fs::write(&a_path, b"changed").unwrap();
    assert_eq!(store.capture(&a, &a_path).unwrap(), FileId(2));

    let again = place.store();
    assert_eq!(again.captured(), store.captured());
    assert_eq!(fs::read(again.path(FileId(0))).unwrap(), content);
    assert_eq!(fs::read(again.path(FileId(2))).unwrap(), b"changed");
    assert_eq!(again.get(FileId(1)).unwrap().path, c_path);
    let mode = fs::metadata(again.path(FileId(0)))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o400);
}

#[test]
fn the_position_of_the_descriptor_stays() {
    use std::io::{Seek, SeekFrom};
    let place = Place::new();
    let (mut file, path) = place.file("a", b"0123456789");
    file.seek(SeekFrom::Start(4)).unwrap();
    let mut store = place.store();
    let id = store.capture(&file, &path).unwrap();
    assert_eq!(file.stream_position().unwrap(), 4);
    assert_eq!(fs::read(store.path(id)).unwrap(), b"0123456789");
}

#[test]
fn an_empty_file_can_be_captured_and_a_directory_not() {
    let place = Place::new();
    let mut store = place.store();
    let (file, path) = place.file("empty", b"");
    let id = store.capture(&file, &path).unwrap();
    assert_eq!(fs::read(store.path(id)).unwrap(), b"");
    let directory = File::open(place.dir.path()).unwrap();
    let error = store.capture(&directory, place.dir.path()).unwrap_err();
    assert!(matches!(error, FileStoreError::NotRegular { .. }));
}

#[test]
fn a_list_cut_off_in_a_line_loses_that_line() {
    let place = Place::new();
    let mut store = place.store();
    for name in ["a", "b"] {
        let (file, path) = place.file(name, name.as_bytes());
        store.capture(&file, &path).unwrap();
    }
    let list = place.dir.path().join("files").join(INDEX_FILE);
    let text = fs::read(&list).unwrap();
    fs::write(&list, &text[..text.len() - 5]).unwrap();
    let mut store = place.store();
    assert_eq!(store.captured().len(), 1);
    // The copy that the list does not know is replaced.
    let (file, path) = place.file("b", b"new");
    assert_eq!(store.capture(&file, &path).unwrap(), FileId(1));
    assert_eq!(fs::read(store.path(FileId(1))).unwrap(), b"new");
    assert_eq!(place.store().captured().len(), 2);
}

#[test]
fn damage_in_the_middle_is_named() {
    let place = Place::new();
    let list = place.dir.path().join("files").join(INDEX_FILE);
    fs::create_dir(list.parent().unwrap()).unwrap();
    fs::write(&list, "nonsense\n").unwrap();
    let error = FileStore::open(list.parent().unwrap()).unwrap_err();
    assert!(matches!(error, FileStoreError::Index { line: 1, .. }));
}

/// Where the processor has a fault for `cpuid`, none is replaced, whatever the cache tells.
#[test]
fn what_another_machine_found_is_left_in_the_cache() {
    let place = Place::new();
    let path = Path::new("/lib64/ld-linux-x86-64.so.2");
    let found = |name: &str, find: bool| {
        let mut store = FileStore::open(&place.dir.path().join(name)).unwrap();
        store.use_cache(Cache::open(&place.dir.path().join("cache"), 1 << 30).unwrap());
        if find {
            store.find_cpuids();
        }
        let id = store.capture(&File::open(path).unwrap(), path).unwrap();
        !store.get(id).unwrap().cpuids.is_empty()
    };
    assert_eq!(
        [("a", true), ("b", false), ("c", true)].map(|(name, find)| found(name, find)),
        [true, false, true]
    );
}
