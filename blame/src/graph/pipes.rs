//! Bytes of pipes and socket pairs: who read what who wrote, found by following
//! the descriptors through duplication, inheritance and messages.

use super::descriptors::{Call, What};
use super::{About, Cause, Edge, GoOn};
use crate::error::BlameError;
use orch_recorder::trace::{Position, RecordingId};
use std::collections::{BTreeMap, HashMap, VecDeque};

/// An end of a channel that bytes go through: a pipe has one channel, a pair
/// of sockets one in each direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct End {
    reads: Option<usize>,
    writes: Option<usize>,
}

#[derive(Debug)]
struct Channel {
    cause: Cause,
    /// Each write is read by itself.
    messages: bool,
    /// What was written and not yet read: first offset, bytes left, and where.
    written: VecDeque<(u64, u64, Position)>,
    /// Descriptors that were sent.
    rights: VecDeque<Option<End>>,
    /// Bytes written so far.
    end: u64,
    /// Somebody who is not followed uses it too.
    lost: bool,
}

/// Descriptors of a process, and whether exec closes them.
type Table = BTreeMap<i64, (End, bool)>;

#[derive(Default)]
struct Follower {
    channels: Vec<Channel>,
    /// By recording, and thread if that is a process in the same memory (else 0).
    tables: HashMap<(RecordingId, u32), Table>,
    /// What the last attempt of each recording to execute a program leaves.
    execs: HashMap<RecordingId, Table>,
}

/// Adds an edge from each write to the reads that got its bytes.
pub fn edges(
    mut calls: Vec<Call>,
    edges: &mut Vec<Edge>,
    go_on: GoOn<'_>,
) -> Result<(), BlameError> {
    calls.sort_by_key(|call| (call.at.tick, call.at.recording, call.nth));
    let mut follower = Follower::default();
    for call in &calls {
        go_on()?;
        follower.call(call, edges);
    }
    Ok(())
}

impl Follower {
    fn call(&mut self, call: &Call, edges: &mut Vec<Edge>) {
        let id = call.at.recording;
        let own = (id, call.thread);
        let key = if self.tables.contains_key(&own) {
            own
        } else {
            (id, 0)
        };
        match &call.what {
            What::Fork(child) => {
                let table = self.tables.get(&key).cloned().unwrap_or_default();
                self.tables.insert((*child, 0), table);
            }
            What::Vfork(thread) => {
                let table = self.tables.get(&key).cloned().unwrap_or_default();
                self.tables.insert((id, *thread), table);
            }
            What::TriesExec => {
                let mut table = self.tables.get(&key).cloned().unwrap_or_default();
                table.retain(|_, (_, closes)| !*closes);
                self.execs.insert(id, table);
            }
            What::Exec(by) => {
                let table = self.execs.remove(by).unwrap_or_default();
                self.tables.insert((id, 0), table);
            }
            What::Pipe(reads, writes, closes) => {
                let channel = self.channel(Cause::Pipe, false);
                let read = End {
                    reads: Some(channel),
                    writes: None,
                };
                let write = End {
                    reads: None,
                    writes: Some(channel),
                };
                let table = self.tables.entry(key).or_default();
                table.insert(*reads, (read, *closes));
                table.insert(*writes, (write, *closes));
            }
            What::Pair(a, b, messages, closes) => {
                let there = self.channel(Cause::Socket, *messages);
                let back = self.channel(Cause::Socket, *messages);
                let end = |reads, writes| End {
                    reads: Some(reads),
                    writes: Some(writes),
                };
                let table = self.tables.entry(key).or_default();
                table.insert(*a, (end(back, there), *closes));
                table.insert(*b, (end(there, back), *closes));
            }
            What::Write(fd, bytes, rights) => self.write(key, call.at, *fd, *bytes, rights),
            What::Read(fd, bytes, rights) => {
                self.read(key, call.at, *fd, *bytes, rights, edges);
            }
            change => change_table(self.tables.entry(key).or_default(), change),
        }
    }

    fn channel(&mut self, cause: Cause, messages: bool) -> usize {
        self.channels.push(Channel {
            cause,
            messages,
            written: VecDeque::new(),
            rights: VecDeque::new(),
            end: 0,
            lost: false,
        });
        self.channels.len() - 1
    }

    fn end(&self, key: (RecordingId, u32), fd: i64) -> Option<End> {
        self.tables.get(&key)?.get(&fd).map(|(end, _)| *end)
    }

    fn write(
        &mut self,
        key: (RecordingId, u32),
        at: Position,
        fd: i64,
        bytes: u64,
        rights: &[i64],
    ) {
        let ends: Vec<Option<End>> = rights.iter().map(|&fd| self.end(key, fd)).collect();
        let Some(channel) = self.end(key, fd).and_then(|end| end.writes) else {
            return;
        };
        let channel = &mut self.channels[channel];
        channel.rights.extend(ends);
        if bytes > 0 || channel.messages {
            channel.written.push_back((channel.end, bytes, at));
            channel.end = channel.end.saturating_add(bytes);
        }
    }

    fn read(
        &mut self,
        key: (RecordingId, u32),
        at: Position,
        fd: i64,
        bytes: u64,
        rights: &[i64],
        edges: &mut Vec<Edge>,
    ) {
        let Some(channel) = self.end(key, fd).and_then(|end| end.reads) else {
            return;
        };
        let channel = &mut self.channels[channel];
        let mut left = bytes;
        while left > 0 && !channel.lost {
            let Some((offset, len, from)) = channel.written.pop_front() else {
                // Bytes that nobody wrote: what comes now cannot be told apart.
                channel.lost = true;
                break;
            };
            let got = left.min(len);
            edges.push(Edge {
                from,
                to: at,
                cause: channel.cause,
                about: About::Stream(offset, offset.saturating_add(got)),
            });
            left -= got;
            if got < len && !channel.messages {
                channel.written.push_front((offset + got, len - got, from));
            }
            if channel.messages {
                break;
            }
        }
        for &fd in rights {
            let end = channel.rights.pop_front().flatten();
            let table = self.tables.entry(key).or_default();
            match end {
                Some(end) => table.insert(fd, (end, false)),
                None => table.remove(&fd),
            };
        }
    }
}

fn change_table(table: &mut Table, what: &What) {
    match *what {
        What::Duplicate(from, to, closes) => match table.get(&from).copied() {
            Some((end, _)) if from != to => {
                table.insert(to, (end, closes));
            }
            Some(_) => {}
            None => {
                table.remove(&to);
            }
        },
        What::Close(first, last, later) => {
            if first > last {
                return;
            }
            if later {
                table
                    .range_mut(first..=last)
                    .for_each(|(_, (_, c))| *c = true);
            } else {
                table.retain(|fd, _| !(first..=last).contains(fd));
            }
        }
        What::CloseOnExec(fd, closes) => {
            if let Some((_, c)) = table.get_mut(&fd) {
                *c = closes;
            }
        }
        _ => {}
    }
}
