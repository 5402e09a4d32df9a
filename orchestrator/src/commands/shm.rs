//! `orch shm`.

use crate::describe::safe;
use crate::output::{self, Output, Style, cut};
use anyhow::Result;
use orch_blame::catalog::{Catalog, ObjectInfo, Traffic};
use orch_blame::objects;
use orch_blame::place::{self, Mapped};
use orch_recorder::trace::RecordingId;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

/// Arguments of `orch shm`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  orch shm
  orch shm --json | jq -r 'select(.stores > 1000) | .object'
  orch ublame /dev/shm/q+0x40

For each object of shared memory: who maps it where, how much each stored, and
how many of its loads saw something new. With --json, each object has object, id,
size, stores, stored (bytes), loads, mappings and traffic. If nothing was shared,
the exit code is 1.")]
pub struct Args {
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Object {
    object: String,
    id: u64,
    size: u64,
    stores: u64,
    stored: u64,
    loads: u64,
    mappings: Vec<Mapping>,
    traffic: Vec<Sum>,
}

#[derive(Serialize)]
struct Mapping {
    recording: String,
    from: u64,
    address: String,
    len: u64,
    offset: u64,
    prot: String,
}

#[derive(Serialize)]
struct Sum {
    recording: String,
    stores: u64,
    stored: u64,
    loads: u64,
}

/// Runs it.
pub fn run(dir: Option<&Path>, args: &Args) -> Result<ExitCode> {
    let session = super::locate(dir)?;
    let index = super::index::open(&session)?;
    let catalog = index.catalog();
    let mut out = Output::new();
    for info in &catalog.objects {
        if args.json {
            out.json(&object(catalog, info))?;
        } else {
            print(&mut out, catalog, info)?;
        }
    }
    out.flush()?;
    if catalog.objects.is_empty() {
        eprintln!("orch: no memory was shared between processes of this session");
    }
    Ok(super::found(!catalog.objects.is_empty()))
}

fn object(catalog: &Catalog, info: &ObjectInfo) -> Object {
    let mapping = |m: Mapped| Mapping {
        recording: m.recording.to_string(),
        from: m.from.0,
        address: format!("{:#x}", m.addr),
        len: m.len,
        offset: m.offset,
        prot: prot(m.prot),
    };
    let sum = |t: &Traffic| Sum {
        recording: t.recording.to_string(),
        stores: t.stores,
        stored: t.stored,
        loads: t.loads,
    };
    Object {
        object: objects::unique_label(catalog, info),
        id: info.id,
        size: info.size,
        stores: info.traffic.iter().map(|t| t.stores).sum(),
        stored: info.traffic.iter().map(|t| t.stored).sum(),
        loads: info.traffic.iter().map(|t| t.loads).sum(),
        mappings: place::mapped(catalog, info.id)
            .into_iter()
            .map(mapping)
            .collect(),
        traffic: info.traffic.iter().map(sum).collect(),
    }
}

fn prot(bits: u64) -> String {
    [(1, 'r'), (2, 'w'), (4, 'x')]
        .iter()
        .map(|&(bit, letter)| if bits & bit != 0 { letter } else { '-' })
        .collect()
}

fn print(out: &mut Output, catalog: &Catalog, info: &ObjectInfo) -> io::Result<()> {
    let width = output::width().unwrap_or(100).min(100);
    let whole = object(catalog, info);
    let name = safe(whole.object.as_bytes());
    let head = format!("{name}, {}", output::bytes(whole.size));
    let totals = counts(whole.stores, whole.stored, whole.loads);
    let head = cut(&head, width.saturating_sub(totals.len() + 2).max(20));
    writeln!(out, "{}: {totals}", out.style(Style::Bold, &head))?;
    let mut lines: BTreeMap<RecordingId, (Vec<Mapped>, Option<&Traffic>)> = BTreeMap::new();
    for m in place::mapped(catalog, info.id) {
        lines.entry(m.recording).or_default().0.push(m);
    }
    for t in &info.traffic {
        lines.entry(t.recording).or_default().1 = Some(t);
    }
    for (id, (mapped, traffic)) in lines {
        let program = catalog.recording(id).map_or("?", |r| &r.name);
        let done = match traffic {
            Some(t) => counts(t.stores, t.stored, t.loads),
            None => "no access seen".to_owned(),
        };
        let text = cut(
            &format!("{}: {done}", safe(program.as_bytes())),
            width.saturating_sub(10),
        );
        let name = id.to_string();
        writeln!(out, "  {:<6} {text}", out.style(Style::Of(id), &name))?;
        for m in mapped {
            let end = m.addr.saturating_add(m.len);
            let text = format!(
                "{:#x}..{end:#x} {} shows {:+#x}, from {id}@{} on",
                m.addr,
                prot(m.prot),
                m.offset,
                m.from
            );
            let text = cut(&text, width.saturating_sub(9));
            writeln!(out, "         {}", out.style(Style::Dim, &text))?;
        }
    }
    Ok(())
}

fn counts(stores: u64, stored: u64, loads: u64) -> String {
    let plural = |n: u64| if n == 1 { "" } else { "s" };
    format!(
        "{stores} store{} ({}), {loads} load{} saw news",
        plural(stores),
        output::bytes(stored),
        plural(loads)
    )
}
