//! From positions to events of a session.

use super::{At, Position, When};
use crate::commands::Usage;
use anyhow::Result;
use orch_abi::record::Kind;
use orch_blame::time::Clock;
use orch_recorder::session::Session;
use orch_recorder::trace::{Block, Record, RecordingReader, Summary, Tick};

impl Position {
    /// The same place, told by an event: [`At::Start`], [`At::End`] or [`At::Tick`].
    /// One outside of the recording is an error.
    pub fn resolve(self, session: &Session) -> Result<Self> {
        let summary = self.summary(session)?;
        let mut reader = session.reader(self.recording)?;
        let at = match self.at {
            At::Start | At::End => self.at,
            At::Tick { tick, .. } => {
                if !(summary.first_tick..=summary.last_tick).contains(&tick) {
                    return Err(self.outside(&summary).into());
                }
                self.at
            }
            At::Exit => At::tick(last_of_its_own(&mut reader)?),
            At::Part { thousandths } => {
                At::tick(event_at(&mut reader, summary.events, thousandths)?)
            }
            At::Time { nanos } => {
                let tick = tick_of(session, nanos)?;
                if !(summary.first_tick..=summary.last_tick).contains(&tick) {
                    return Err(self.outside(&summary).into());
                }
                At::tick(last_until(&mut reader, tick)?)
            }
        };
        Ok(Self { at, ..self })
    }

    /// Its tick: for the start and the end, that of the first and the last event.
    pub fn tick(self, session: &Session) -> Result<Tick> {
        Ok(match self.resolve(session)?.at {
            At::Tick { tick, .. } => tick,
            At::Start => self.summary(session)?.first_tick,
            _ => self.summary(session)?.last_tick,
        })
    }

    /// Of its recording, which must be there and have events.
    fn summary(self, session: &Session) -> Result<Summary> {
        let id = self.recording;
        if !session.recordings()?.contains(&id) {
            let text = format!("{id} is not in this session; `orch ls` shows what is");
            return Err(Usage(text).into());
        }
        let summary = session.summary(id)?;
        if summary.events == 0 {
            return Err(Usage(format!("nothing was recorded of {id}")).into());
        }
        Ok(summary)
    }

    /// The next event, if it names one that its recording does not have: a process stops there.
    fn next(self, session: &Session) -> Result<Option<Self>> {
        let At::Tick { tick, .. } = self.at else {
            return Ok(None);
        };
        let mut records = session.reader(self.recording)?.records();
        records.seek_tick(tick)?;
        let next = records.next_record()?.map(|r| r.head.tick);
        let next = next.filter(|&next| next != tick.0);
        Ok(next.map(|next| Self::event(self.recording, next)))
    }

    /// Says on standard error that the event is another one, if that is so.
    pub fn tell_next(self, session: &Session) -> Result<()> {
        if let (At::Tick { tick, .. }, Some(next)) = (self.at, self.next(session)?) {
            let id = self.recording;
            eprintln!("orch: {id} has no event {tick}; this is the next, {next}");
        }
        Ok(())
    }

    fn outside(self, summary: &Summary) -> Usage {
        let [first, last] = [summary.first_tick, summary.last_tick];
        let id = self.recording;
        Usage(format!(
            "{self} is outside of the recording: its events are {id}@{first} to {id}@{last}"
        ))
    }
}

impl When {
    /// Its tick.
    pub fn tick(self, session: &Session) -> Result<Tick> {
        let at = match self {
            Self::At(position) => return position.tick(session),
            Self::Everywhere(at) => at,
        };
        let ends = || -> Result<(Tick, Tick)> {
            let mut ends = (Tick(u64::MAX), Tick(0));
            for id in session.recordings()? {
                let summary = session.summary(id)?;
                ends = (
                    ends.0.min(summary.first_tick),
                    ends.1.max(summary.last_tick),
                );
            }
            Ok((ends.0.min(ends.1), ends.1))
        };
        Ok(match at {
            At::Tick { tick, .. } => tick,
            At::Time { nanos } => tick_of(session, nanos)?,
            At::Start => ends()?.0,
            At::End | At::Exit => ends()?.1,
            At::Part { thousandths } => {
                let (first, last) = ends()?;
                Tick(first.0 + part(last.0 - first.0, thousandths))
            }
        })
    }

