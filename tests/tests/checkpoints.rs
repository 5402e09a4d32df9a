//! Checkpoints on disk: what is seen at an instant is the same with and without them, and
//! damage to them does no harm.

use anyhow::{Context as _, Result, ensure};
use orch_tests::fixture;
use orch_tests::orch::{Place, User};
use orch_tests::run;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

const LIMIT: Duration = Duration::from_secs(300);

/// What is done about checkpoints, by a variable of the environment.
#[derive(Clone, Copy)]
enum Checkpoints {
    /// None is made or used.
    None,
    /// There is one wherever there can be one.
    All,
    /// Those that there are are used, and none is made.
    Old,
}

fn orch(place: &Place, checkpoints: Checkpoints, arguments: &[&str]) -> Result<String> {
    let (variable, value) = match checkpoints {
        Checkpoints::None => ("ORCH_CHECKPOINTS", "0"),
        Checkpoints::All => ("ORCH_CHECKPOINT_AFTER", "0"),
        Checkpoints::Old => ("ORCH_CHECKPOINT_AFTER", "1000000"),
    };
    let mut command = place.command(place.orch());
    command.arg("-s").arg(place.session()).args(arguments);
    let outcome = run::run(command.env(variable, value), LIMIT)?;
    ensure!(outcome.code() == Some(0), "{outcome}");
    Ok(outcome.stdout)
}

fn inspect(place: &Place, checkpoints: Checkpoints, position: &str) -> Result<String> {
    let what = ["--regs", "--backtrace", "--threads", "--mem", "$rsp:256"];
    let arguments = [&["inspect", position][..], &what].concat();
    orch(place, checkpoints, &arguments)
}

/// What memory is at some instants of each recording.
fn digests(place: &Place, checkpoints: Checkpoints) -> Result<String> {
    let arguments = ["walk", "-v", "-n", "4", "--steps", "20"];
    orch(place, checkpoints, &arguments)
}

fn files(place: &Place) -> Result<Vec<PathBuf>> {
    let dir = place.session().join("checkpoints");
    let entries = fs::read_dir(&dir).with_context(|| dir.display().to_string())?;
    let paths = entries.map(|e| Ok(e?.path()));
    paths.collect()
}

fn name(file: &Path) -> &str {
    let name = file.file_name().and_then(|name| name.to_str());
    name.unwrap_or_default()
}

/// From now on it shows when one is used.
fn make_old(files: &[PathBuf]) -> Result<()> {
    for file in files {
        fs::File::open(file)?.set_modified(SystemTime::UNIX_EPOCH)?;
    }
    Ok(())
}

fn is_old(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|m| m.modified().ok() == Some(SystemTime::UNIX_EPOCH))
}

/// Walks twice, and the second time from what the first has saved.
fn walk(place: &Place) -> Result<()> {
    for seed in ["1", "2"] {
        orch(
            place,
            Checkpoints::All,
            &["walk", "-n", "2", "--steps", "30", "--seed", seed],
        )?;
        let saved = files(place)?;
        ensure!(!saved.is_empty(), "nothing was saved");
        ensure!(
            seed == "1" || !saved.iter().all(|file| is_old(file)),
            "nothing was used"
        );
        make_old(&saved)?;
    }
    Ok(())
}

/// A check of the whole recording leaves some, and from them all is as from the start: also of
/// processes that fork later, which a check follows.
fn after_a_check(place: &Place) -> Result<()> {
    let fresh = digests(place, Checkpoints::None)?;
    let checked = orch(place, Checkpoints::All, &["replay", "--check"])?;
    ensure!(checked.contains("all as recorded"), "{checked}");
    let left = files(place)?;
    ensure!(!left.is_empty(), "nothing was left");
    make_old(&left)?;
    let again = digests(place, Checkpoints::Old)?;
    ensure!(fresh == again, "{fresh}\n{again}");
    let used = left.iter().any(|file| !is_old(file));
    ensure!(used, "replayed from the start");
    Ok(())
}

#[test]
fn left_with_threads() -> Result<()> {
    after_a_check(&fixture::recorded("threads/sync.c", "sync", &["-pthread".to_owned()])?.0)
}

#[test]
fn left_with_signals_and_forks() -> Result<()> {
    after_a_check(&fixture::recorded("signals/handlers.c", "handlers", &[])?.0)
}

#[test]
fn left_with_shared_memory() -> Result<()> {
    after_a_check(&fixture::recorded("memory/shared.c", "shared", &["-pthread".to_owned()])?.0)
}

#[test]
fn left_with_memory_that_children_do_not_get() -> Result<()> {
    after_a_check(&fixture::recorded("memory/fork_advice.c", "fork_advice", &[])?.0)
}

#[test]
fn instants_with_threads() -> Result<()> {
    walk(&fixture::recorded("threads/sync.c", "sync", &["-pthread".to_owned()])?.0)
}

#[test]
fn instants_with_signals() -> Result<()> {
    walk(&fixture::recorded("signals/handlers.c", "handlers", &[])?.0)
}

#[test]
fn instants_with_shared_memory() -> Result<()> {
    walk(&fixture::recorded("memory/shared.c", "shared", &["-pthread".to_owned()])?.0)
}

