//! What happens when things are killed, missing, damaged or full: the recorder
//! says so in a sentence, nothing panics or hangs, and what is there is readable.

use anyhow::{Context as _, Result, ensure};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use orch_tests::fixture;
use orch_tests::orch::{Place, User, is_root};
use orch_tests::run::{self, Outcome};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

/// Pipelines that go on for two seconds or so, and then end by themselves.
const BUSY: &str =
    "for i in {1..50}; do find /usr/share/doc | sort | head -n 100 | sha256sum; done";
/// A shell that computes for a second.
const COMPUTE: &str = "for ((i = 0; i < 1000000; i++)); do :; done";

/// Exit code, a message that names the matter, no panic.
fn refuses(outcome: &Outcome, words: &[&str]) -> Result<()> {
    ensure!(
        outcome.orderly() && outcome.code() != Some(0),
        "should have been refused\n{outcome}"
    );
    ensure!(
        words.iter().any(|w| outcome.stderr.contains(w)),
        "should say one of {words:?}\n{outcome}"
    );
    Ok(())
}

/// Kills `victim` of the processes that `orch record` started, after `delay`.
/// Tells how the supervisor came out, if it was not the victim.
fn kill_while_recording(
    place: &Place,
    delay: u64,
    victim: impl Fn(i32, &[i32]) -> Option<i32>,
) -> Result<()> {
    let mut command = place.record(&["bash", "-c", BUSY]);
    let mut orch = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let root = orch.id().cast_signed();
    sleep(Duration::from_millis(delay));
    let mut below = run::descendants(root);
    below.retain(|&pid| !is_orch(pid));
    if let Some(pid) = victim(root, &below)
        && let Err(e) = kill(Pid::from_raw(pid), Signal::SIGKILL)
        && e != Errno::ESRCH
    {
        // It may have ended by itself in the meantime.
        return Err(e.into());
    }
    let status = run::wait(&mut orch, LIMIT)?;
    ensure!(status.is_some(), "orch record hangs after the kill");
    end_soon(&below)
}

/// What outlived its supervisor must end soon.
fn end_soon(below: &[i32]) -> Result<()> {
    for _ in 0..100 {
        if below.iter().all(|&pid| !alive(pid)) {
            return Ok(());
        }
        sleep(Duration::from_millis(100));
    }
    let left: Vec<i32> = below.iter().copied().filter(|&p| alive(p)).collect();
    left.iter().for_each(|&pid| run::kill_tree(pid));
    anyhow::bail!("still there 10 seconds later: {left:?}")
}

fn is_orch(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|c| c.trim() == "orch")
}

fn alive(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|s| !s.contains(") Z "))
}

#[test]
fn a_killed_process_replays_up_to_its_end() -> Result<()> {
    for round in 0..10 {
        let place = Place::new(User::Own)?;
        kill_while_recording(&place, 150 + 37 * round, |_, below| {
            below.get(round as usize % below.len().max(1)).copied()
        })?;
        place
            .check(LIMIT)
            .with_context(|| format!("round {round}"))?;
    }
    Ok(())
}

/// A vfork child that finds no recorder ends with the process in whose memory it is, which would
/// start the next one.
#[test]
fn what_vforks_ends_without_its_supervisor() -> Result<()> {
    let place = Place::new(User::Own)?;
    let errors = place.path().join("errors");
    let mut orch = place
        .record(&["dash", "-c", "while :; do sleep 0.05; done"])
        .stderr(fs::File::create(&errors)?)
        .spawn()?;
    sleep(Duration::from_millis(500));
    let recorded = run::descendants(orch.id().cast_signed());
    orch.kill()?;
    orch.wait()?;
    end_soon(&recorded)?;
    let said = fs::read_to_string(&errors)?;
    ensure!(
        said.matches("orch: p1: the recorder").count() == 1,
        "{said}"
    );
    place.check(LIMIT)
}

