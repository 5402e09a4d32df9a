//! Every row of `programs.toml` as a test of its own: recorded, then replayed
//! with `--check`, by root (with digests of memory) and by an ordinary user.
//!
//! `ORCH_ONLY=REGEX` picks rows, `ORCH_REPEAT=20` runs each so often.

use anyhow::{Context as _, Result};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use orch_tests::orch::{User, is_root};
use orch_tests::program::{List, Program, Users};
use regex_lite::Regex;
use std::env;
use std::process::ExitCode;

fn main() -> Result<ExitCode> {
    let mut arguments = Arguments::from_args();
    if arguments.test_threads.is_none() {
        // More would only make the time limits depend on the load.
        arguments.test_threads = std::thread::available_parallelism().ok().map(usize::from);
    }
    let only = env::var("ORCH_ONLY").unwrap_or_default();
    let only = Regex::new(&only).with_context(|| format!("ORCH_ONLY={only}"))?;
    let repeat = env::var("ORCH_REPEAT")
        .ok()
        .map(|n| n.parse().context("ORCH_REPEAT"))
        .transpose()?;
    let trials = List::load()?
        .programs
        .into_iter()
        .filter(|(name, _)| only.is_match(name))
        .flat_map(|(name, program)| trials(&name, &program, repeat))
        .collect();
    Ok(libtest_mimic::run(&arguments, trials).exit_code())
}

fn trials(name: &str, program: &Program, repeat: Option<u32>) -> Vec<Trial> {
    let users: &[User] = match (program.user, is_root()) {
        (Users::Both, true) => &[User::Own, User::Ordinary],
        (Users::Root, true) | (Users::Both | Users::User, false) => &[User::Own],
        (Users::User, true) => &[User::Ordinary],
        (Users::Root, false) => &[],
    };
    users
        .iter()
        .map(|&user| trial(name, program.clone(), user, repeat))
        .collect()
}

fn trial(name: &str, program: Program, user: User, repeat: Option<u32>) -> Trial {
    let root = user == User::Own && is_root();
    let name = format!("{name}::{}", if root { "root" } else { "user" });
    let kind = if program.known.is_some() { "known" } else { "" };
    Trial::ignorable_test(name, move || {
        let result = program.test(user, repeat);
        match (result, &program.known) {
            (Ok(()), None) => Ok(Completion::Completed),
            (Err(e), None) => Err(Failed::from(format!("{e:#}"))),
            (Err(e), Some(reason)) => {
                if env::var_os("ORCH_SHOW_KNOWN").is_some() {
                    eprintln!("{e:#}");
                }
                Ok(Completion::ignored_with(format!("fails, known: {reason}")))
            }
            (Ok(()), Some(_)) if program.sometimes => Ok(Completion::Completed),
            (Ok(()), Some(_)) => Err(Failed::from(
                "passes now: remove its `known` from programs.toml",
            )),
        }
    })
    .with_kind(kind)
}