/// Checkpoints are children, too: they have what the program's are not to get.
#[test]
fn instants_with_memory_that_children_do_not_get() -> Result<()> {
    walk(&fixture::recorded("memory/fork_advice.c", "fork_advice", &[])?.0)
}

/// A recording that begins with a fork need not be reached by way of its parents again.
#[test]
fn python_and_its_children() -> Result<()> {
    let place = Place::new(User::Ordinary)?;
    let script = "\
import multiprocessing, os, threading
def work(n):
    t = threading.Thread(target=sum, args=(range(n),))
    t.start(); t.join()
    return os.getpid() and n
with multiprocessing.get_context('fork').Pool(2) as pool:
    print(pool.map(work, range(20)))";
    let recorded = run::run(&mut place.record(&["python3", "-c", script]), LIMIT)?;
    ensure!(recorded.code() == Some(0), "{recorded}");
    for position in ["p1@50%", "p1@end", "p2@start", "p2@50%", "p2@end"] {
        let fresh = inspect(&place, Checkpoints::None, position)?;
        let first = inspect(&place, Checkpoints::All, position)?;
        make_old(&files(&place)?)?;
        let again = inspect(&place, Checkpoints::All, position)?;
        ensure!(fresh == first, "{position}: {fresh}\n{first}");
        ensure!(fresh == again, "{position}: {fresh}\n{again}");
        let used = files(&place)?.iter().any(|file| !is_old(file));
        ensure!(used, "{position}: replayed from the start");
    }
    Ok(())
}

/// A child begins where its parent was saved before the fork, not where that began.
#[test]
fn a_parents_is_on_the_way_to_its_child() -> Result<()> {
    let place = Place::new(User::Ordinary)?;
    let script = "\
import os
for n in range(2000):
    os.getppid()
if os.fork() == 0:
    if os.fork() == 0:
        print('grandchild')
    else:
        os.wait()
else:
    os.wait()";
    let recorded = run::run(&mut place.record(&["python3", "-c", script]), LIMIT)?;
    ensure!(recorded.code() == Some(0), "{recorded}");
    let fresh = digests(&place, Checkpoints::None)?;
    inspect(&place, Checkpoints::All, "p1@50%")?;
    let mut parents = files(&place)?;
    for file in parents.extract_if(.., |f| !name(f).starts_with("p1-") || name(f) == "p1-0-0") {
        fs::remove_file(file)?;
    }
    ensure!(!parents.is_empty(), "nothing was saved");
    for child in ["p2", "p3"] {
        make_old(&parents)?;
        let there = inspect(&place, Checkpoints::None, &format!("{child}@50%"))?;
        let again = inspect(&place, Checkpoints::Old, &format!("{child}@50%"))?;
        ensure!(again == there, "{again}\n{there}");
        let used = parents.iter().any(|file| !is_old(file));
        ensure!(used, "{child}: replayed from the start");
    }
    let again = digests(&place, Checkpoints::Old)?;
    ensure!(fresh == again, "{fresh}\n{again}");
    Ok(())
}

/// A damaged one is not used, and made anew.
#[test]
fn damage() -> Result<()> {
    let (place, _) = fixture::recorded("threads/sync.c", "sync", &["-pthread".to_owned()])?;
    let fresh = inspect(&place, Checkpoints::None, "p1@50%")?;
    ensure!(
        !place.session().join("checkpoints").exists(),
        "saved unasked"
    );
    inspect(&place, Checkpoints::All, "p1@50%")?;
    for file in files(&place)? {
        let mut bytes = fs::read(&file)?;
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x55;
        fs::write(&file, bytes)?;
    }
    let saved = files(&place)?;
    make_old(&saved)?;
    ensure!(inspect(&place, Checkpoints::All, "p1@50%")? == fresh);
    let kept: Vec<_> = saved.iter().filter(|file| is_old(file)).collect();
    ensure!(kept.is_empty(), "damaged, and kept: {kept:?} of {saved:?}");
    for file in &saved {
        fs::write(file, "")?;
    }
    ensure!(inspect(&place, Checkpoints::All, "p1@50%")? == fresh);
    // Where there can be none.
    let dir = place.session().join("checkpoints");
    fs::remove_dir_all(&dir)?;
    fs::write(&dir, "")?;
    ensure!(inspect(&place, Checkpoints::All, "p1@50%")? == fresh);
    Ok(())
}

/// They take no more room than they may.
#[test]
fn limit() -> Result<()> {
    let (place, _) = fixture::recorded("threads/sync.c", "sync", &["-pthread".to_owned()])?;
    let mut count = 0;
    for part in (5..100).step_by(5) {
        let mut command = place.command(place.orch());
        command.arg("-s").arg(place.session());
        command.args(["inspect", &format!("p1@{part}%")]);
        command.env("ORCH_CHECKPOINT_AFTER", "0");
        let outcome = run::run(command.env("ORCH_CHECKPOINTS", "1"), LIMIT)?;
        ensure!(outcome.code() == Some(0), "{outcome}");
        let now = files(&place)?;
        let sizes = now.iter().map(|f| Ok(fs::metadata(f)?.len()));
        ensure!(sizes.sum::<Result<u64>>()? <= 1 << 20);
        count = count.max(now.len());
    }
    ensure!(count > 1, "too large for this test");
    Ok(())
}