#[test]
fn a_killed_supervisor_leaves_a_readable_session() -> Result<()> {
    for round in 0..5 {
        let place = Place::new(User::Own)?;
        kill_while_recording(&place, 150 + 91 * round, |orch, _| Some(orch))?;
        let ls = place.read(&["ls"], LIMIT)?;
        ensure!(ls.code() == Some(0), "ls, round {round}\n{ls}");
        place
            .check(LIMIT)
            .with_context(|| format!("round {round}"))?;
    }
    Ok(())
}

/// A fault that nobody handles is told like any other end.
#[test]
fn faults_are_told() -> Result<()> {
    const FAULTS: [(&str, &str); 3] = [
        ("import ctypes; ctypes.string_at(0)", "SIGSEGV"),
        ("import os; os.abort()", "SIGABRT"),
        (
            "import os, signal; os.kill(os.getpid(), signal.SIGFPE)",
            "SIGFPE",
        ),
    ];
    for (program, signal) in FAULTS {
        let place = Place::new(User::Own)?;
        let outcome = run::run(&mut place.record(&["python3", "-c", program]), LIMIT)?;
        ensure!(outcome.code().is_some_and(|code| code > 128), "{outcome}");
        let ls = place.read(&["ls"], LIMIT)?;
        ensure!(ls.stdout.contains(&format!("killed by {signal}")), "{ls}");
        place.check(LIMIT)?;
    }
    Ok(())
}

#[test]
fn a_stopped_process_goes_on() -> Result<()> {
    let place = Place::new(User::Own)?;
    let mut command = place.record(&[
        "bash",
        "-c",
        "for i in {1..200}; do /bin/true; done; sleep 0.3",
    ]);
    let mut orch = command.stdin(Stdio::null()).spawn()?;
    for _ in 0..5 {
        sleep(Duration::from_millis(60));
        let below = run::descendants(orch.id().cast_signed());
        let below: Vec<i32> = below.into_iter().filter(|&p| !is_orch(p)).collect();
        for signal in [Signal::SIGSTOP, Signal::SIGCONT] {
            for &pid in &below {
                let _ = kill(Pid::from_raw(pid), signal);
            }
            sleep(Duration::from_millis(30));
        }
    }
    let status = run::wait(&mut orch, LIMIT)?.context("orch record hangs")?;
    ensure!(status.success(), "{status}");
    place.check(LIMIT)
}

#[test]
fn ctrl_c_leaves_a_usable_session() -> Result<()> {
    use std::os::unix::process::CommandExt as _;
    let place = Place::new(User::Own)?;
    let record = place.record(&["bash", "-c", "sleep 20"]);
    // Whoever runs the tests may ignore it.
    let mut command = place.command("env");
    let mut orch = command
        .arg("--default-signal=INT")
        .arg(record.get_program())
        .args(record.get_args())
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()?;
    sleep(Duration::from_millis(500));
    nix::sys::signal::killpg(Pid::from_raw(orch.id().cast_signed()), Signal::SIGINT)?;
    let status = run::wait(&mut orch, LIMIT)?.context("orch record hangs")?;
    ensure!(status.code() == Some(130), "{status}");
    place.check(LIMIT)
}

/// Also those that are just being forked when the root ends are ended, and have recordings.
#[test]
fn what_outlives_the_root_is_ended_and_recorded() -> Result<()> {
    for round in 0..20 {
        let place = Place::new(User::Own)?;
        let script = "sleep 100 & setsid sleep 101 & echo root";
        let outcome = run::run(
            &mut place.record_with(&["--until=root"], &["sh", "-c", script]),
            LIMIT,
        )?;
        ensure!(
            outcome.code() == Some(0) && outcome.stderr.lines().count() == 1,
            "round {round}\n{outcome}"
        );
        place
            .check(LIMIT)
            .with_context(|| format!("round {round}"))?;
    }
    Ok(())
}

