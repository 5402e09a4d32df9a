//! Files that the debugger reads here (gdb manual, "Host I/O Packets"): what `/proc` would tell
//! of the recorded process, for `info proc`, and the captured files, for debuggers that do not
//! know where these are.

use super::sysroot::Sysroot;
use super::target::{Target, piece};
use crate::commands::directory::Directory;
use crate::commands::inspect::picture::named;
use crate::inspect::memory::prot;
use crate::inspect::{Still, What};
use anyhow::{Context as _, Result};
use gdbstub::target::ext::host_io::{
    HostIo, HostIoClose, HostIoCloseOps, HostIoErrno, HostIoError, HostIoFstat, HostIoFstatOps,
    HostIoOpen, HostIoOpenFlags, HostIoOpenMode, HostIoOpenOps, HostIoPread, HostIoPreadOps,
    HostIoReadlink, HostIoReadlinkOps, HostIoResult, HostIoStat,
};
use orch_recorder::trace::Program;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{File, Metadata};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Component, Path};

/// What the debugger has opened.
#[derive(Debug, Default)]
pub struct Files {
    open: BTreeMap<u32, Opened>,
    /// Where the captured files are by their paths, if anybody asked for one.
    captured: Option<(Directory, Sysroot)>,
}

#[derive(Debug)]
enum Opened {
    Text(Vec<u8>),
    File(File, Metadata),
}

fn refused<T>(why: HostIoErrno) -> HostIoResult<T, Target> {
    Err(HostIoError::Errno(why))
}

/// An error of ours, of which the debugger has only a number.
fn failed<T>(error: &anyhow::Error) -> HostIoResult<T, Target> {
    eprintln!("orch: {error:#}");
    refused(HostIoErrno::EIO)
}

impl Target {
    /// The name in `/proc/PID` that a path means, if it is this process's.
    fn of_process<'p>(&self, path: &'p str) -> Option<&'p str> {
        let (pid, name) = path.strip_prefix("/proc/")?.split_once('/')?;
        let own = self.pid().ok()?.get().to_string();
        (pid == own || pid == "self").then_some(name)
    }

    /// What the process was begun with.
    fn begun(&self) -> Result<Program> {
        let (session, id) = (self.travel.session(), self.travel.recording());
        session.lineage(id)?.program.context("it is empty")
    }

    /// As proc_pid_maps(5) has it.
    fn proc_maps(&mut self) -> Result<Vec<u8>> {
        let position = self.travel.position()?;
        let session = self.travel.session();
        let maps = named(session, position, Still::maps(&self.travel)?)?;
        let files = session.files()?;
        let mut text = String::new();
        for map in maps {
            // An object of shared memory has its offset behind its name.
            let (kind, offset, name) = match &map.what {
                What::File { file, offset } => {
                    let captured = files.get(*file);
                    let name = captured.map(|c| c.path.display().to_string());
                    ('p', *offset, name.unwrap_or_default())
                }
                What::Named(name) => match name.rsplit_once("+0x") {
                    Some((name, offset)) => {
                        let offset = u64::from_str_radix(offset, 16).unwrap_or(0);
                        ('s', offset, name.to_owned())
                    }
                    None => ('p', 0, name.clone()),
                },
            };
            let (start, end, prot) = (map.start, map.end, prot(&map));
            writeln!(
                text,
                "{start:x}-{end:x} {prot}{kind} {offset:08x} 00:00 0 {name}"
            )?;
        }
        Ok(text.into_bytes())
    }

    /// The content of such a file; `None` if it is not recorded.
    fn proc_file(&mut self, name: &str) -> Result<Option<Vec<u8>>> {
        Ok(match name {
            "maps" => Some(self.proc_maps()?),
            "cmdline" => {
                let args = self.begun()?.args;
                Some(
                    args.iter()
                        .flat_map(|a| [a.as_bytes(), b"\0"])
                        .collect::<Vec<_>>()
                        .concat(),
                )
            }
            _ => None,
        })
    }

    /// Opens a captured file.
    fn captured(&mut self, path: &Path) -> Result<Option<File>> {
        let inside = path.strip_prefix("/").unwrap_or(path);
        if !inside
            .components()
            .all(|c| matches!(c, Component::Normal(_)))
        {
            return Ok(None);
        }
        if self.files.captured.is_none() {
            let dir = Directory::make()?;
            let (session, id) = (self.travel.session(), self.travel.recording());
            let sysroot = Sysroot::make(dir.path(), session, id)?;
            self.files.captured = Some((dir, sysroot));
        }
        let sysroot = self.files.captured.as_ref().map(|(_, sysroot)| sysroot);
        let file = sysroot.and_then(|s| File::open(s.dir().join(inside)).ok());
        Ok(file.filter(|f| f.metadata().is_ok_and(|m| m.is_file())))
    }

    fn opened(&mut self, path: &str) -> Result<Option<Opened>> {
        if let Some(name) = self.of_process(path) {
            return Ok(self.proc_file(name)?.map(Opened::Text));
        }
        let Some(file) = self.captured(Path::new(path))? else {
            return Ok(None);
        };
        let metadata = file.metadata()?;
        Ok(Some(Opened::File(file, metadata)))
    }
}

