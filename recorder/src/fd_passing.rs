//! Hands a descriptor to a process through a socket of its own
//! (pidfd_getfd(2), unix(7)).

use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use nix::unistd::Pid;
use std::fs::File;
use std::io::IoSlice;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

/// Sends `file` over descriptor `socket` of process `pid`.
///
/// # Errors
/// If the kernel does not let this process get at that descriptor.
pub fn send(pid: Pid, socket: u32, file: &File) -> nix::Result<()> {
    let socket = borrow(pid, socket)?;
    let fds = [file.as_raw_fd()];
    let rights = [ControlMessage::ScmRights(&fds)];
    sendmsg::<()>(
        socket.as_raw_fd(),
        &[IoSlice::new(&[0])],
        &rights,
        MsgFlags::empty(),
        None,
    )?;
    Ok(())
}

/// A duplicate of a descriptor of another process.
#[expect(
    unsafe_code,
    reason = "pidfd_open and pidfd_getfd have no wrappers in nix"
)]
fn borrow(pid: Pid, fd: u32) -> nix::Result<OwnedFd> {
    let own = |fd: i64| {
        let fd = Errno::result(fd)?;
        // SAFETY: a new descriptor, which nobody else knows.
        Ok(unsafe { OwnedFd::from_raw_fd(i32::try_from(fd).map_err(|_| Errno::EBADF)?) })
    };
    // SAFETY: returns a new descriptor or -1.
    let process = own(unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) })?;
    // SAFETY: as above.
    own(unsafe { libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), fd, 0) })
}
