//! A process that stands still because it is traced: a C program, built for the test.

use crate::inspect::{Mapping, Still, Thread, What};
use anyhow::Result;
use nix::sys::ptrace;
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use orch_abi::record::Regs;
use orch_blame::symbols::Symbols;
use orch_recorder::files::FileStore;
use orch_recorder::image;
use orch_recorder::session::{Meta, Session};
use orch_recorder::tracee::to_regs;
use std::cell::RefCell;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A session with programs, and the files that were captured of them.
pub struct Programs {
    dir: tempfile::TempDir,
    pub session: Session,
}

impl Programs {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let meta = Meta::now(vec!["a".into()], dir.path().into(), Vec::new());
        let session = Session::create(&dir.path().join("s"), meta).expect("a new directory");
        Self { dir, session }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Builds `name` from `source` with these flags of gcc.
    pub fn build(&self, name: &str, source: &str, flags: &[&str]) -> PathBuf {
        let out = self.path(name);
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/inspect/tests");
        let built = Command::new("gcc")
            .current_dir(self.dir.path())
            .arg("-o")
            .arg(&out)
            .arg(sources.join(source))
            .args(flags)
            .status();
        assert!(built.expect("gcc can be run").success(), "{source}");
        out
    }

    /// Starts a program, and takes hold of it where it says that it stops.
    pub fn stop(&self, program: &Path, args: &[&str]) -> Live {
        let mut child = Command::new(program)
            .args(args)
            .env("LD_LIBRARY_PATH", self.dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it can be run");
        let mut told = [0];
        let stdout = child.stdout.as_mut().expect("it is piped");
        stdout.read_exact(&mut told).expect("it comes there");
        let pid = Pid::from_raw(child.id().cast_signed());
        let memory = File::options()
            .read(true)
            .write(true)
            .open(format!("/proc/{pid}/mem"))
            .expect("its memory can be opened");
        let store = self.session.files().expect("a new store");
        let live = Live {
            child,
            pid,
            memory,
            store: RefCell::new(store),
        };
        live.hold();
        live
    }

    /// What the captured files tell.
    pub fn symbols(&self) -> Symbols {
        Symbols::of(self.session.files().ok())
    }
}

/// The process, which is killed in the end.
pub struct Live {
    child: Child,
    pid: Pid,
    memory: File,
    store: RefCell<FileStore>,
}

impl Drop for Live {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Live {
    fn hold(&self) {
        ptrace::seize(self.pid, ptrace::Options::empty()).expect("it may be traced");
        ptrace::interrupt(self.pid).expect("it is traced");
        waitpid(self.pid, None).expect("it stops");
    }

    /// Lets it run, and no longer traces it.
    pub fn let_go(&self) {
        ptrace::detach(self.pid, None).expect("it is traced");
    }

    /// Executes an instruction.
    pub fn step(&self) {
        ptrace::step(self.pid, None).expect("it stands still");
        waitpid(self.pid, None).expect("it stops");
    }

    pub fn write(&self, addr: u64, bytes: &[u8]) {
        self.memory
            .write_all_at(bytes, addr)
            .expect("it is writable");
    }

    /// The functions that gdb finds, innermost first; `None` if there is no gdb, or
    /// it may not trace.
    pub fn as_gdb_sees_it(&self) -> Option<Vec<String>> {
        let gdb = Command::new("gdb")
            .args(["-nx", "-batch", "-iex", "set debuginfod enabled off"])
            .args([
                "-iex",
                "set auto-load off",
                "-iex",
                "set backtrace past-main",
            ])
            .args(["-ex", "backtrace", "-p"])
            .arg(self.pid.to_string())
            .stdin(Stdio::null())
            .output()
            .ok()?;
        let text = String::from_utf8_lossy(&gdb.stdout).into_owned();
        let names: Vec<String> = text.lines().filter_map(function).collect();
        (!names.is_empty()).then_some(names)
    }
}

/// The function in a line of gdb's backtrace.
fn function(line: &str) -> Option<String> {
    let rest = line.strip_prefix('#')?;
    let rest = rest
        .trim_start_matches(|c: char| c.is_ascii_digit())
        .trim_start();
    if rest.starts_with("<signal handler called>") {
        return Some("<signal>".to_owned());
    }
    let rest = rest
        .split_once(" in ")
        .filter(|(a, _)| a.starts_with("0x"))
        .map_or(rest, |p| p.1);
    Some(rest.split_once(" (")?.0.to_owned())
}

impl Still for Live {
    fn regs(&self) -> Result<Regs> {
        Ok(to_regs(&ptrace::getregs(self.pid)?))
    }

    fn threads(&mut self) -> Result<Vec<Thread>> {
        Ok(vec![Thread {
            index: 0,
            tid: self.child.id(),
            running: true,
            regs: self.regs()?,
            fs_base: ptrace::getregs(self.pid)?.fs_base,
        }])
    }

    fn read(&self, addr: u64, to: &mut [u8]) -> usize {
        let mut done = 0;
        while done < to.len() {
            match self
                .memory
                .read_at(&mut to[done..], addr.wrapping_add(done as u64))
            {
                Ok(n) if n > 0 => done += n,
                _ => break,
            }
        }
        done
    }

    fn maps(&self) -> Result<Vec<Mapping>> {
        let text = fs::read_to_string(format!("/proc/{}/maps", self.pid))?;
        let lines = text.lines().filter_map(image::Mapping::parse);
        let mapping = |line: image::Mapping| {
            let what = match line.inode {
                0 => What::Named(line.name),
                _ => What::File {
                    file: self
                        .store
                        .borrow_mut()
                        .capture(&File::open(&line.name)?, Path::new(&line.name))?,
                    offset: line.offset,
                },
            };
            Ok(Mapping {
                start: line.start,
                end: line.end,
                prot: line.prot,
                what,
            })
        };
        lines.map(mapping).collect()
    }
}