#[test]
fn the_program_gets_the_signals_that_orch_got() -> Result<()> {
    const SHOW: [&str; 4] = ["grep", "-E", "^Sig(Ign|Blk)", "/proc/self/status"];
    let place = Place::new(User::Own)?;
    let with_signals = |command: &Command| {
        let mut env = place.command("env");
        env.args(["--default-signal", "--ignore-signal=HUP,INT,PIPE,CHLD"])
            .arg("--block-signal=TERM,USR1")
            .arg(command.get_program())
            .args(command.get_args());
        env
    };
    let mut native = place.command(SHOW[0]);
    native.args(&SHOW[1..]);
    let native = run::run(&mut with_signals(&native), LIMIT)?;
    let recorded = run::run(&mut with_signals(&place.record(&SHOW)), LIMIT)?;
    ensure!(
        native.code() == Some(0) && recorded.stdout == native.stdout,
        "should be as without orch\n{native}\n{recorded}"
    );
    place.check(LIMIT)
}

/// Tries to record each of these, alone.
fn all_refused(place: &Place, cases: &[(String, &[&str])]) -> Result<()> {
    for (program, words) in cases {
        let outcome = run::run(&mut place.record(&[program]), LIMIT)?;
        refuses(&outcome, words).with_context(|| program.clone())?;
        ensure!(
            !place.session().exists(),
            "{program}: an empty session was left behind"
        );
    }
    Ok(())
}

/// An executable file with this content.
fn executable(place: &Place, name: &str, bytes: &[u8]) -> Result<String> {
    let path = place.work().join(name);
    fs::write(&path, bytes)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(path.display().to_string())
}

#[test]
fn programs_that_cannot_run() -> Result<()> {
    let place = Place::new(User::Own)?;
    let plain = executable(&place, "plain", b"#!/bin/sh\n")?;
    fs::set_permissions(&plain, fs::Permissions::from_mode(0o644))?;
    let missing: &[&str] = &["no such program", "No such file"];
    let refused: &[&str] = &["may not be executed", "ermission denied"];
    all_refused(
        &place,
        &[
            ("no-such-program".to_owned(), missing),
            ("/no/such/program".to_owned(), missing),
            (plain, refused),
            ("/etc".to_owned(), refused),
            (executable(&place, "elf32", &elf32(3))?, &["x86-64"]),
        ],
    )
}

/// A program that is there is not said to be missing where what is to execute it is.
#[test]
fn programs_whose_interpreter_is_missing() -> Result<()> {
    let place = Place::new(User::Own)?;
    let script = executable(&place, "script", b"#!/no/such/shell\n")?;
    let windows = executable(&place, "windows", b"#!/bin/sh\r\necho\r\n")?;
    let mut linked = fs::read("/bin/true")?;
    let linker = b"/lib64/ld-linux";
    let at = linked.windows(linker.len()).position(|w| w == linker);
    linked[at.context("/bin/true has no dynamic linker")? + 1] = b'X';
    let linked = executable(&place, "linked", &linked)?;
    all_refused(
        &place,
        &[
            (script, &["/no/such/shell, does not exist"]),
            (windows, &["/bin/sh with a carriage return"]),
            (linked, &["/Xib64/ld-linux-x86-64.so.2, does not exist"]),
        ],
    )
}

#[test]
fn programs_for_other_machines() -> Result<()> {
    let place = Place::new(User::Own)?;
    let words: &[&str] = &["x86-64", "xec format"];
    let arm = executable(&place, "arm", &elf64(183))?;
    let cut = executable(&place, "cut", &elf64(62)[..40])?;
    all_refused(&place, &[(arm, words), (cut, words)])
}

#[test]
fn a_32_bit_child_is_reported() -> Result<()> {
    let place = Place::new(User::Own)?;
    executable(&place, "elf32", &elf32(3))?;
    let outcome = run::run(
        &mut place.record(&["sh", "-c", "./elf32; echo code $?"]),
        LIMIT,
    )?;
    ensure!(
        outcome.code() == Some(0) && outcome.stdout.contains("code "),
        "{outcome}"
    );
    ensure!(
        outcome.stderr.contains("not an x86-64 program"),
        "not reported\n{outcome}"
    );
    place.check(LIMIT)
}

