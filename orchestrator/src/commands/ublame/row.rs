//! What there is to say about an access.

use super::order::{self, Fields};
use crate::describe::safe;
use crate::position::Position;
use orch_blame::access::{Access, Kind, Old, Site};
use orch_blame::catalog::Catalog;
use orch_blame::graph::order::Orders;
use orch_blame::index::Query;
use orch_blame::objects;
use orch_blame::symbols::{Code, Frame, Symbols};
use orch_blame::time::Clock;
use orch_recorder::session::Session;
use orch_recorder::trace::RecordingId;
use serde::Serialize;
use std::fmt::Write as _;
use std::rc::Rc;

/// What is needed to say it.
pub struct Rows<'c> {
    pub catalog: &'c Catalog,
    pub symbols: Symbols,
    pub clock: Clock,
}

/// An access in JSON.
#[derive(Serialize)]
pub struct Row<'a> {
    position: String,
    tick: u64,
    recording: Option<String>,
    pid: Option<u32>,
    program: Option<&'a str>,
    tid: Option<u32>,
    kind: &'static str,
    pc: Option<String>,
    function: Option<String>,
    file: Option<String>,
    line: Option<u32>,
    object: String,
    offset: u64,
    size: usize,
    old: Option<String>,
    new: String,
    frames: Vec<Frame>,
    time: Option<f64>,
    #[serde(flatten)]
    order: Fields,
}

/// What a kind of access is called.
pub const fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Store => "store",
        Kind::Load | Kind::CallLoad => "load",
        Kind::CallStore => "system call",
        Kind::Outside => "outside",
        Kind::Initial => "initial",
    }
}

/// A site that no catalog has, for an index that is damaged.
const NOWHERE: Site = Site {
    recording: RecordingId(0),
    tid: 0,
    ip: 0,
    caller: 0,
    kind: Kind::Outside,
    by_page: false,
};

impl<'c> Rows<'c> {
    pub fn new(session: &Session, catalog: &'c Catalog) -> Self {
        Self {
            catalog,
            symbols: Symbols::new(session, catalog),
            clock: Clock::new(catalog),
        }
    }

    pub fn site(&self, access: &Access) -> Site {
        let site = self.catalog.sites.get(access.site as usize);
        site.copied().unwrap_or(NOWHERE)
    }

    pub fn code(&mut self, access: &Access) -> Rc<Code> {
        let site = self.site(access);
        self.symbols.site(self.catalog, &site, access.tick)
    }

    /// Where it happened; of what nobody recorded, where it was noticed.
    pub fn position(&self, access: &Access) -> Position {
        Position::event(self.site(access).recording, access.tick.0)
    }

    pub fn program(&self, id: RecordingId) -> Option<&'c str> {
        let name = &self.catalog.recording(id)?.name;
        Some(name.as_str()).filter(|name| !name.is_empty())
    }

    pub fn object(&self, id: u64) -> String {
        match self.catalog.object(id) {
            Some(info) => objects::unique_label(self.catalog, info),
            None => format!("object:{id}"),
        }
    }

    /// The bytes that are asked for.
    pub fn range(&self, query: &Query) -> String {
        let bytes = match query.len {
            1 => "1 byte".to_owned(),
            n => format!("{n} bytes"),
        };
        let object = safe(self.object(query.object).as_bytes());
        format!("{object}+{:#x} ({bytes})", query.offset)
    }

    pub fn json(&mut self, query: &Query, access: &Access, orders: Option<&Orders>) -> Row<'c> {
        let order = orders.and_then(|orders| order::find(orders, self, access));
        let site = self.site(access);
        let code = self.code(access);
        let recorded = site.kind.is_recorded();
        let inner = code.main().cloned().unwrap_or_default();
        let info = self.catalog.recording(site.recording);
        let time = self.clock.at(access.tick);
        Row {
            position: self.position(access).to_string(),
            tick: access.tick.0,
            recording: recorded.then(|| site.recording.to_string()),
            pid: info.filter(|_| recorded).map(|r| r.pid),
            program: self.program(site.recording).filter(|_| recorded),
            tid: recorded.then_some(site.tid),
            kind: kind_name(site.kind),
            pc: recorded.then(|| format!("{:#x}", site.ip)),
            function: inner.function,
            file: inner.file,
            line: inner.line,
            object: self.object(query.object),
            offset: access.offset,
            size: access.new.len(),
            old: access.old.as_ref().map(hex_old),
            new: hex(&access.new),
            frames: code.frames.clone(),
            time: time.map(|t| (t.nanos / 1000) as f64 / 1e6),
            order: order.map_or_else(Fields::default, |order| Fields::new(order, self)),
        }
    }
}

/// Bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The same; `??` for those that are not known.
pub fn hex_old(old: &Old) -> String {
    (0..old.bytes.len()).fold(String::new(), |mut text, at| {
        let _ = match old.get(at) {
            Some(byte) => write!(text, "{byte:02x}"),
            None => write!(text, "??"),
        };
        text
    })
}
