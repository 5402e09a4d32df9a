//! The file of a saved process: what it has mapped, the pages of its own, and registers.
//!
//! Layout: [`MAGIC`], length of the header (32 bits), header (JSON), then compressed by
//! zstd runs of pages (address, length, bytes; 64 and 32 bits, little endian) up to one of
//! length 0, and behind it all the xxh3 of what precedes.

use anyhow::{Context as _, Result, bail, ensure};
use orch_abi::layout::{PAGE, RUNTIME_BASE, RUNTIME_LEN};
use orch_recorder::{blob, regular};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek as _, SeekFrom, Write};
use std::path::Path;
use std::sync::OnceLock;
use xxhash_rust::xxh3::Xxh3;

const MAGIC: [u8; 8] = *b"orchckp\x01";
/// Longest header, bytes: a hundred for each of the 65,530 mappings that a process may have.
const MOST_HEADER: u64 = 16 << 20;
/// Longest run of pages, bytes.
pub const MOST_RUN: usize = 64 << 10;
/// Of zstd: quick.
const LEVEL: i32 = 1;

/// What is mapped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapped {
    pub start: u64,
    pub end: u64,
    /// `PROT_*`.
    pub prot: u32,
    /// `MAP_*` of mmap(2).
    pub flags: u32,
    /// Number of the captured file, and offset in it.
    pub file: Option<(u64, u64)>,
}

impl Mapped {
    /// Whether others could see what is stored there.
    pub const fn is_shared(&self) -> bool {
        self.flags & libc::MAP_SHARED.cast_unsigned() != 0
    }
}

/// All but the pages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Of the build and the processor that it can be restored by.
    pub machine: u64,
    /// Registers (`tracee::Frame`).
    pub frame: Vec<u64>,
    pub maps: Vec<Mapped>,
}

impl Header {
    /// Whether the `len` bytes at `addr` are mapped as one, or the runtime's.
    fn covers(&self, addr: u64, len: u64) -> bool {
        let Some(end) = addr.checked_add(len) else {
            return false;
        };
        let next = self.maps.partition_point(|m| m.start <= addr);
        let own = RUNTIME_BASE <= addr && end <= RUNTIME_BASE + RUNTIME_LEN;
        own || next > 0 && end <= self.maps[next - 1].end
    }
}

/// A value that is another one where a saved process would not run: the runtime, and what
/// the program and `xsave` found out about the processor.
pub fn machine() -> u64 {
    static MACHINE: OnceLock<u64> = OnceLock::new();
    *MACHINE.get_or_init(|| {
        let mut hash = Xxh3::new();
        hash.update(&blob::image().bytes);
        let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let tells = |line: &&str| line.starts_with("model name") || line.starts_with("flags");
        for line in cpu.lines().filter(tells).take(2) {
            hash.update(line.as_bytes());
        }
        hash.digest()
    })
}

/// Writes through to a file, and hashes.
struct Hashing {
    to: BufWriter<File>,
    hash: Xxh3,
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let n = self.to.write(bytes)?;
        self.hash.update(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.to.flush()
    }
}

/// Writes such a file; `pages` calls what it is given with address and bytes of each run.
pub fn write(
    file: File,
    header: &Header,
    pages: impl FnOnce(&mut dyn FnMut(u64, &[u8]) -> Result<()>) -> Result<()>,
) -> Result<()> {
    let mut to = Hashing {
        to: BufWriter::new(file),
        hash: Xxh3::new(),
    };
    let json = serde_json::to_vec(header)?;
    to.write_all(&MAGIC)?;
    to.write_all(&u32::try_from(json.len())?.to_le_bytes())?;
    to.write_all(&json)?;
    let mut packed = zstd::Encoder::new(&mut to, LEVEL)?;
    let mut run = |addr: u64, bytes: &[u8]| -> Result<()> {
        packed.write_all(&addr.to_le_bytes())?;
        packed.write_all(&u32::try_from(bytes.len())?.to_le_bytes())?;
        Ok(packed.write_all(bytes)?)
    };
    pages(&mut run)?;
    run(0, &[])?;
    packed.finish()?;
    let hash = to.hash.digest();
    to.to.write_all(&hash.to_le_bytes())?;
    to.to.flush()?;
    Ok(())
}

/// Reads a file that is whole and of this machine: the header, then the runs.
pub struct Reader {
    pub header: Header,
    pages: zstd::Decoder<'static, BufReader<std::io::Take<File>>>,
    run: Vec<u8>,
}

