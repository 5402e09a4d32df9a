//! `orch replay`.

mod divergence;
mod progress;

use crate::output::{self, Output, Style};
use crate::replay::{self, Report, Verdict};
use anyhow::Result;
use divergence::Explained;
use orch_recorder::session::Session;
use orch_recorder::trace::RecordingId;
pub(super) use progress::Progress;
use serde::Serialize;
use std::collections::HashSet;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

/// Arguments of `orch replay`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  orch replay
  orch replay -p p3
  orch replay --json | jq -r 'select(.verdict != \"matched\") | .recording'

Each process runs again by itself, with what it once got from outside taken
from its recording, and everything that it does is compared. On the way it leaves
checkpoints: whoever looks at a long recording later gets everywhere quickly. The
exit code is 0 if all was as recorded, 1 if something differed, 2 for wrong usage.")]
pub struct Args {
    /// Replay this recording only (p3).
    #[arg(short, long, value_name = "P")]
    process: Option<RecordingId>,
    /// Only check, and report (replay always checks; this says that nothing else is wanted).
    #[arg(long)]
    check: bool,
    /// Leave system-call sites unpatched (slower; to find out whether
    /// patching is the cause of a problem).
    #[arg(long)]
    no_patch: bool,
    /// One JSON object a recording.
    #[arg(long)]
    json: bool,
}

/// How one recording came out, for people and scripts.
#[derive(Serialize)]
struct Outcome {
    recording: String,
    verdict: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    divergence: Option<Explained>,
}

/// Runs it.
pub fn run(dir: Option<&Path>, args: &Args) -> Result<ExitCode> {
    let session = super::locate(dir)?;
    let ids = super::recordings(&session, args.process)?;
    let started = Instant::now();
    let mut progress = Progress::new();
    let reports = replay::check(&session, args.process, args.no_patch, |done, total| {
        progress.show(done, total);
    });
    progress.clear();
    let outcomes = outcomes(&session, &ids, &reports?);
    let mut out = Output::new();
    for outcome in &outcomes {
        if args.json {
            out.json(outcome)?;
        } else {
            print(&mut out, outcome)?;
        }
    }
    if !args.json {
        let nanos = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        writeln!(out, "{} ({})", summary(&outcomes), output::duration(nanos))?;
    }
    out.flush()?;
    Ok(super::found(
        outcomes.iter().all(|o| o.verdict == "matched"),
    ))
}

/// What became of every recording that was to be replayed.
fn outcomes(session: &Session, ids: &[RecordingId], reports: &[Report]) -> Vec<Outcome> {
    let mut all: Vec<(RecordingId, Outcome)> = Vec::new();
    for report in reports {
        let (verdict, why, divergence) = match &report.verdict {
            Verdict::Matched => ("matched", None, None),
            Verdict::Broken(why) => ("broken", Some(why.clone()), None),
            Verdict::Diverged(d) => {
                let explained = Explained::new(session, report.recording, d);
                ("diverged", Some(d.why.clone()), Some(explained))
            }
        };
        let recording = report.recording.to_string();
        all.push((
            report.recording,
            Outcome {
                recording,
                verdict,
                why,
                divergence,
            },
        ));
    }
    let seen: HashSet<RecordingId> = reports.iter().map(|r| r.recording).collect();
    for &id in ids.iter().filter(|id| !seen.contains(id)) {
        // Where no event was kept there is nothing to replay.
        let empty = session.summary(id).is_ok_and(|s| s.events == 0);
        let (verdict, why) = if empty {
            ("matched", "no event was kept")
        } else {
            (
                "not_reached",
                "the replay of the process that forks it did not come so far",
            )
        };
        let (recording, why) = (id.to_string(), Some(why.to_owned()));
        all.push((
            id,
            Outcome {
                recording,
                verdict,
                why,
                divergence: None,
            },
        ));
    }
    all.sort_by_key(|(id, _)| *id);
    all.into_iter().map(|(_, outcome)| outcome).collect()
}

fn print(out: &mut Output, outcome: &Outcome) -> io::Result<()> {
    let why = outcome.why.as_deref().unwrap_or_default();
    match (&outcome.divergence, outcome.verdict) {
        (Some(explained), _) => explained.print(out),
        (None, "matched") => Ok(()),
        (None, verdict) => {
            let head = format!("{}: {}", outcome.recording, verdict.replace('_', " "));
            writeln!(out, "{}: {why}", out.style(Style::Bad, &head))
        }
    }
}

fn summary(outcomes: &[Outcome]) -> String {
    let count = |verdict| outcomes.iter().filter(|o| o.verdict == verdict).count();
    let replayed = outcomes.len() - count("not_reached");
    let mut text = format!(
        "{replayed} recording{} replayed: ",
        if replayed == 1 { "" } else { "s" }
    );
    if count("matched") == outcomes.len() {
        return text + "all as recorded";
    }
    let words = [
        ("matched", "as recorded"),
        ("diverged", "diverged"),
        ("broken", "broken"),
        ("not_reached", "not reached"),
    ];
    let parts = words.iter().map(|&(verdict, word)| (count(verdict), word));
    let parts: Vec<String> = parts
        .filter(|(n, _)| *n > 0)
        .map(|(n, w)| format!("{n} {w}"))
        .collect();
    text.push_str(&parts.join(", "));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries() {
        let outcome = |verdict| Outcome {
            recording: "p1".into(),
            verdict,
            why: None,
            divergence: None,
        };
        assert_eq!(
            summary(&[outcome("matched")]),
            "1 recording replayed: all as recorded"
        );
        let all = ["matched", "matched", "diverged", "not_reached"].map(outcome);
        assert_eq!(
            summary(&all),
            "3 recordings replayed: 2 as recorded, 1 diverged, 1 not reached"
        );
    }
}
