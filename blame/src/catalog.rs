//! What an index knows beside the accesses themselves: objects, where they are
//! mapped, who accessed them, and what is needed to name the code that did.

use crate::access::Site;
use orch_abi::record::Object;
use orch_recorder::trace::{RecordingId, Tick};
use serde::{Deserialize, Serialize};

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Catalog {
    /// The recordings, in order.
    pub recordings: Vec<RecordingInfo>,
    /// The shared objects, in order of their numbers.
    pub objects: Vec<ObjectInfo>,
    /// Where objects are mapped; those of one recording in its order.
    pub views: Vec<ViewChange>,
    /// Where files are mapped; those of one recording in its order.
    pub maps: Vec<MapChange>,
    /// Who accesses, and where in the program.
    pub sites: Vec<Site>,
    /// What wall time it was, in order.
    pub times: Vec<Moment>,
    /// What could not be read, for the user.
    pub damage: Vec<String>,
}

/// A recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordingInfo {
    /// Which.
    pub id: RecordingId,
    /// If it was forked: from which recording, and the tick of that.
    pub forked: Option<(RecordingId, Tick)>,
    /// Process id; 0 if unknown.
    pub pid: u32,
    /// Path of the program; of a forked one, its parent's.
    pub program: String,
    /// What it is called, likewise ([`orch_recorder::trace::Program::name`]).
    pub name: String,
    /// Tick of its first event.
    pub first: Tick,
    /// Highest tick.
    pub last: Tick,
}

/// A shared object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectInfo {
    /// Its number in the session.
    pub id: u64,
    /// One of [`orch_abi::record::object`].
    pub what: u64,
    /// Device.
    pub dev: u64,
    /// Inode, or System V identifier.
    pub ino: u64,
    /// Path, as the kernel tells it.
    pub name: String,
    /// Offset behind the last byte that was mapped or accessed.
    pub size: u64,
    /// Who accessed it how much.
    pub traffic: Vec<Traffic>,
}

impl ObjectInfo {
    /// An object that only its number is known of.
    #[must_use]
    pub const fn new(id: u64) -> Self {
        Self {
            id,
            what: 0,
            dev: 0,
            ino: 0,
            name: String::new(),
            size: 0,
            traffic: Vec::new(),
        }
    }

    /// Takes over what a record says of it.
    pub fn describe(&mut self, object: &Object, name: &[u8]) {
        (self.what, self.dev, self.ino) = (object.what, object.dev, object.ino);
        self.name = String::from_utf8_lossy(name).into_owned();
    }
}

/// What one recording did to one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Which recording.
    pub recording: RecordingId,
    /// Stores.
    pub stores: u64,
    /// Bytes stored.
    pub stored: u64,
    /// Loads that saw something new.
    pub loads: u64,
}

/// A range of a recording's addresses shows an object from here on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewChange {
    /// Which recording.
    pub recording: RecordingId,
    /// From when on.
    pub tick: Tick,
    /// First address.
    pub addr: u64,
    /// Bytes.
    pub len: u64,
    /// Number of the object; 0: none any more.
    pub object: u64,
    /// Offset in the object of the first byte.
    pub offset: u64,
    /// `PROT_*`.
    pub prot: u64,
}

/// A range of a recording's addresses shows a captured file from here on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapChange {
    /// Which recording.
    pub recording: RecordingId,
    /// From when on.
    pub tick: Tick,
    /// First address.
    pub addr: u64,
    /// Bytes.
    pub len: u64,
    /// Number of the captured file; none: something else is there.
    pub file: Option<u64>,
    /// Offset in the file of the first byte.
    pub offset: u64,
}

/// A tick whose wall time is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Moment {
    /// The tick.
    pub tick: Tick,
    /// Nanoseconds since the epoch.
    pub time: u64,
}

impl Catalog {
    /// The recording with this number.
    #[must_use]
    pub fn recording(&self, id: RecordingId) -> Option<&RecordingInfo> {
        let at = self.recordings.binary_search_by_key(&id, |r| r.id).ok()?;
        self.recordings.get(at)
    }

    /// The object with this number.
    #[must_use]
    pub fn object(&self, id: u64) -> Option<&ObjectInfo> {
        let at = self.objects.binary_search_by_key(&id, |o| o.id).ok()?;
        self.objects.get(at)
    }
}
