//! Random accesses, recorded as the runtime would, and blamed: for every byte
//! at every time the index must name the writer that really was it.

mod common;

use common::{SIZE, base, session};
use orch_abi::record::Shared;
use orch_blame::BlameError;
use orch_blame::access::{Access, Kind};
use orch_blame::index::{INDEX_FILE, Index, Query};
use orch_recorder::trace::record::build;
use orch_recorder::trace::{RecordingId, Tick};
use proptest::prelude::*;

const RECORDINGS: usize = 3;
/// Where accesses are: around the first page, a bound of pages, a bound of windows.
const REGIONS: [u64; 3] = [0, 4096 - 300, (4 << 20) - 200];
/// Bytes of a region.
const REGION: usize = 700;

#[derive(Clone, Debug)]
enum Op {
    Store {
        who: usize,
        region: usize,
        at: usize,
        len: usize,
    },
    Load {
        who: usize,
        region: usize,
        at: usize,
        len: usize,
    },
    Outside {
        region: usize,
        at: usize,
        len: usize,
    },
}

fn range() -> impl Strategy<Value = (usize, usize, usize)> {
    let len = prop_oneof![6 => 1..17_usize, 1 => 17..80_usize, 1 => 250..600_usize];
    (0..REGIONS.len(), 0..REGION, len).prop_map(|(region, at, len)| {
        let len = len.min(REGION - at);
        (region, at, len)
    })
}

fn ops(outside: u32) -> impl Strategy<Value = Vec<Op>> {
    let store = (0..RECORDINGS, range()).prop_map(|(who, (region, at, len))| Op::Store {
        who,
        region,
        at,
        len,
    });
    let load = (0..RECORDINGS, range()).prop_map(|(who, (region, at, len))| Op::Load {
        who,
        region,
        at,
        len,
    });
    let other = range().prop_map(|(region, at, len)| Op::Outside { region, at, len });
    proptest::collection::vec(
        prop_oneof![20 => store, 15 => load, outside => other],
        1..120,
    )
}

/// Who wrote a byte last, as far as anybody can know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writer {
    Recorded(u64),
    Outside,
    Initial,
}

/// A byte of an object: what it is, what is known of it, and who wrote it when
/// (by tick of the store, or of the access that showed it).
#[derive(Clone, Default)]
struct Byte {
    value: u8,
    known: Option<u8>,
    history: Vec<(u64, Writer, u8)>,
}

#[derive(Default)]
struct Model {
    bytes: Vec<Byte>,
    /// What each recording saw last.
    seen: Vec<Vec<u8>>,
    records: Vec<Vec<Vec<u8>>>,
    tick: u64,
    value: u8,
    accesses: u64,
}

impl Model {
    fn new() -> Self {
        let len = REGIONS.len() * REGION;
        Self {
            bytes: vec![Byte::default(); len],
            seen: vec![vec![0; len]; RECORDINGS],
            records: vec![Vec::new(); RECORDINGS],
            tick: 10,
            ..Self::default()
        }
    }

    fn values(&mut self, len: usize, high: u8) -> Vec<u8> {
        (0..len)
            .map(|_| {
                self.value = self.value.wrapping_add(1) & 0x7f;
                self.value | high
            })
            .collect()
    }

    /// Byte `i` was seen, for what it is.
    fn learn(&mut self, i: usize, value: u8) {
        let byte = &mut self.bytes[i];
        let writer = match byte.known {
            Some(known) if known == value => return,
            Some(_) => Writer::Outside,
            None => Writer::Initial,
        };
        byte.known = Some(value);
        byte.history.push((self.tick, writer, value));
    }

    fn store(&mut self, who: usize, region: usize, at: usize, len: usize) {
        self.tick += 1;
        let start = region * REGION + at;
        let new = self.values(len, 0);
        let old: Vec<u8> = self.bytes[start..start + len]
            .iter()
            .map(|b| b.value)
            .collect();
        let unseen = self.seen[who][start..start + len] != old[..];
        for i in 0..len {
            if unseen {
                self.learn(start + i, old[i]);
            }
            let tick = self.tick;
            let byte = &mut self.bytes[start + i];
            (byte.value, byte.known) = (new[i], Some(new[i]));
            byte.history.push((tick, Writer::Recorded(tick), new[i]));
        }
        self.seen[who][start..start + len].copy_from_slice(&new);
        let addr = base(who as u32 + 1, 1) + REGIONS[region] + at as u64;
        let record = build::store(self.tick, 0, 0x1000, addr, &new, unseen.then_some(&old[..]));
        self.records[who].push(record);
        self.accesses += 1;
    }

    fn load_record(&mut self, who: usize, chunks: &[(u64, Vec<u8>)]) {
        self.tick += 1;
        let chunks: Vec<(u64, &[u8])> = chunks.iter().map(|(a, b)| (*a, &b[..])).collect();
        let shared = Shared {
            ip: 0x2000,
            ordinal: 1,
            caller: 0,
        };
        let record = build::shared(self.tick, 0, &shared, &chunks);
        self.records[who].push(record);
    }

    fn load(&mut self, who: usize, region: usize, at: usize, len: usize) {
        let start = region * REGION + at;
        let news = |i: &usize| self.bytes[*i].value != self.seen[who][*i];
        let (Some(first), Some(last)) = (
            (start..start + len).find(news),
            (start..start + len).rfind(news),
        ) else {
            return;
        };
        let bytes: Vec<u8> = self.bytes[first..=last].iter().map(|b| b.value).collect();
        self.seen[who][first..=last].copy_from_slice(&bytes);
        let addr = base(who as u32 + 1, 1) + REGIONS[region] + (first - region * REGION) as u64;
        self.accesses += 1;
        self.load_record(who, &[(addr, bytes.clone())]);
        for (i, &byte) in bytes.iter().enumerate() {
            self.learn(first + i, byte);
        }
    }

