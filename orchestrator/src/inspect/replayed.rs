//! A replaying process, which stands still at an instant of its recording.

use super::{Mapping, Still, Thread, What};
use crate::travel::{Travel, Xstate};
use anyhow::Result;
use orch_abi::record::Regs;
use orch_recorder::files::FileId;
use std::path::Path;

impl Still for Travel {
    fn regs(&self) -> Result<Regs> {
        Self::regs(self)
    }

    fn threads(&mut self) -> Result<Vec<Thread>> {
        let threads = Self::threads(self)?.into_iter().map(|t| Thread {
            index: t.index,
            tid: t.tid,
            running: t.running,
            regs: t.regs,
            fs_base: t.fs_base,
        });
        Ok(threads.collect())
    }

    fn extended(&mut self) -> Result<Option<Xstate>> {
        Self::extended(self).map(Some)
    }

    fn read(&self, addr: u64, to: &mut [u8]) -> usize {
        Self::read(self, addr, to)
    }

    fn maps(&self) -> Result<Vec<Mapping>> {
        let files = self.session().files_dir();
        let maps = Self::maps(self)?.into_iter().map(|map| {
            let path = map.path.unwrap_or_default();
            let what = match captured(&path, &files) {
                Some(file) => What::File {
                    file,
                    offset: map.offset,
                },
                None => What::Named(path.display().to_string()),
            };
            Mapping {
                start: map.start,
                end: map.end,
                prot: prot(&map.prot),
                what,
            }
        });
        Ok(maps.collect())
    }
}

/// The number of a captured file, which is its name.
fn captured(path: &Path, files: &Path) -> Option<FileId> {
    let name = path.strip_prefix(files).ok()?.to_str()?;
    name.parse().ok().map(FileId)
}

/// `PROT_*` of `r-xp`.
fn prot(text: &str) -> u32 {
    let bits = [('r', 1), ('w', 2), ('x', 4)];
    let set = bits.iter().filter(|(c, _)| text.contains(*c));
    set.map(|(_, bit)| bit).sum()
}