    /// The positions that are meant: of a moment of the session, the last events until
    /// then of all recordings that had begun and had not ended.
    pub fn positions(self, session: &Session) -> Result<Vec<Position>> {
        if let Self::At(position) = self {
            return Ok(vec![position.resolve(session)?]);
        }
        let tick = self.tick(session)?;
        let mut positions = Vec::new();
        for recording in session.recordings()? {
            let summary = session.summary(recording)?;
            if summary.events > 0 && (summary.first_tick..=summary.last_tick).contains(&tick) {
                let at = At::tick(last_until(&mut session.reader(recording)?, tick)?);
                positions.push(Position { recording, at });
            }
        }
        if positions.is_empty() {
            let none = format!("no recording runs at {self}; `orch ls` shows when they do");
            return Err(Usage(none).into());
        }
        Ok(positions)
    }
}

/// The tick at a wall time.
fn tick_of(session: &Session, nanos: u64) -> Result<Tick> {
    let clock = Clock::read(session)?;
    clock.tick(nanos).ok_or_else(|| {
        let time = At::Time { nanos };
        let known = At::Time {
            nanos: clock.span().unwrap_or(0),
        };
        Usage(format!("the session has ended before {time}: at {known}")).into()
    })
}

/// A part of `n`, rounded.
fn part(n: u64, thousandths: u32) -> u64 {
    let whole = u128::from(At::WHOLE);
    ((u128::from(n) * u128::from(thousandths) + whole / 2) / whole) as u64
}

