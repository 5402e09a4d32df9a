//! `orch dap`: recordings in an editor's debugger.

use super::serve::address;
use crate::dap;
use anyhow::{Context as _, Result};
use clap::Parser;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::ExitCode;

#[derive(Debug, Parser)]
#[command(after_help = "\
Examples:
  orch dap                       for an editor that starts it
  orch dap --listen :4711        for one that connects (VS Code: \"debugServer\": 4711)

The debug adapter protocol, through gdb, which must be there. The client launches (or
attaches) with \"session\" and \"position\", like p3@18402; without these, it is the newest
session, where the first of its processes crashed. docs/ide.md has configurations.")]
pub struct Args {
    /// Address to listen at, without a host on this machine only. Each connection has
    /// a debugger of its own; who connects can run programs as you, by gdb's commands.
    #[arg(long, value_name = "[HOST]:PORT")]
    listen: Option<String>,
}

/// Runs the command.
pub fn run(session: Option<&Path>, args: &Args) -> Result<ExitCode> {
    let Some(listen) = &args.listen else {
        return dap::serve(session);
    };
    let listener = TcpListener::bind(address(listen)?)
        .with_context(|| format!("cannot listen at {listen}"))?;
    eprintln!("orch: debug adapter at {}", listener.local_addr()?);
    let mut adapters = Vec::new();
    loop {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        let mut adapter = dap::tethered(std::env::current_exe()?)?;
        if let Some(session) = session {
            adapter.arg("-s").arg(session);
        }
        adapter
            .arg("dap")
            .stdin(OwnedFd::from(stream.try_clone()?))
            .stdout(OwnedFd::from(stream));
        adapters.push(adapter.spawn()?);
        // Those that have ended are reaped.
        adapters.retain_mut(|adapter| matches!(adapter.try_wait(), Ok(None)));
    }
}
