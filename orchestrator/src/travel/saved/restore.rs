//! A saved process comes back, in a new one.

use super::file::{Mapped, Reader};
use crate::replay::host;
use crate::travel::process::{Begin, Process};
use anyhow::{Context as _, Result, ensure};
use orch_abi::layout::{ARENA_BASE, ARENA_LEN, RUNTIME_BASE, RUNTIME_LEN, TASK_END, slot_address};
use orch_abi::shared::{Slot, boot};
use std::collections::HashMap;
use std::mem::offset_of;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::atomic::Ordering;

/// `PROT_READ | PROT_WRITE`.
const WRITE: u32 = 3;

/// Starts the process that the file `path` has.
pub fn restore(path: &Path, begin: Begin<'_>) -> Result<Process> {
    let mut saved = Reader::open(path)?;
    let started = host::start(begin.arena, begin.recording, |slot| {
        slot.boot_flags.fetch_or(boot::GIVE_WAY, Ordering::Relaxed);
    })?;
    let (index, _) = started;
    let mut process = Process::begin(begin, started)?;
    process.wait_for_event()?;
    process.open_up()?;
    let mut host = Host {
        syscall: process.layout().sigreturn,
        path: slot_address(index) + offset_of!(Slot, message) as u64,
        files: HashMap::new(),
        process: &process,
        dir: begin.session.files_dir(),
    };
    host.forget_everything()?;
    for m in &saved.header.maps {
        host.map(m)?;
    }
    host.close_files()?;
    while let Some((addr, bytes)) = saved.next_run()? {
        process.tracee.write(addr, bytes)?;
    }
    for m in &saved.header.maps {
        host.protect(m)?;
    }
    let frame = saved.header.frame.as_slice().try_into()?;
    process.tracee.set_frame(frame, u64::from(index) + 1)?;
    process.detach()?;
    process.wait_for_event()?;
    process.feed_on()?;
    Ok(process)
}

/// The process that gives way, stopped.
struct Host<'a> {
    process: &'a Process,
    /// Address of a `syscall` that the filter trusts.
    syscall: u64,
    /// Room for a path.
    path: u64,
    dir: std::path::PathBuf,
    /// Descriptors of captured files.
    files: HashMap<u64, u64>,
}

impl Host<'_> {
    fn call(&self, what: &str, nr: i64, args: [u64; 6]) -> Result<u64> {
        let result = self.process.tracee.call(self.syscall, nr, args)?;
        ensure!(
            !(-4095..0).contains(&result),
            "cannot {what}: error {}",
            -result
        );
        Ok(result.cast_unsigned())
    }

    fn forget_everything(&self) -> Result<()> {
        let (runtime, arena) = (RUNTIME_BASE + RUNTIME_LEN, ARENA_BASE + ARENA_LEN);
        for (from, to) in [
            (0x1000, RUNTIME_BASE),
            (runtime, ARENA_BASE),
            (arena, TASK_END),
        ] {
            self.call("unmap", libc::SYS_munmap, [from, to - from, 0, 0, 0, 0])?;
        }
        Ok(())
    }

    fn map(&mut self, m: &Mapped) -> Result<()> {
        let (fd, offset) = match m.file {
            None => (u64::MAX, 0),
            Some((file, offset)) => (self.open(file)?, offset),
        };
        // The tracer cannot write shared pages that the process may not.
        let prot = if m.is_shared() {
            m.prot | WRITE
        } else {
            m.prot
        };
        let len = m.end - m.start;
        let flags = u64::from(m.flags);
        let args = [m.start, len, prot.into(), flags, fd, offset];
        self.call("map memory", libc::SYS_mmap, args)?;
        Ok(())
    }

    /// Once its pages are written.
    fn protect(&self, m: &Mapped) -> Result<()> {
        if m.is_shared() {
            let args = [m.start, m.end - m.start, m.prot.into(), 0, 0, 0];
            self.call("protect memory", libc::SYS_mprotect, args)?;
        }
        Ok(())
    }

    fn open(&mut self, file: u64) -> Result<u64> {
        if let Some(&fd) = self.files.get(&file) {
            return Ok(fd);
        }
        let path = self.dir.join(file.to_string());
        let mut bytes = path.as_os_str().as_bytes().to_vec();
        bytes.push(0);
        ensure!(bytes.len() <= 4096, "the session's path is too long");
        self.process.tracee.write(self.path, &bytes)?;
        let flags = (libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NONBLOCK) as u64;
        let at = i64::from(libc::AT_FDCWD).cast_unsigned();
        let args = [at, self.path, flags, 0, 0, 0];
        let fd = self.call("open a captured file", libc::SYS_openat, args);
        let fd = fd.with_context(|| path.display().to_string())?;
        self.files.insert(file, fd);
        Ok(fd)
    }

    fn close_files(&mut self) -> Result<()> {
        self.process.tracee.write(self.path, &[0])?;
        for (_, fd) in std::mem::take(&mut self.files) {
            self.call("close a file", libc::SYS_close, [fd, 0, 0, 0, 0, 0])?;
        }
        Ok(())
    }
}
