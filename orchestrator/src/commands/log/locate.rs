//! Where a line or function is in the captured files of a session, as gdb knows it:
//! also inlined copies, and behind what sets up a frame.

use super::location::Location;
use super::stand_ins::StandIns;
use super::worker::GDB;
use crate::gdb::link;
use crate::supervisor::watch;
use anyhow::{Context as _, Result, bail};
use orch_blame::catalog::Catalog;
use orch_recorder::files::FileId;
use orch_recorder::session::Session;
use orch_recorder::trace::RecordingId;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How it is found.
const SCRIPT: &str = concat!(
    include_str!("../../gdb/task.py"),
    include_str!("../../gdb/locate.py")
);

/// A captured program or library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Its number among the captured files.
    pub file: FileId,
    /// Where it was.
    pub path: PathBuf,
    /// Whether it is a program that was started.
    pub program: bool,
}

/// What is known of the location.
#[derive(Debug, Default, Deserialize)]
pub struct Found {
    images: Vec<InImage>,
    /// Sources of the programs, if none of them is the one that was asked for.
    pub sources: Vec<String>,
    /// Whether there is a function of that name that only chooses another one.
    #[serde(skip)]
    pub chooses: bool,
}

#[derive(Debug, Deserialize)]
struct InImage {
    file: u64,
    /// In the file's own terms.
    #[serde(default)]
    addresses: Vec<u64>,
    /// Lines that have code, if the one that was asked for has not.
    #[serde(default)]
    near: Vec<u32>,
    /// Why it could not be looked at.
    #[serde(default)]
    error: Option<String>,
}

#[derive(Serialize)]
struct Task<'a> {
    spec: String,
    name: &'a str,
    line: u32,
    images: Vec<ToLook>,
}

#[derive(Serialize)]
struct ToLook {
    file: u64,
    root: String,
    path: String,
    program: bool,
}

impl Found {
    /// Addresses in the terms of the files that have them.
    pub fn addresses(&self) -> HashMap<FileId, &[u64]> {
        let with = self.images.iter().filter(|i| !i.addresses.is_empty());
        with.map(|i| (FileId(i.file), &i.addresses[..])).collect()
    }

    /// Why files could not be looked at.
    pub fn errors(&self) -> impl Iterator<Item = &str> {
        self.images.iter().filter_map(|i| i.error.as_deref())
    }

    /// The nearest lines that have code.
    pub fn near(&self) -> BTreeSet<u32> {
        self.images.iter().flat_map(|i| &i.near).copied().collect()
    }
}

/// The programs and libraries that some recordings have mapped.
pub fn images(session: &Session, catalog: &Catalog, ids: &[RecordingId]) -> Result<Vec<Image>> {
    let store = session.files()?;
    let mut seen = BTreeSet::new();
    for &id in ids {
        let changes = super::plan::changes(catalog, id);
        seen.extend(changes.filter_map(|(_, change)| change.file));
    }
    let mut images = Vec::new();
    for file in seen.into_iter().map(FileId) {
        let Some(captured) = store.get(file).filter(|_| is_elf(&store.path(file))) else {
            continue;
        };
        let is_it = |program: &str| Path::new(program) == captured.path;
        images.push(Image {
            file,
            path: captured.path.clone(),
            program: catalog.recordings.iter().any(|r| is_it(&r.program)),
        });
    }
    Ok(images)
}

fn is_elf(path: &Path) -> bool {
    let mut magic = [0; 4];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut magic));
    read.is_ok() && magic == *b"\x7fELF"
}

/// Looks for a line or function in all of these.
pub fn locate(
    dir: &Path,
    session: &Session,
    images: &[Image],
    location: &Location,
) -> Result<Found> {
    let (name, line) = location.parts();
    let store = session.files()?;
    let mut to_look = Vec::new();
    for image in images {
        let root = dir.join("images").join(image.file.0.to_string());
        let copy = fs::canonicalize(store.path(image.file))
            .with_context(|| format!("a captured file is gone: {}", image.path.display()))?;
        // Its own directory, for debugging information that lies beside it.
        let path = link(&root, &image.path, &copy)?;
        to_look.push(ToLook {
            file: image.file.0,
            root: root.display().to_string(),
            path: super::super::gdb::word(&path),
            program: image.program,
        });
    }
    let task = Task {
        spec: location.to_string(),
        name,
        line,
        images: to_look,
    };
    let (script, input) = (dir.join("locate.py"), dir.join("locate.json"));
    fs::write(&script, SCRIPT)?;
    fs::write(&input, serde_json::to_vec(&task)?)?;
    let (answer, errors) = (dir.join("located.json"), dir.join("locate-errors"));
    let mut child = super::worker::gdb(&script, &input)
        .stdout(File::create(&answer)?)
        .stderr(File::create(&errors)?)
        .spawn()
        .map_err(super::worker::not_started)?;
    while child.try_wait()?.is_none() {
        if watch::interrupted() {
            child.kill()?;
            child.wait()?;
            bail!("interrupted");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let answer = serde_json::from_slice(&fs::read(&answer)?);
    let Ok(mut found): serde_json::Result<Found> = answer else {
        let said = fs::read(&errors).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        let last = said.lines().rfind(|line| !line.trim().is_empty());
        let said = last.map_or("said nothing".to_owned(), |last| format!("said: {last}"));
        let status = child.wait()?;
        bail!("{GDB} does not look for {location}: it ended ({status}) and {said}");
    };
    if let Location::Function(name) = location {
        for image in &mut found.images {
            let bytes = fs::read(store.path(FileId(image.file)))?;
            if let Ok(others) = StandIns::of(&bytes, name) {
                found.chooses |= others.drop_from(&mut image.addresses);
            }
        }
    }
    Ok(found)
}
