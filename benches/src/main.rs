//! `orch-bench`: what recording and replaying cost, as a table.
//!
//! Every workload runs natively and recorded in turns, on this machine, in
//! this run; the ratio of the medians counts. docs/benchmarks.md has the last table.

mod measure;
mod workload;

use anyhow::{Context as _, Result, bail, ensure};
use clap::Parser;
use measure::Row;
use std::path::PathBuf;
use std::process::Command;
use workload::Workload;

/// Measure what recording and replaying cost.
#[derive(Debug, Parser)]
struct Args {
    /// Only these workloads (may be repeated).
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Runs of each kind, natively and recorded.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    /// The orch to measure (default: the one beside this program, built first).
    #[arg(long, value_name = "FILE")]
    orch: Option<PathBuf>,
}

fn main() -> Result<()> {
    let args = Args::parse();
    ensure!(args.runs > 0, "at least one run is needed");
    let orch = match &args.orch {
        Some(path) => path.clone(),
        None => build()?,
    };
    let chosen = choose(&args.only)?;
    let dir = tempfile::Builder::new().prefix("orch-bench").tempdir()?;
    workload::prepare(dir.path())?;
    if !args.json {
        println!("| workload | native | recorded | ratio | target | trace | replay | |");
        println!("|---|---|---|---|---|---|---|---|");
    }
    for workload in chosen {
        let row = measure::measure(&orch, workload, dir.path(), args.runs)?;
        if args.json {
            println!("{}", serde_json::to_string(&row)?);
        } else {
            println!("{}", line(workload, &row));
        }
    }
    Ok(())
}

/// Builds `orch` as this program was built, beside it.
fn build() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let dir = own.parent().context("this program is in no directory")?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut cargo = Command::new(cargo);
    cargo.args(["build", "--quiet", "-p", "orch", "--manifest-path"]);
    cargo.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"));
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    ensure!(cargo.status()?.success(), "cannot build orch");
    Ok(dir.join("orch"))
}

fn choose(only: &[String]) -> Result<Vec<&'static Workload>> {
    for name in only {
        if !workload::ALL.iter().any(|w| w.name == name) {
            let names: Vec<&str> = workload::ALL.iter().map(|w| w.name).collect();
            bail!(
                "there is no workload {name}; there are {}",
                names.join(", ")
            );
        }
    }
    let chosen = |w: &&Workload| only.is_empty() || only.iter().any(|name| name == w.name);
    Ok(workload::ALL.iter().filter(chosen).collect())
}

fn line(workload: &Workload, row: &Row) -> String {
    let (cost, target) = if workload.difference {
        let extra = row.recorded_ms - row.native_ms;
        (
            format!("+{extra:.1} ms"),
            format!("+{} ms", workload.targets.0),
        )
    } else {
        (format!("{:.2}", row.ratio), workload.targets.0.to_string())
    };
    let value = if workload.difference {
        row.recorded_ms - row.native_ms
    } else {
        row.ratio
    };
    let verdict = match row.verdict {
        "ok" if value > workload.targets.0 => "over the target",
        "ok" => "",
        other => other,
    };
    format!(
        "| {} | {:.1} ms | {:.1} ms | {cost} | {target} | {} | {:.1} ms | {verdict} |",
        workload.title,
        row.native_ms,
        row.recorded_ms,
        bytes(row.trace_bytes),
        row.replay_ms,
    )
}

fn bytes(n: u64) -> String {
    match n {
        0..10_000 => format!("{n} B"),
        10_000..10_000_000 => format!("{} kB", n / 1000),
        _ => format!("{} MB", n / 1_000_000),
    }
}