/// Of a call that does many things, it is said which could not be recorded.
#[test]
fn refused_calls_are_told_with_what_was_wanted() -> Result<()> {
    let place = Place::new(User::Own)?;
    let program = "
import fcntl, socket
for request in (0x8946, 0xc020660b, 0x8946):
    try: fcntl.ioctl(socket.socket(), request, bytes(64))
    except OSError: pass
";
    let outcome = run::run(&mut place.record(&["python3", "-c", program]), LIMIT)?;
    let ls = place.read(&["ls"], LIMIT)?;
    ensure!(
        ls.stdout.contains("ioctl SIOCETHTOOL, 2 times")
            && ls.stdout.contains("ioctl FS_IOC_FIEMAP, 1 time\n")
            && outcome.stderr.contains("ioctl SIOCETHTOOL cannot be"),
        "{outcome}\n{ls}"
    );
    place.check(LIMIT)
}

/// The smallest 32-bit program: `exit(code)` by int 0x80.
fn elf32(code: u8) -> Vec<u8> {
    let mut b = vec![0x7f, b'E', b'L', b'F', 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let base: u32 = 0x0804_8000;
    b.extend([2, 0, 3, 0]);
    for word in [1, base + 84, 52, 0, 0] {
        b.extend(u32::to_le_bytes(word));
    }
    b.extend([52, 0, 32, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    for word in [1, 0, base, base, 96, 96, 5, 4096] {
        b.extend(u32::to_le_bytes(word));
    }
    // mov $1,%eax; mov $code,%ebx; int $0x80
    b.extend([0xb8, 1, 0, 0, 0, 0xbb, code, 0, 0, 0, 0xcd, 0x80]);
    b
}

/// The header of a 64-bit program for another machine.
fn elf64(machine: u8) -> Vec<u8> {
    let mut b = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    b.extend([2, 0, machine, 0, 1, 0, 0, 0]);
    b.resize(64, 0);
    b[52] = 64;
    b.resize(4096, 0);
    b
}

#[test]
fn output_directories() -> Result<()> {
    let place = Place::new(User::Ordinary)?;
    fs::create_dir(place.session())?;
    let existing = run::run(&mut place.record(&["true"]), LIMIT)?;
    refuses(&existing, &["exists"])?;
    fs::remove_dir(place.session())?;
    for directory in ["/proc/orch-session", "/dev/null/session"] {
        let mut command = place.command(place.orch());
        command.args(["record", "-o", directory, "--", "true"]);
        refuses(&run::run(&mut command, LIMIT)?, &[directory])?;
    }
    if is_root() {
        // Not writable for an ordinary user.
        let mut command = place.command(place.orch());
        command.args(["record", "-o", "/usr/orch-session", "--", "true"]);
        refuses(&run::run(&mut command, LIMIT)?, &["/usr/orch-session"])?;
    }
    Ok(())
}

#[test]
fn sessions_that_are_none() -> Result<()> {
    let place = Place::new(User::Own)?;
    refuses(&place.read(&["replay", "--check"], LIMIT)?, &["session"])?;
    fs::create_dir(place.session())?;
    refuses(&place.read(&["replay", "--check"], LIMIT)?, &["session"])?;
    refuses(&place.read(&["ls"], LIMIT)?, &["session"])
}

/// A small linear congruential generator: the damage is the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or(0) % n.max(1)
    }
}

fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        match path.is_dir() {
            true => found.extend(files(&path)?),
            false => found.push(path),
        }
    }
    found.sort();
    Ok(found)
}

