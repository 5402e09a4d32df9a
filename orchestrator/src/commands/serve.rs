//! `orch serve`: a recording for debuggers that speak gdb's remote protocol.

use crate::gdb::{Stdio, Wire, serve, serve_hits};
use crate::position::Position;
use crate::travel::Travel;
use anyhow::{Context as _, Result, bail};
use clap::Parser;
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// A debugger that is told that it is disconnected comes back sooner than the server knows.
const GOING: Duration = Duration::from_millis(500);

#[derive(Debug, Parser)]
#[command(after_help = "\
Examples:
  orch serve p3@18402 --listen :1234    then, in gdb: target remote :1234
  orch serve p3@end --stdio             for gdb's `target remote | orch serve …`

Continue, step, breakpoints and watchpoints work both ways. docs/ide.md tells how
to use it from VS Code, CLion and others.")]
pub struct Args {
    /// Where to begin: p3@18402, p3@start, p3@end.
    position: Position,
    /// Address to listen at; without a host, on this machine only.
    #[arg(long, value_name = "[HOST]:PORT", default_value = ":1234")]
    listen: String,
    /// Speak on standard input and output.
    #[arg(long, conflicts_with = "listen")]
    stdio: bool,
    /// Serve one debugger after the other, until interrupted.
    #[arg(long, conflicts_with = "stdio")]
    keep: bool,
    /// For `orch log`: a file that says where `monitor hit` stops.
    #[arg(long, hide = true, requires = "stdio")]
    hits: Option<PathBuf>,
}

/// Runs the command.
pub fn run(session: Option<&Path>, args: &Args) -> Result<ExitCode> {
    let open = |interrupt| -> Result<Travel> {
        let session = super::locate(session)?;
        super::recordings(&session, Some(args.position.recording))?;
        let mut travel = Travel::open_until(session, args.position.recording, interrupt)?;
        travel.go_to(&args.position)?;
        Ok(travel)
    };
    // Ctrl-C in the debugger's terminal is not for the processes here.
    if args.stdio {
        let _ = nix::unistd::setsid();
        let wire = Wire::from(Stdio);
        let interrupt = Arc::default();
        wire.interrupts().forward(Some(Arc::clone(&interrupt)));
        let travel = open(interrupt)?;
        match &args.hits {
            Some(file) => {
                let wanted = serde_json::from_slice(&std::fs::read(file)?)?;
                serve_hits(travel, wire, wanted)?;
            }
            None => serve(travel, wire)?,
        }
        return Ok(ExitCode::SUCCESS);
    }
    let listener = TcpListener::bind(address(&args.listen)?)
        .with_context(|| format!("cannot listen at {}", args.listen))?;
    let at = listener.local_addr()?;
    let (busy, from) = accept(listener);
    loop {
        // There before anybody waits for it.
        let travel = open(Arc::default())?;
        eprintln!(
            "orch: {} at {at}; in gdb: target remote {at}",
            args.position
        );
        let stream = from.recv().context("nobody listens any more")?;
        let served = serve(travel, stream.try_into()?);
        busy.store(false, Ordering::Relaxed);
        served?;
        if !args.keep {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

/// Takes one debugger after the other; those that come while one is there are refused.
fn accept(listener: TcpListener) -> (Arc<AtomicBool>, Receiver<TcpStream>) {
    let (to, from) = channel();
    let busy = Arc::new(AtomicBool::new(false));
    let is_busy = Arc::clone(&busy);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // The last one may be about to go.
            let since = Instant::now();
            while is_busy.load(Ordering::Relaxed) && since.elapsed() < GOING {
                std::thread::sleep(GOING / 50);
            }
            if is_busy.swap(true, Ordering::Relaxed) {
                let who = stream.peer_addr().map(|a| a.to_string());
                let who = who.unwrap_or_else(|_| "somebody".to_owned());
                eprintln!("orch: {who} is refused: another debugger is here");
            } else if to.send(stream).is_err() {
                return;
            }
        }
    });
    (busy, from)
}

pub(super) fn address(text: &str) -> Result<SocketAddr> {
    let text = match text.strip_prefix(':') {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.to_owned(),
    };
    let found = text.to_socket_addrs().ok().and_then(|mut all| all.next());
    let Some(address) = found else {
        bail!("{text:?} is no address to listen at; write :1234 or 127.0.0.1:1234");
    };
    Ok(address)
}