impl Reader {
    pub fn open(path: &Path) -> Result<Self> {
        let mut file = regular::open(path)?;
        let len = file.metadata()?.len();
        let body = len.checked_sub(8).context("it is too short")?;
        ensure!(
            hash(&mut file, body)? == word(&mut file)?,
            "its checksum is wrong"
        );
        file.seek(SeekFrom::Start(0))?;
        let mut start = [0; 12];
        file.read_exact(&mut start)?;
        ensure!(start[..8] == MAGIC, "it is no checkpoint of this version");
        let header: u64 = u32::from_le_bytes([start[8], start[9], start[10], start[11]]).into();
        ensure!(
            header <= MOST_HEADER && header + 12 <= body,
            "its header is too long"
        );
        let mut json = vec![0; usize::try_from(header)?];
        file.read_exact(&mut json)?;
        let header: Header = serde_json::from_slice(&json)?;
        ensure!(
            header.machine == machine(),
            "it is of another build or processor"
        );
        let sorted = header.maps.windows(2).all(|m| m[0].end <= m[1].start);
        let sound = |m: &Mapped| {
            m.start < m.end && m.start.is_multiple_of(PAGE) && m.end.is_multiple_of(PAGE)
        };
        ensure!(
            sorted && header.maps.iter().all(sound),
            "its mappings overlap"
        );
        let left = body - 12 - json.len() as u64;
        let pages = zstd::Decoder::with_buffer(BufReader::with_capacity(1 << 17, file.take(left)))?;
        let run = Vec::with_capacity(MOST_RUN);
        Ok(Self { header, pages, run })
    }

    /// The next run: address and bytes.
    pub fn next_run(&mut self) -> Result<Option<(u64, &[u8])>> {
        let mut head = [0; 12];
        self.pages.read_exact(&mut head)?;
        let (addr, len) = head.split_at(8);
        let addr = u64::from_le_bytes(addr.try_into()?);
        let len = u32::from_le_bytes(len.try_into()?);
        if len == 0 {
            return Ok(None);
        }
        if len as usize > MOST_RUN || !self.header.covers(addr, len.into()) {
            bail!("it has pages where nothing is mapped");
        }
        self.run.resize(len as usize, 0);
        self.pages.read_exact(&mut self.run)?;
        Ok(Some((addr, &self.run)))
    }
}

fn hash(file: &mut File, mut left: u64) -> Result<u64> {
    let mut hash = Xxh3::new();
    let mut buffer = vec![0; 1 << 18];
    while left > 0 {
        let n = buffer
            .len()
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        file.read_exact(&mut buffer[..n])?;
        hash.update(&buffer[..n]);
        left -= n as u64;
    }
    Ok(hash.digest())
}

fn word(file: &mut File) -> Result<u64> {
    let mut bytes = [0; 8];
    file.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use xxhash_rust::xxh3::xxh3_64;

    fn example() -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("p1-2-3");
        let mapped = Mapped {
            start: 0x1000,
            end: 0x4000,
            prot: 3,
            flags: 2,
            file: Some((4, 0x2000)),
        };
        let header = Header {
            machine: machine(),
            frame: vec![7; 20],
            maps: vec![mapped],
        };
        let file = File::create(&path).expect("a file");
        write(file, &header, |run| run(0x2000, &[5; 4096])).expect("it can be written");
        (dir, path)
    }

    #[test]
    fn back_again() {
        let (_dir, path) = example();
        let mut reader = Reader::open(&path).expect("it is whole");
        assert_eq!(reader.header.maps.len(), 1);
        let (addr, bytes) = reader.next_run().expect("a run").expect("one");
        assert_eq!((addr, bytes), (0x2000, &[5; 4096][..]));
        assert!(reader.next_run().expect("the end").is_none());
    }

    /// The checksum made right again: what is wrong is found without it.
    fn sign(bytes: &mut [u8]) {
        let body = bytes.len() - 8;
        let hash = xxh3_64(&bytes[..body]);
        bytes[body..].copy_from_slice(&hash.to_le_bytes());
    }

    proptest! {
        #[test]
        fn damage_is_an_error(at in 0..2000_usize, byte: u8, cut in 0..400_usize, signed: bool) {
            let (_dir, path) = example();
            let mut bytes = std::fs::read(&path).expect("it is there");
            let at = at % bytes.len();
            let same = bytes[at] == byte && cut == 0;
            bytes[at] = byte;
            bytes.truncate(bytes.len().saturating_sub(cut).max(8));
            if signed {
                sign(&mut bytes);
            }
            std::fs::write(&path, &bytes).expect("it can be written");
            let read = Reader::open(&path).and_then(|mut reader| {
                while reader.next_run()?.is_some() {}
                Ok(())
            });
            prop_assert!(same || signed || read.is_err());
        }
    }
}
