//! Why there is nothing to show.

use super::Args;
use super::locate::{Found, Image};
use super::location::Location;
use super::plan::Plan;
use super::worker::GDB;
use orch_blame::symbols::Symbols;
use orch_recorder::session::Session;
use std::path::Path;

/// So many names are told.
const SOME: usize = 8;

/// No recorded program has the location.
pub fn unknown(
    location: &Location,
    images: &[Image],
    found: &Found,
    symbols: &mut Symbols,
) -> String {
    if found.chooses {
        return format!(
            "which function {location} is, the dynamic linker chooses among several, as the \
             processor needs it; without debugging information their names are not known: \
             install that (libc6-dbg, in Debian)"
        );
    }
    let near = list(found.near().iter().map(u32::to_string), " and ");
    match location {
        Location::Line { file, line } if !near.is_empty() => {
            format!("{file}:{line} has no code; the nearest lines that do: {near}")
        }
        Location::Line { file, .. } => {
            let known = found.sources.iter().cloned();
            let known = match list(known, ", ") {
                names if names.is_empty() => String::new(),
                names => format!("; known are {names}"),
            };
            format!(
                "no program or library of this session was made from {file}{known}{}{}",
                without(images, symbols),
                unread(found)
            )
        }
        _ => format!(
            "no program or library of this session has a function {location}{}{}{}",
            like_a_file(location),
            without(images, symbols),
            unread(found)
        ),
    }
}

/// A line is missing, rather than a function.
fn like_a_file(location: &Location) -> &'static str {
    let text = location.to_string();
    match Path::new(&text).extension() {
        Some(_) => " (lines are written FILE:LINE)",
        None => "",
    }
}

/// Files that could not be looked at, if any.
fn unread(found: &Found) -> String {
    let errors: Vec<&str> = found.errors().collect();
    match errors[..] {
        [] => String::new(),
        [first, ..] => format!("; {GDB} cannot read {} of its files: {first}", errors.len()),
    }
}

/// Which programs tell nothing of their lines, and what helps.
fn without(images: &[Image], symbols: &mut Symbols) -> String {
    let mut names = Vec::new();
    for image in images.iter().filter(|image| image.program) {
        if symbols.missing(image.file).is_some() {
            names.push(name(&image.path));
        }
    }
    match list(names.into_iter(), ", ") {
        names if names.is_empty() => String::new(),
        names => format!(
            "; there is no debugging information of {names}: build with -g, or install the \
             package that has it (PACKAGE-dbgsym or PACKAGE-dbg, in Debian)"
        ),
    }
}

fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}

fn list(names: impl Iterator<Item = String>, between: &str) -> String {
    let names: Vec<String> = names.collect();
    let more = names.len().saturating_sub(SOME);
    let shown = names[..names.len() - more].join(between);
    match more {
        0 => shown,
        more => format!("{shown} … and {more} more"),
    }
}

/// None of the recordings that were asked for maps it.
pub fn nowhere(args: &Args, plan: &Plan) -> String {
    let location = &args.location;
    if plan.outside > 0 {
        return format!("no recording that has {location} runs in that time");
    }
    let who = list(args.process.iter().map(ToString::to_string), ", ");
    match location {
        Location::Address(_) => format!(
            "{location} is not in code of a captured file that {who} maps; \
             `orch inspect {}@end --maps` shows what is",
            args.process
                .first()
                .map(ToString::to_string)
                .unwrap_or_default()
        ),
        _ => format!("{location} is in files of this session, but no recording maps that code"),
    }
}

/// All that have it were run, and nothing was shown.
pub fn never(session: &Session, args: &Args, plan: &Plan, passed: u64) -> String {
    let location = &args.location;
    if let (true, Some(condition)) = (passed > 0, &args.condition) {
        return format!("{location} was reached {passed} times, never with {condition}");
    }
    let who = plan.jobs.iter().map(|job| {
        format!(
            "{} ({})",
            job.recording,
            super::super::name(session, job.recording)
        )
    });
    let time = match (args.from.is_some(), args.to.is_some()) {
        (false, false) => "",
        _ => " in that time",
    };
    format!("{location} was never reached{time} in {}", list(who, ", "))
}