#[test]
fn damaged_sessions_are_errors() -> Result<()> {
    let place = Place::new(User::Own)?;
    let recorded = run::run(
        &mut place.record(&["bash", "-c", "ls /usr/lib | sort | head -n 3; exit 0"]),
        LIMIT,
    )?;
    ensure!(recorded.code() == Some(0), "{recorded}");
    let all: Vec<PathBuf> = files(&place.session())?
        .into_iter()
        .filter(|p| !p.starts_with(place.session().join("files")))
        .collect();
    let mut dice = Dice(4711);
    for round in 0..40 {
        let path = &all[dice.below(all.len())];
        let sound = fs::read(path)?;
        let mut bytes = sound.clone();
        let how = match round % 3 {
            0 => {
                bytes.truncate(dice.below(sound.len()));
                "cut"
            }
            1 => {
                for _ in 0..=dice.below(8) {
                    let at = dice.below(bytes.len());
                    bytes[at] ^= 1 << dice.below(8);
                }
                "bits flipped"
            }
            _ => {
                let at = dice.below(bytes.len());
                bytes[at..].fill_with(|| u8::try_from(dice.below(256)).unwrap_or(0));
                "overwritten"
            }
        };
        fs::write(path, &bytes)?;
        for arguments in [&["replay", "--check"][..], &["ls"]] {
            let outcome = place.read(arguments, Duration::from_secs(20))?;
            ensure!(
                outcome.orderly(),
                "round {round}, {how}: {}, {arguments:?}\n{outcome}",
                path.display()
            );
        }
        fs::write(path, &sound)?;
    }
    place.check(LIMIT)
}

/// A session may come from anybody: what is no regular file in it holds nobody up.
#[test]
fn a_session_of_fifos_and_devices_is_refused() -> Result<()> {
    const COMMANDS: [&[&str]; 8] = [
        &["ls"],
        &["events"],
        &["replay", "--check"],
        &["inspect", "p1@end"],
        &["shm"],
        &["graph"],
        &["ublame", "x"],
        &["index"],
    ];
    let place = Place::new(User::Own)?;
    let recorded = run::run(&mut place.record(&["sh", "-c", "ls / | sort"]), LIMIT)?;
    ensure!(recorded.code() == Some(0), "{recorded}");
    for name in [
        "session.json",
        "cpuid.json",
        "p1.events",
        "files/index.jsonl",
        "files/0",
        "blame.index",
    ] {
        let path = place.session().join(name);
        let sound = fs::read(&path).ok();
        let mode = nix::sys::stat::Mode::S_IRWXU;
        let others: [&dyn Fn() -> Result<()>; 2] =
            [&|| Ok(nix::unistd::mkfifo(&path, mode)?), &|| {
                Ok(std::os::unix::fs::symlink("/dev/zero", &path)?)
            }];
        for (n, put) in others.iter().enumerate() {
            let _ = fs::remove_file(&path);
            put()?;
            for arguments in COMMANDS {
                let outcome = place.read(arguments, Duration::from_secs(20))?;
                ensure!(outcome.orderly(), "{name}, {n}, {arguments:?}\n{outcome}");
            }
        }
        let _ = fs::remove_file(&path);
        if let Some(sound) = sound {
            fs::write(&path, sound)?;
        }
    }
    place.check(LIMIT)
}

#[test]
fn a_full_disk_is_said() -> Result<()> {
    if !is_root() {
        eprintln!("skipped: only root can mount a small file system");
        return Ok(());
    }
    let place = Place::new(User::Own)?;
    let small = place.path().join("small");
    fs::create_dir(&small)?;
    let small = Mount::new(small)?;
    let session = small.0.join("session").display().to_string();
    let mut command = place.command(place.orch());
    let script = "for i in 1 2 3; do head -c 20000000 /dev/urandom | cat | cksum; done; echo end";
    command.args(["record", "-o", &session, "--", "bash", "-c", script]);
    let outcome = run::run(&mut command, LIMIT)?;
    ensure!(outcome.orderly(), "{outcome}");
    ensure!(
        ["o space left", "disk is full"]
            .iter()
            .any(|w| outcome.stderr.contains(w)),
        "not said\n{outcome}"
    );
    let mut ls = place.command(place.orch());
    let ls = run::run(ls.args(["-s", &session, "ls"]), LIMIT)?;
    ensure!(ls.orderly(), "{ls}");
    Ok(())
}

