//! Reads files that anybody may have put where they are (a session from elsewhere): what is
//! not a regular file could hold up whoever opens it, or never end.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Opens a regular file to be read.
///
/// # Errors
/// If it cannot be read, or is something else.
pub fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    // Opening a FIFO would wait for a writer; what is regular does not notice (open(2)).
    let options = options.read(true);
    let file = options
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        let what = "it is not a regular file";
        Err(io::Error::new(ErrorKind::InvalidInput, what))
    }
}

/// Reads a regular file of at most `most` bytes.
///
/// # Errors
/// As [`open`], and if it is larger.
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let file = open(path)?;
    let len = file.metadata()?.len();
    if len > most {
        let what = format!("it has {len} bytes, more than {most}");
        return Err(io::Error::new(ErrorKind::FileTooLarge, what));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(len).unwrap_or(0));
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::stat::Mode;

    #[test]
    fn only_regular_files_of_some_size_are_read() {
        let dir = tempfile::TempDir::new().unwrap();
        let (file, fifo) = (dir.path().join("file"), dir.path().join("fifo"));
        std::fs::write(&file, b"1234").unwrap();
        assert_eq!(read(&file, 4).unwrap(), b"1234");
        let kind = |path, most| read(path, most).unwrap_err().kind();
        assert_eq!(kind(&file, 3), ErrorKind::FileTooLarge);
        nix::unistd::mkfifo(&fifo, Mode::S_IRWXU).unwrap();
        for path in [&fifo, dir.path(), Path::new("/dev/zero")] {
            assert_eq!(kind(path, 4), ErrorKind::InvalidInput, "{}", path.display());
        }
        assert_eq!(kind(&dir.path().join("none"), 4), ErrorKind::NotFound);
    }
}