/// The last block that satisfies `is_before`, which holds for the first blocks only.
fn last_block(reader: &mut RecordingReader, is_before: impl Fn(&Block) -> bool) -> Result<Block> {
    let (mut block, mut found) = (Block::default(), Block::default());
    let (mut from, mut to) = (0, reader.blocks_len());
    while from < to {
        let middle = from.midpoint(to);
        reader.read_block(middle, &mut block)?;
        if is_before(&block) {
            std::mem::swap(&mut block, &mut found);
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    Ok(found)
}

/// The tick of the event that has this part of all events before it.
fn event_at(reader: &mut RecordingReader, events: u64, thousandths: u32) -> Result<Tick> {
    let index = part(events.saturating_sub(1), thousandths);
    let block = last_block(reader, |block| block.first_index <= index)?;
    let record = block.records().flatten().find(|r| r.index == index);
    Ok(record.map_or(block.last_tick, |r| Tick(r.head.tick)))
}

/// The highest tick of an event that is not behind `tick`.
fn last_until(reader: &mut RecordingReader, tick: Tick) -> Result<Tick> {
    let block = last_block(reader, |block| block.first_tick <= tick)?;
    let ticks = block.records().flatten().map(|r| Tick(r.head.tick));
    let last = ticks.filter(|&t| t <= tick).max();
    Ok(last.unwrap_or(block.first_tick))
}

/// The tick of the last event that the process itself had a part in.
fn last_of_its_own(reader: &mut RecordingReader) -> Result<Tick> {
    let mut block = Block::default();
    for n in (0..reader.blocks_len()).rev() {
        reader.read_block(n, &mut block)?;
        let own = |r: &Record<'_>| {
            !matches!(
                Kind::from_u8(r.head.kind),
                Some(Kind::Ended | Kind::Digest) | None
            )
        };
        if let Some(last) = block.records().flatten().filter(own).last() {
            return Ok(Tick(last.head.tick));
        }
    }
    Ok(block.first_tick)
}

#[cfg(test)]
mod tests {
    use super::*;
    use orch_abi::record::{Ended, Insn, ended};
    use orch_recorder::session::Meta;
    use orch_recorder::trace::RecordingId;
    use orch_recorder::trace::record::build;

    /// p1 has events at 10, 20, … 1000 and ends at 1001, p2 at 505, 515, … 595.
    fn session(dir: &std::path::Path) -> Session {
        let mut meta = Meta::now(vec!["test".into()], dir.into(), Vec::new());
        meta.ended = Some(meta.started);
        let session = Session::create(dir, meta).expect("a new directory");
        let recordings = [(1, 10..=1000), (2, 505..=595)];
        for (id, ticks) in recordings {
            let mut writer = session.writer(RecordingId(id)).expect("a new recording");
            for tick in ticks.step_by(10) {
                let record = build::insn(tick, &Insn::default());
                writer.append(&record).expect("it is a record");
                if tick % 30 == 0 {
                    writer.flush().expect("there is room");
                }
            }
            if id == 1 {
                let how = Ended {
                    how: ended::EXITED,
                    value: 0,
                };
                writer.append(&build::ended(1001, &how)).expect("a record");
            }
            writer.finish().expect("there is room");
        }
        session
    }

    fn resolved(session: &Session, text: &str) -> Result<String, String> {
        let position: Position = text.parse().map_err(|e| format!("{e}"))?;
        let resolved = position.resolve(session).map_err(|e| e.to_string())?;
        Ok(resolved.to_string())
    }

    #[test]
    fn places_are_events() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let session = session(&dir.path().join("s"));
        for (text, event) in [
            ("p1@start", "p1@start"),
            ("p1@end", "p1@end"),
            ("p1@exit", "p1@1000"),
            ("p2@exit", "p2@595"),
            ("p1@0%", "p1@10"),
            ("p1@50%", "p1@510"),
            ("p1@100%", "p1@1001"),
            ("p1@33+4", "p1@33+4"),
        ] {
            assert_eq!(resolved(&session, text).as_deref(), Ok(event));
        }
        let tick = |text: &str| -> Tick {
            let position: Position = text.parse().expect("it is one");
            position.tick(&session).expect("it is there")
        };
        assert_eq!(tick("p1@start"), Tick(10));
        assert_eq!(tick("p1@end"), Tick(1001));
    }

    #[test]
    fn outside_of_the_recording() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let session = session(&dir.path().join("s"));
        for text in ["p1@9", "p1@1002", "p2@600+1"] {
            let error = resolved(&session, text).expect_err("it is outside");
            let range = if text.starts_with("p1") {
                "p1@10 to p1@1001"
            } else {
                "p2@505 to p2@595"
            };
            assert!(error.contains(range), "{error}");
        }
        let error = resolved(&session, "p3@1").expect_err("there is no p3");
        assert!(error.contains("orch ls"), "{error}");
    }

    #[test]
    fn between_events() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let session = session(&dir.path().join("s"));
        for (text, next) in [
            ("p1@33+4", Some("p1@40")),
            ("p1@40", None),
            ("p1@1001", None),
            ("p1@start", None),
            ("p2@506", Some("p2@515")),
        ] {
            let position: Position = text.parse().expect("it is one");
            let found = position.next(&session).expect("it is there");
            assert_eq!(found.map(|p| p.to_string()).as_deref(), next, "{text}");
        }
    }

    #[test]
    fn a_moment_of_all() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let session = session(&dir.path().join("s"));
        let positions = |text: &str| -> Result<Vec<String>> {
            let when: When = text.parse()?;
            let positions = when.positions(&session)?;
            Ok(positions.iter().map(ToString::to_string).collect())
        };
        let at = |text| positions(text).expect("something runs then");
        assert_eq!(at("@512"), ["p1@510", "p2@505"]);
        assert_eq!(at("512"), ["p1@510", "p2@505"]);
        assert_eq!(at("@700"), ["p1@700"]);
        assert_eq!(at("@start"), ["p1@10"]);
        assert_eq!(at("@end"), ["p1@1001"]);
        assert_eq!(at("@50%"), ["p1@500", "p2@505"]);
        assert!(positions("@2000").is_err());
    }
}
