//! The recorded process as the kernel would tell of it: its id, its threads and their names, the
//! signal that it is about to get.

use super::packets;
use super::target::{Target, piece, tid};
use crate::inspect::names::Names;
use anyhow::{Context as _, Result};
use gdbstub::common::{Pid, Tid};
use gdbstub::target::ext::exec_file::ExecFile;
use gdbstub::target::ext::extended_mode::{
    Args, AttachKind, CurrentActivePid, CurrentActivePidOps, ExtendedMode, ShouldTerminate,
};
use gdbstub::target::ext::thread_extra_info::ThreadExtraInfo;
use gdbstub::target::{TargetError, TargetResult};
use orch_recorder::session::Session;
use orch_recorder::trace::RecordingId;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// Names of a long recording are not waited for any longer: the debugger asks again at each stop.
const SOON: Duration = Duration::from_millis(500);

/// Names of threads, which are read from the recording while other things are done.
#[derive(Debug, Default)]
pub struct Known(RefCell<Option<Reading>>);

#[derive(Debug)]
struct Reading {
    from: Receiver<Names>,
    names: Option<Names>,
    /// How long it is worth while to wait for them.
    patience: Duration,
}

impl Reading {
    fn begin(session: Session, id: RecordingId) -> Self {
        let (to, from) = channel();
        std::thread::spawn(move || {
            // Without them, threads have numbers.
            let names = Names::read(&session, id).unwrap_or_default();
            let _ = to.send(names);
        });
        Self {
            from,
            names: None,
            patience: SOON,
        }
    }

    fn get(&mut self) -> Option<&Names> {
        if self.names.is_none() {
            self.names = self.from.recv_timeout(self.patience).ok();
            self.patience = Duration::ZERO;
        }
        self.names.as_ref()
    }
}

impl Target {
    /// Names of the threads here, by their numbers, as far as they are known yet.
    fn names(&self) -> BTreeMap<u32, String> {
        let here = self.travel.here();
        let (offset, over) = (here.at, !here.legs.is_empty());
        let (session, id) = (self.travel.session(), self.travel.recording());
        let mut reading = self.names.0.borrow_mut();
        let reading = reading.get_or_insert_with(|| Reading::begin(session.clone(), id));
        let names = reading.get().map(|names| names.at(offset, over));
        let names = names.unwrap_or_default().into_iter();
        names.map(|(n, name)| (n, name.to_owned())).collect()
    }

    /// gdb numbers threads in this order (gdb manual, "Thread List Format").
    fn thread_list(&self) -> Result<String> {
        let pid = self.pid()?;
        let names = self.names();
        let mut threads = self.travel.threads()?;
        threads.sort_by_key(|t| t.index);
        let mut xml = String::from("<?xml version=\"1.0\"?>\n<threads>\n");
        for thread in threads {
            // As it is called everywhere else: a child by vfork may have no id of its own yet.
            let (id, index) = (tid(thread.tid), thread.index);
            let name = match names.get(&index) {
                Some(name) => format!(" name=\"{}\"", escaped(name)),
                None => String::new(),
            };
            let does = does(thread.running);
            writeln!(
                xml,
                "<thread id=\"p{pid:x}.{id:x}\"{name}>thread {index}, {does}</thread>"
            )?;
        }
        xml += "</threads>\n";
        Ok(xml)
    }

    /// Its id, as recorded.
    pub(super) fn pid(&self) -> Result<Pid> {
        let (pid, _) = crate::commands::process(self.travel.session(), self.travel.recording());
        let pid = pid.context("the recording does not say which process it was")?;
        Pid::new(pid as usize).context("no process is number 0")
    }

    /// `siginfo_t` of the signal that is about to be delivered, if one is.
    fn signal_info(&self) -> Result<Option<Vec<u8>>> {
        let Some(at) = self.signal else {
            return Ok(None);
        };
        let session = self.travel.session();
        let mut records = session.reader(self.travel.recording())?.records();
        records.seek_offset(at)?;
        let record = records.next_record()?.context("the signal is gone")?;
        Ok(Some(record.signal()?.info.to_vec()))
    }
}

const fn does(running: bool) -> &'static str {
    if running { "runs" } else { "waits" }
}

/// As XML has it in attributes. gdb refuses a list with anything that it cannot read.
fn escaped(name: &str) -> String {
    let mut text = String::new();
    for c in name.chars() {
        match c {
            '&' => text += "&amp;",
            '<' => text += "&lt;",
            '>' => text += "&gt;",
            '"' => text += "&quot;",
            c if c.is_control() => text.push('?'),
            c => text.push(c),
        }
    }
    text
}

impl ExecFile for Target {
    fn get_exec_file(
        &self,
        of: Option<Pid>,
        offset: u64,
        length: usize,
        to: &mut [u8],
    ) -> TargetResult<usize, Self> {
        let whole = match of.map(Pid::get) {
            Some(packets::THREADS) => self.thread_list().map(String::into_bytes),
            Some(packets::SIGINFO) => match self.signal_info() {
                Ok(Some(info)) => Ok(info),
                // That there is none is nothing to be told.
                Ok(None) => return Err(TargetError::NonFatal),
                Err(e) => Err(e),
            },
            _ => self.travel.program().map(String::into_bytes),
        };
        match whole {
            Ok(whole) => Ok(piece(&whole, offset, length, to)),
            Err(e) => super::target::refused(&e),
        }
    }
}

impl ThreadExtraInfo for Target {
    fn thread_extra_info(&self, id: Tid, to: &mut [u8]) -> Result<usize> {
        let threads = self.travel.threads()?;
        let thread = threads.iter().find(|t| tid(t.tid) == id);
        let text = thread.map_or_else(String::new, |t| {
            format!("thread {}, {}", t.index, does(t.running))
        });
        let n = text.len().min(to.len());
        to[..n].copy_from_slice(&text.as_bytes()[..n]);
        Ok(n)
    }
}

/// Only this gives the process an id; it cannot be started anew, and there is no other.
impl ExtendedMode for Target {
    fn run(&mut self, _: Option<&[u8]>, _: Args<'_, '_>) -> TargetResult<Pid, Self> {
        Err(TargetError::NonFatal)
    }

    fn attach(&mut self, _: Pid) -> TargetResult<(), Self> {
        Err(TargetError::NonFatal)
    }

    fn query_if_attached(&mut self, _: Pid) -> TargetResult<AttachKind, Self> {
        Ok(AttachKind::Attach)
    }

    fn kill(&mut self, _: Option<Pid>) -> TargetResult<ShouldTerminate, Self> {
        Ok(ShouldTerminate::Yes)
    }

    fn restart(&mut self) -> Result<()> {
        Ok(())
    }

    fn support_current_active_pid(&mut self) -> Option<CurrentActivePidOps<'_, Self>> {
        Some(self)
    }
}

impl CurrentActivePid for Target {
    fn current_active_pid(&mut self) -> Result<Pid> {
        self.pid()
    }
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn names_in_xml() {
        assert_eq!(escaped("a<b>&\"c\"\x1b"), "a&lt;b&gt;&amp;&quot;c&quot;?");
    }
}
