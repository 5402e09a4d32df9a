//! Names of shared objects, as people write them.

use crate::catalog::{Catalog, ObjectInfo};
use orch_abi::record::object;

/// What an object is called: its path, `memfd:NAME`, `sysv:ID` or `anon:NUMBER`.
#[must_use]
pub fn label(info: &ObjectInfo) -> String {
    let name = info.name.strip_suffix(" (deleted)").unwrap_or(&info.name);
    match info.what {
        object::ANONYMOUS => format!("anon:{}", info.id),
        object::SYSV => format!("sysv:{}", info.ino),
        _ => match name.strip_prefix("/memfd:") {
            Some(name) => format!("memfd:{name}"),
            None if name.is_empty() => format!("object:{}", info.id),
            None => name.to_owned(),
        },
    }
}

/// Like [`label`], and where another object is called the same, `#NUMBER` behind it.
#[must_use]
pub fn unique_label(catalog: &Catalog, info: &ObjectInfo) -> String {
    let label = label(info);
    let same = catalog
        .objects
        .iter()
        .any(|o| o.id != info.id && self::label(o) == label);
    if same {
        format!("{label}#{}", info.id)
    } else {
        label
    }
}

/// The objects that `name` may mean: those called exactly so; else those of
/// that file name; else those whose path ends so.
#[must_use]
pub fn find<'c>(catalog: &'c Catalog, name: &str) -> Vec<&'c ObjectInfo> {
    let all = || catalog.objects.iter();
    let rules: [&dyn Fn(&ObjectInfo) -> bool; 3] = [
        &|o| {
            let number = name.strip_prefix("object:").or(name.strip_prefix('#'));
            label(o) == name
                || format!("{}#{}", label(o), o.id) == name
                || number.and_then(|n| n.parse().ok()) == Some(o.id)
        },
        &|o| {
            let label = label(o);
            let last = label.rsplit(['/', ':']).next();
            last == Some(name)
        },
        &|o| {
            let label = label(o);
            let before = label.strip_suffix(name).and_then(|b| b.chars().last());
            before == Some('/')
        },
    ];
    for rule in rules {
        let found: Vec<&ObjectInfo> = all().filter(|o| rule(o)).collect();
        if !found.is_empty() {
            return found;
        }
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog(names: &[(u64, &str)]) -> Catalog {
        let objects = (1..).zip(names).map(|(id, &(what, name))| ObjectInfo {
            id,
            what,
            dev: 0,
            ino: 12,
            name: name.to_owned(),
            size: 0,
            traffic: Vec::new(),
        });
        Catalog {
            objects: objects.collect(),
            ..Catalog::default()
        }
    }

    #[test]
    fn objects_are_found_by_their_names() {
        let catalog = catalog(&[
            (2, "/dev/shm/q"),
            (2, "/memfd:frames (deleted)"),
            (3, ""),
            (1, ""),
            (2, "/tmp/a/q"),
            (2, "/memfd:frames (deleted)"),
            (2, "/tmp/a/gone (deleted)"),
        ]);
        let ids = |name: &str| -> Vec<u64> { find(&catalog, name).iter().map(|o| o.id).collect() };
        assert_eq!(ids("/dev/shm/q"), [1]);
        assert_eq!(ids("q"), [1, 5]);
        assert_eq!(ids("a/q"), [5]);
        assert_eq!(ids("memfd:frames"), [2, 6]);
        assert_eq!(ids("frames"), [2, 6]);
        assert_eq!(ids("memfd:frames#6"), [6]);
        assert_eq!(ids("sysv:12"), [3]);
        assert_eq!(ids("anon:4"), [4]);
        assert_eq!(ids("#7"), [7]);
        assert_eq!(ids("gone"), [7]);
        assert_eq!(ids("x"), [] as [u64; 0]);
        let labels: Vec<String> = catalog
            .objects
            .iter()
            .map(|o| unique_label(&catalog, o))
            .collect();
        assert_eq!(labels[1], "memfd:frames#2");
        assert_eq!(labels[0], "/dev/shm/q");
    }
}