/// A tmpfs of 16 MiB, unmounted when dropped.
struct Mount(PathBuf);

impl Mount {
    fn new(at: PathBuf) -> Result<Self> {
        let flags = nix::mount::MsFlags::empty();
        nix::mount::mount(Some("tmpfs"), &at, Some("tmpfs"), flags, Some("size=16m"))
            .context("mount")?;
        Ok(Self(at))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = nix::mount::umount2(&self.0, nix::mount::MntFlags::MNT_DETACH);
    }
}

#[test]
fn a_difference_in_memory_is_found_to_the_page() -> Result<()> {
    let place = Place::new(User::Own)?;
    fixture::build("memory/unasked.c", None, &[], &place.work().join("unasked"))?;
    let recorded = run::run(&mut place.record(&["./unasked"]), LIMIT)?;
    let address = recorded.stdout.trim().trim_start_matches("0x");
    let page = u64::from_str_radix(address, 16).with_context(|| recorded.to_string())? & !0xfff;
    let replay = place.read(&["replay", "--check"], LIMIT)?;
    let said = format!("memory differs in the page at {page:#x} ");
    ensure!(
        replay.code() == Some(1) && replay.stdout.contains(&said),
        "should say {said:?}\n{replay}"
    );
    Ok(())
}

#[test]
fn more_places_than_stubs_are_slow_and_said() -> Result<()> {
    let (place, recorded) = fixture::recorded("memory/many_places.c", "many_places", &[])?;
    let said = "reaches shared memory from more places";
    ensure!(recorded.stderr.matches(said).count() == 1, "{recorded}");
    let replay = place.read(&["replay", "--check"], LIMIT)?;
    ensure!(replay.code() == Some(0), "{replay}");
    Ok(())
}

/// That a process is gone does not mean that it came to the end, also where the recorded one
/// was killed.
#[test]
fn a_replay_that_is_killed_is_told() -> Result<()> {
    let place = Place::new(User::Own)?;
    let script = format!("{COMPUTE}; echo; kill -9 $$");
    let recorded = run::run(&mut place.record(&["bash", "-c", &script]), LIMIT)?;
    ensure!(recorded.code() == Some(137), "{recorded}");
    let mut command = place.command(place.orch());
    command.arg("-s").arg(place.session()).arg("replay");
    let out = place.path().join("out");
    let mut replay = command
        .stdout(fs::File::create(&out)?)
        .stderr(fs::File::options().append(true).open(&out)?)
        .spawn()?;
    sleep(Duration::from_millis(400));
    ensure!(replay.try_wait()?.is_none(), "it was too quick");
    for pid in run::descendants(replay.id().cast_signed()) {
        // Some end with others.
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
    let status = run::wait(&mut replay, LIMIT)?.context("it hangs")?;
    let said = fs::read_to_string(&out)?;
    ensure!(
        status.code() == Some(1) && said.contains("was killed"),
        "{status}: {said}"
    );
    place.none_left(Duration::from_millis(500))
}

/// Processes that are checked compute without looking at anything: they end with the check,
/// those too that their recorded parents have forked.
#[test]
fn nothing_is_left_of_a_check_that_is_killed() -> Result<()> {
    let place = Place::new(User::Own)?;
    let script = format!("({COMPUTE}) & {COMPUTE}; wait");
    let recorded = run::run(&mut place.record(&["bash", "-c", &script]), LIMIT)?;
    ensure!(recorded.code() == Some(0), "{recorded}");
    let mut command = place.command(place.orch());
    command.arg("-s").arg(place.session());
    let mut check = command
        .args(["replay", "--check"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    sleep(Duration::from_millis(400));
    ensure!(check.try_wait()?.is_none(), "it was too quick");
    check.kill()?;
    check.wait()?;
    place.none_left(Duration::from_millis(500))
}