impl HostIo for Target {
    fn support_open(&mut self) -> Option<HostIoOpenOps<'_, Self>> {
        Some(self)
    }

    fn support_close(&mut self) -> Option<HostIoCloseOps<'_, Self>> {
        Some(self)
    }

    fn support_pread(&mut self) -> Option<HostIoPreadOps<'_, Self>> {
        Some(self)
    }

    fn support_fstat(&mut self) -> Option<HostIoFstatOps<'_, Self>> {
        Some(self)
    }

    fn support_readlink(&mut self) -> Option<HostIoReadlinkOps<'_, Self>> {
        Some(self)
    }
}

impl HostIoOpen for Target {
    fn open(
        &mut self,
        path: &[u8],
        flags: HostIoOpenFlags,
        _: HostIoOpenMode,
    ) -> HostIoResult<u32, Self> {
        let writes = HostIoOpenFlags::O_WRONLY | HostIoOpenFlags::O_RDWR;
        if flags.intersects(writes | HostIoOpenFlags::O_CREAT) {
            return refused(HostIoErrno::EROFS);
        }
        match self.opened(&String::from_utf8_lossy(path)) {
            Ok(Some(file)) => {
                let last = self.files.open.last_key_value();
                let fd = last.map_or(0, |(&last, _)| last + 1);
                self.files.open.insert(fd, file);
                Ok(fd)
            }
            Ok(None) => refused(HostIoErrno::ENOENT),
            Err(e) => failed(&e),
        }
    }
}

impl HostIoClose for Target {
    fn close(&mut self, fd: u32) -> HostIoResult<(), Self> {
        match self.files.open.remove(&fd) {
            Some(_) => Ok(()),
            None => refused(HostIoErrno::EBADF),
        }
    }
}

impl HostIoPread for Target {
    fn pread(
        &mut self,
        fd: u32,
        count: usize,
        offset: u64,
        to: &mut [u8],
    ) -> HostIoResult<usize, Self> {
        match self.files.open.get(&fd) {
            Some(Opened::Text(text)) => Ok(piece(text, offset, count, to)),
            Some(Opened::File(file, _)) => {
                let n = count.min(to.len());
                let read = file.read_at(&mut to[..n], offset);
                read.or_else(|e| failed(&e.into()))
            }
            None => refused(HostIoErrno::EBADF),
        }
    }
}

impl HostIoFstat for Target {
    fn fstat(&mut self, fd: u32) -> HostIoResult<HostIoStat, Self> {
        let (size, ino, mtime) = match self.files.open.get(&fd) {
            Some(Opened::Text(text)) => (text.len() as u64, 0, 0),
            Some(Opened::File(_, meta)) => (meta.len(), meta.ino(), meta.mtime()),
            None => return refused(HostIoErrno::EBADF),
        };
        Ok(HostIoStat {
            st_dev: 0,
            st_ino: ino as u32,
            st_mode: HostIoOpenMode::S_IFREG | HostIoOpenMode::S_IRUSR,
            st_nlink: 1,
            st_uid: 0,
            st_gid: 0,
            st_rdev: 0,
            st_size: size,
            st_blksize: 4096,
            st_blocks: size.div_ceil(512),
            st_atime: 0,
            st_mtime: mtime as u32,
            st_ctime: mtime as u32,
        })
    }
}

impl HostIoReadlink for Target {
    fn readlink(&mut self, path: &[u8], to: &mut [u8]) -> HostIoResult<usize, Self> {
        let path = String::from_utf8_lossy(path);
        let link = match (self.of_process(&path), self.begun()) {
            (_, Err(e)) => return failed(&e),
            (Some("exe"), Ok(begun)) => begun.path,
            (Some("cwd"), Ok(begun)) => begun.cwd,
            _ => return refused(HostIoErrno::ENOENT),
        };
        match to.get_mut(..link.len()) {
            Some(to) => {
                to.copy_from_slice(link.as_bytes());
                Ok(link.len())
            }
            None => refused(HostIoErrno::ENAMETOOLONG),
        }
    }
}