    fn outside(&mut self, region: usize, at: usize, len: usize) {
        let start = region * REGION + at;
        let new = self.values(len, 0x80);
        for (i, value) in new.into_iter().enumerate() {
            self.bytes[start + i].value = value;
        }
    }

    /// Stores everywhere, so that nothing is unknown.
    fn fill(&mut self) {
        for region in 0..REGIONS.len() {
            self.store(0, region, 0, REGION);
        }
    }

    fn run(&mut self, ops: &[Op]) {
        for op in ops {
            match *op {
                Op::Store {
                    who,
                    region,
                    at,
                    len,
                } => self.store(who, region, at, len),
                Op::Load {
                    who,
                    region,
                    at,
                    len,
                } => self.load(who, region, at, len),
                Op::Outside { region, at, len } => self.outside(region, at, len),
            }
        }
    }
}

fn all(offset: u64, len: u64) -> Query {
    Query {
        object: 1,
        offset,
        len,
        after: None,
        before: None,
        recordings: Vec::new(),
        stores: false,
        last: None,
    }
}

fn ask(index: &Index, query: &Query) -> Vec<Access> {
    let mut found = Vec::new();
    index
        .query(query, &mut |access| {
            found.push(access);
            Ok::<(), BlameError>(())
        })
        .expect("the index is sound");
    found
}

/// The history of the byte at `offset`, as the index tells it.
fn history(index: &Index, offset: u64) -> Vec<(u64, Writer, u8)> {
    let mut out = Vec::new();
    let mut before = None;
    for access in ask(index, &all(offset, 1)) {
        let site = index.catalog().sites[access.site as usize];
        let at = (offset - access.offset) as usize;
        let writer = match site.kind {
            Kind::Outside => Writer::Outside,
            Kind::Initial => Writer::Initial,
            _ => Writer::Recorded(access.tick.0),
        };
        if site.kind.changes() {
            let old = access.old.as_ref().and_then(|old| old.get(at));
            assert_eq!(old, before, "what was there before {access:?}");
            before = Some(access.new[at]);
            out.push((access.tick.0, writer, access.new[at]));
        }
    }
    out
}

fn check(model: &Model, index: &Index) -> Result<(), TestCaseError> {
    for (n, byte) in model.bytes.iter().enumerate() {
        let offset = REGIONS[n / REGION] + (n % REGION) as u64;
        prop_assert_eq!(&history(index, offset), &byte.history, "byte {:#x}", offset);
    }
    // No access is lost, none told twice.
    let recorded = |a: &Access| index.catalog().sites[a.site as usize].kind.is_recorded();
    let everything = ask(index, &all(0, SIZE));
    let count = everything.iter().filter(|a| recorded(a)).count();
    prop_assert_eq!(count as u64, model.accesses);
    let mut sorted = everything.clone();
    sorted.sort_by_key(|a| a.tick);
    prop_assert_eq!(&sorted, &everything);
    // The other ways to ask find parts of that.
    let last = Query {
        last: Some(5),
        ..all(0, SIZE)
    };
    let from = everything.len().saturating_sub(5);
    prop_assert_eq!(&ask(index, &last), &everything[from..]);
    let middle = Tick(model.tick / 2);
    let span = Query {
        before: Some(middle),
        ..all(0, SIZE)
    };
    let expected: Vec<Access> = everything
        .iter()
        .filter(|a| a.tick < middle)
        .cloned()
        .collect();
    prop_assert_eq!(ask(index, &span), expected);
    let one = Query {
        recordings: vec![RecordingId(2)],
        after: Some(middle),
        ..all(0, SIZE)
    };
    let mine = |a: &&Access| {
        let site = index.catalog().sites[a.site as usize];
        a.tick > middle && site.kind.is_recorded() && site.recording == RecordingId(2)
    };
    let expected: Vec<Access> = everything.iter().filter(mine).cloned().collect();
    prop_assert_eq!(ask(index, &one), expected);
    Ok(())
}

fn index_of(model: &Model, dir: &std::path::Path) -> Index {
    let session = session(dir, &model.records, &["/dev/shm/q"]);
    let files = || session.dir().read_dir().expect("it is there").count();
    let before = files();
    for part in [0.0, 0.3] {
        let stopped = Index::open(&session, &mut |done| done < part);
        assert!(matches!(stopped, Err(BlameError::Interrupted)));
        assert_eq!(files(), before);
    }
    Index::open(&session, &mut |_| true).expect("it can be made");
    assert!(session.dir().join(INDEX_FILE).exists());
    // From the file.
    Index::open(&session, &mut |_| panic!("it is there")).expect("it can be read")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_byte_has_its_writer(ops in ops(2)) {
        let mut model = Model::new();
        model.fill();
        model.run(&ops);
        let dir = tempfile::tempdir().expect("a temporary directory");
        check(&model, &index_of(&model, dir.path()))?;
    }

    #[test]
    fn what_was_there_before_is_told_once(ops in ops(0)) {
        let mut model = Model::new();
        for (n, byte) in model.bytes.iter_mut().enumerate() {
            byte.value = n as u8;
        }
        model.run(&ops);
        let dir = tempfile::tempdir().expect("a temporary directory");
        check(&model, &index_of(&model, dir.path()))?;
    }
}
