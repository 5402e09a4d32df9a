//! Random accesses to shared memory in all forms, recorded; each process keeps
//! a private log of what it did (`fixtures/memory/oracle.c`). What the
//! recording tells must be just that, for every byte at every time.
//!
//! `ORCH_ORACLE=FROM..TO` picks seeds, `ORCH_ORACLE_OPERATIONS=N` how much
//! each thread does between two checkpoints, `ORCH_ORACLE_KEEP=DIR` keeps what
//! a failure was found in.

mod actor;
mod history;
mod index;
mod loads;
mod seen;
mod stores;
mod trace;

use anyhow::{Context as _, Result, ensure};
use libtest_mimic::{Arguments, Failed, Trial};
use orch_recorder::session::Session;
use orch_tests::fixture;
use orch_tests::orch::{Place, User};
use orch_tests::run;
use std::process::{Command, ExitCode};
use std::time::Duration;
use std::{env, fs};

const LIMIT: Duration = Duration::from_secs(60);
/// What the regular run tests.
const SEEDS: &str = "1..21";

fn main() -> Result<ExitCode> {
    let mut arguments = Arguments::from_args();
    if arguments.test_threads.is_none() {
        // The processes of one seed keep all processors busy.
        arguments.test_threads = Some(1);
    }
    let seeds = env::var("ORCH_ORACLE").unwrap_or_else(|_| SEEDS.into());
    let seeds = seeds
        .split_once("..")
        .and_then(|(from, to)| Some(from.parse::<u32>().ok()?..to.parse().ok()?))
        .with_context(|| format!("ORCH_ORACLE={seeds}: it is written 1..201"))?;
    let trials = seeds.map(|seed| {
        Trial::test(format!("seed-{seed}"), move || {
            test(seed).map_err(|e| Failed::from(format!("{e:#}")))
        })
    });
    Ok(libtest_mimic::run(&arguments, trials.collect()).exit_code())
}

fn test(seed: u32) -> Result<()> {
    let place = Place::new(User::Own)?;
    let result = record(&place, seed).and_then(|()| compare(&place));
    if let (Err(_), Ok(keep)) = (&result, env::var("ORCH_ORACLE_KEEP")) {
        let to = format!("{keep}/seed-{seed}");
        fs::create_dir_all(&keep)?;
        Command::new("cp")
            .arg("-rT")
            .arg(place.path())
            .arg(&to)
            .status()?;
    }
    result
}

fn record(place: &Place, seed: u32) -> Result<()> {
    let program = place.path().join("oracle");
    // Some of its instructions are between a push and a pop.
    fixture::build("memory/oracle.c", None, &["-mno-red-zone".into()], &program)?;
    let operations = env::var("ORCH_ORACLE_OPERATIONS").unwrap_or_else(|_| "150".into());
    let program = program.display().to_string();
    let mut command = place.record(&[&program, &seed.to_string(), &operations]);
    let record = run::run(&mut command, LIMIT)?;
    ensure!(
        record.code() == Some(0) && record.stdout.contains("oracle ok"),
        "record:\n{record}"
    );
    place.check(LIMIT)
}

fn compare(place: &Place) -> Result<()> {
    let actors = actor::read_all(&place.work())?;
    let session = Session::open(&place.session())?;
    let trace = trace::read(&session, &actors)?;
    let history = history::History::new(&trace, &actors)?;
    let seen = seen::Seen::new(&trace, &history);
    let times = stores::check(&trace, &history, &seen, &actors).context("stores")?;
    loads::check_recorded(&trace, &history).context("recorded loads")?;
    loads::check_logged(&history, &seen, &actors, &times).context("loads of the program's log")?;
    index::check(&session, &trace, &history).context("the index")
}
