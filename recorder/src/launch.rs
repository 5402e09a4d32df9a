//! Starts a program that the recorder attaches to before its exec.

use crate::{interpreter, tracee};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{AccessFlags, ForkResult, Pid, access, execv, execvp, fork, pipe2};
use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// Why a program did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel refused to make a process.
    #[error("cannot start a process: {0}")]
    Fork(Errno),
    /// exec failed.
    #[error("cannot run {program}: {errno}")]
    Exec {
        /// As given.
        program: String,
        /// Why.
        errno: Errno,
        /// What is not there of what it needs, where that is so.
        interpreter: Option<PathBuf>,
    },
    /// An argument contains a NUL byte.
    #[error("an argument contains a NUL byte")]
    Nul,
    /// Attaching failed.
    #[error(transparent)]
    Attach(#[from] tracee::Error),
}

/// A child that waits for [`Waiting::go`] before it calls exec.
#[derive(Debug)]
pub struct Waiting {
    /// Its process id.
    pub pid: Pid,
    go: File,
    failed: File,
    program: String,
    found: Option<PathBuf>,
}

/// Signals that a program finds ignored or blocked; bit `n - 1` is signal `n`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Signals {
    ignored: u64,
    blocked: u64,
}

impl Signals {
    /// Those of this process.
    #[must_use]
    #[expect(unsafe_code, reason = "real-time signals, which nix has not")]
    pub fn of_this_process() -> Self {
        let mut found = Self::default();
        // SAFETY: both structures may be zero, and are only written to.
        unsafe {
            let mut mask = std::mem::zeroed();
            libc::sigprocmask(libc::SIG_SETMASK, std::ptr::null(), &raw mut mask);
            for n in 1..=64 {
                let mut action: libc::sigaction = std::mem::zeroed();
                let known = libc::sigaction(n, std::ptr::null(), &raw mut action) == 0;
                let ignored = known && action.sa_sigaction == libc::SIG_IGN;
                found.ignored |= u64::from(ignored) << (n - 1);
                found.blocked |= u64::from(libc::sigismember(&raw const mask, n) == 1) << (n - 1);
            }
        }
        found
    }

    /// Makes them those of this process; what is not ignored has its default.
    #[expect(unsafe_code, reason = "real-time signals, which nix has not")]
    fn set(self) {
        // SAFETY: no handlers are set, and the mask is initialised by sigemptyset(3).
        unsafe {
            let mut mask = std::mem::zeroed();
            libc::sigemptyset(&raw mut mask);
            for n in 1..=64 {
                if self.blocked >> (n - 1) & 1 == 1 {
                    libc::sigaddset(&raw mut mask, n);
                }
                let ignored = self.ignored >> (n - 1) & 1 == 1;
                libc::signal(
                    n,
                    if ignored {
                        libc::SIG_IGN
                    } else {
                        libc::SIG_DFL
                    },
                );
            }
            libc::sigprocmask(libc::SIG_SETMASK, &raw const mask, std::ptr::null_mut());
        }
    }
}

/// Starts a child that will run `command` with `inherited` open, as the same descriptor, and
/// with these `signals`.
///
/// # Errors
/// If there is no memory, or an argument cannot be passed.
#[expect(unsafe_code, reason = "fork")]
pub fn prepare<A: AsRef<OsStr>>(
    command: &[A],
    inherited: &File,
    signals: Signals,
) -> Result<Waiting, Error> {
    let args: Vec<CString> = command
        .iter()
        .map(|a| CString::new(a.as_ref().as_bytes()).map_err(|_| Error::Nul))
        .collect::<Result<_, _>>()?;
    let found = find(command[0].as_ref());
    let elf = found.as_deref().and_then(elf);
    let cloexec = nix::fcntl::OFlag::O_CLOEXEC;
    let (go_read, go_write) = pipe2(cloexec).map_err(Error::Fork)?;
    let (failed_read, failed_write) = pipe2(cloexec).map_err(Error::Fork)?;
    // SAFETY: the child only makes system calls and does not allocate before exec.
    match unsafe { fork() }.map_err(Error::Fork)? {
        ForkResult::Parent { child } => {
            // The child has the limit that the user set; this process holds some
            // descriptors for each that it watches.
            if let Ok((_, most)) = getrlimit(Resource::RLIMIT_NOFILE) {
                let _ = setrlimit(Resource::RLIMIT_NOFILE, most, most);
            }
            Ok(Waiting {
                pid: child,
                go: go_write.into(),
                failed: failed_read.into(),
                program: command[0].as_ref().to_string_lossy().into_owned(),
                found,
            })
        }
        ForkResult::Child => {
            drop(go_write);
            let mut byte = [0];
            signals.set();
            let _ = fcntl(inherited, FcntlArg::F_SETFD(FdFlag::empty()));
            if nix::unistd::read(&go_read, &mut byte) == Ok(1) {
                let Err(errno) = match &elf {
                    Some(path) => execv(path, &args),
                    None => execvp(&args[0], &args),
                };
                let _ = nix::unistd::write(&failed_write, &(errno as i32).to_le_bytes());
            }
            // SAFETY: leaves at once, without running anything of the parent's.
            unsafe { libc::_exit(127) }
        }
    }
}

/// Where `program` is, as execvp(3) finds it.
fn find(program: &OsStr) -> Option<PathBuf> {
    let named = Path::new(program);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let candidates: Vec<PathBuf> = if program.as_bytes().contains(&b'/') {
        vec![named.to_owned()]
    } else {
        std::env::split_paths(&path)
            .map(|dir| dir.join(named))
            .collect()
    };
    candidates
        .into_iter()
        .find(|p| p.is_file() && access(p, AccessFlags::X_OK).is_ok())
}

/// The path of `program`, if it is an ELF file. If the kernel cannot execute one, execvp(3)
/// would have a shell try to read it.
fn elf(program: &Path) -> Option<CString> {
    let mut magic = [0; 4];
    File::open(program).ok()?.read_exact(&mut magic).ok()?;
    (magic == *b"\x7fELF").then(|| CString::new(program.as_os_str().as_bytes()).ok())?
}

impl Waiting {
    /// Lets the child call exec; the caller has attached to it.
    ///
    /// # Errors
    /// If the child is gone.
    pub fn go(&mut self) -> Result<(), Error> {
        self.go
            .write_all(&[1])
            .map_err(|_| Error::Fork(Errno::ECHILD))
    }

    /// After the child has ended without exec: why.
    #[must_use]
    pub fn failure(mut self) -> Error {
        let mut errno = [0; 4];
        let errno = match self.failed.read_exact(&mut errno) {
            Ok(()) => Errno::from_raw(i32::from_le_bytes(errno)),
            Err(_) => Errno::ECHILD,
        };
        let missing = |program: PathBuf| interpreter::missing(&program);
        Error::Exec {
            program: self.program,
            errno,
            interpreter: self.found.and_then(missing),
        }
    }
}
