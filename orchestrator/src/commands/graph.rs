//! `orch graph`.

use crate::describe::safe;
use crate::output::{self, Output, Style, cut};
use crate::position::{Position, When};
use anyhow::Result;
use orch_blame::catalog::Catalog;
use orch_blame::graph::{Cause, Edge, Graph, Part};
use orch_recorder::trace::{self, RecordingId, Tick};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

/// Arguments of `orch graph`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  orch graph                                   what one process had from another
  orch graph --around p3@18402 --hops 4        what happened shortly before and after
  orch graph -p p2 -p p3 --from 100 --to 900
  orch graph --dot | dot -Tsvg > graph.svg

Each line is an edge: an event that cannot have happened without another one of
another process. Causes: fork, exec, exit (told to the parent), signal, memory (a
load that saw a store), pipe, socket (of a socketpair). With --dot and --json the
order of each recording's own events is there too (cause program). In JSON, each
edge has from, to, cause and about. If there is no edge, the exit code is 1.")]
pub struct Args {
    /// From this tick or position on.
    #[arg(long, value_name = "POS")]
    from: Option<When>,
    /// Up to and with this tick or position.
    #[arg(long, value_name = "POS")]
    to: Option<When>,
    /// Events of this recording only (p3); may be given several times.
    #[arg(short, long, value_name = "P")]
    process: Vec<RecordingId>,
    /// Only events a few edges away from this position.
    #[arg(long, value_name = "POS")]
    around: Option<Position>,
    /// How many edges away.
    #[arg(long, value_name = "N", default_value_t = 3, requires = "around")]
    hops: usize,
    /// For Graphviz.
    #[arg(long, conflicts_with = "json")]
    dot: bool,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// An edge in JSON.
#[derive(Serialize)]
struct Object {
    from: String,
    to: String,
    cause: Cause,
    about: String,
}

/// Runs it.
pub fn run(dir: Option<&Path>, args: &Args) -> Result<ExitCode> {
    let session = super::locate(dir)?;
    for &id in &args.process {
        super::recordings(&session, Some(id))?;
    }
    let tick = |when: Option<When>| when.map(|when| when.tick(&session)).transpose();
    let (from, to) = (tick(args.from)?, tick(args.to)?);
    let around = match args.around {
        None => None,
        Some(position) => {
            let tick = position.tick(&session)?;
            let recording = position.recording;
            Some((trace::Position { recording, tick }, args.hops))
        }
    };
    let index = super::index::open(&session)?;
    let catalog = index.catalog();
    let ticks = from.unwrap_or(Tick(0))..=to.unwrap_or(Tick(u64::MAX));
    let graph = Graph::read(&session, &index, ticks)?;
    let part = Part {
        from,
        to,
        recordings: args.process.clone(),
        around,
    };
    let mut out = Output::new();
    let any = if args.json || args.dot || around.is_some() {
        let edges = graph.part(&part);
        if args.json {
            for edge in &edges {
                out.json(&Object {
                    from: edge.from.to_string(),
                    to: edge.to.to_string(),
                    cause: edge.cause,
                    about: edge.about.text(catalog),
                })?;
            }
        } else if args.dot {
            dot(&mut out, catalog, &edges)?;
        } else {
            lines(&mut out, catalog, edges.iter().filter(across))?;
        }
        edges.iter().any(|e| across(&e))
    } else {
        lines(&mut out, catalog, graph.across(&part))?;
        graph.across(&part).next().is_some()
    };
    out.flush()?;
    if graph.refused() > 0 {
        let n = graph.refused();
        eprintln!("orch: {n} edges would lead back in time and are not shown");
    }
    if !any {
        eprintln!("orch: no event there depends on one of another process");
    }
    Ok(super::found(any))
}

/// Whether an edge is between recordings.
fn across(edge: &&Edge) -> bool {
    edge.cause != Cause::Program
}

pub const fn cause_name(cause: Cause) -> &'static str {
    match cause {
        Cause::Program => "program",
        Cause::Fork => "fork",
        Cause::Exec => "exec",
        Cause::Exit => "exit",
        Cause::Signal => "signal",
        Cause::Memory => "memory",
        Cause::Pipe => "pipe",
        Cause::Socket => "socket",
    }
}

fn lines<'e>(
    out: &mut Output,
    catalog: &Catalog,
    edges: impl Iterator<Item = &'e Edge> + Clone,
) -> io::Result<()> {
    let widest = |get: fn(&Edge) -> trace::Position| {
        let lengths = edges.clone().map(|e| get(e).to_string().len());
        lengths.max().unwrap_or(0)
    };
    let (from, to) = (widest(|e| e.from), widest(|e| e.to));
    let width = output::width().unwrap_or(usize::MAX);
    for edge in edges {
        let (a, b) = (edge.from.to_string(), edge.to.to_string());
        let about = cut(
            &safe(edge.about.text(catalog).as_bytes()),
            width.saturating_sub(from + to + 12).max(8),
        );
        writeln!(
            out,
            "{:<from$} → {:<to$}  {:<6} {about}",
            out.style(Style::Of(edge.from.recording), &a),
            out.style(Style::Of(edge.to.recording), &b),
            cause_name(edge.cause),
        )?;
    }
    Ok(())
}

/// The graph in the language of dot(1), each recording in a box.
fn dot(out: &mut Output, catalog: &Catalog, edges: &[Edge]) -> io::Result<()> {
    let mut events: BTreeMap<RecordingId, Vec<trace::Position>> = BTreeMap::new();
    for position in edges.iter().flat_map(|e| [e.from, e.to]) {
        events.entry(position.recording).or_default().push(position);
    }
    writeln!(
        out,
        "digraph orch {{\n  node [shape=box, fontname=monospace];"
    )?;
    for (id, positions) in &mut events {
        positions.sort_unstable();
        positions.dedup();
        let program = catalog.recording(*id).map_or("", |r| &r.name);
        writeln!(
            out,
            "  subgraph cluster_{id} {{ label={};",
            quoted(&format!("{id} {program}"))
        )?;
        for position in positions {
            writeln!(out, "    {};", quoted(&position.to_string()))?;
        }
        writeln!(out, "  }}")?;
    }
    for edge in edges {
        let ends = [edge.from, edge.to].map(|p| quoted(&p.to_string()));
        let [a, b] = &ends;
        if edge.cause == Cause::Program {
            writeln!(out, "  {a} -> {b} [style=dotted, weight=8];")?;
        } else {
            let label = quoted(&format!(
                "{} {}",
                cause_name(edge.cause),
                edge.about.text(catalog)
            ));
            writeln!(out, "  {a} -> {b} [label={label}];")?;
        }
    }
    writeln!(out, "}}")
}

/// A string of dot's language.
fn quoted(text: &str) -> String {
    let text = safe(text.as_bytes());
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
