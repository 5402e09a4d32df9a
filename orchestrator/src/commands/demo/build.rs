//! Builds an example with the compiler at hand.

use super::example::Language;
use super::tour::Tour;
use anyhow::{Context as _, Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::{env, fs};

/// A kind of source, and what compiles it.
struct Tool {
    /// Extension of sources.
    extension: &'static str,
    /// What the makefile calls its flags, and users the compiler.
    flags: &'static str,
    variable: &'static str,
    names: &'static [&'static str],
    missing: &'static str,
}

const C: Tool = Tool {
    extension: "c",
    flags: "CFLAGS",
    variable: "CC",
    names: &["cc", "gcc", "clang"],
    missing: "there is no C compiler; install one (Debian, Ubuntu: apt-get install gcc libc6-dev; \
              Fedora: dnf install gcc; Arch: pacman -S gcc), or try `orch demo lost-update`, which \
              only needs Python",
};
const CPP: Tool = Tool {
    extension: "cpp",
    flags: "CXXFLAGS",
    variable: "CXX",
    names: &["c++", "g++", "clang++"],
    missing: "there is no C++ compiler; install one (Debian, Ubuntu: apt-get install g++; \
              Fedora: dnf install gcc-c++; Arch: pacman -S gcc), or try `orch demo lost-update`, \
              which only needs Python",
};

/// Builds the programs into `build/`, or finds what runs them.
pub fn build(tour: &mut Tour) -> Result<()> {
    match tour.example.language {
        Language::C => compile(tour, &C),
        Language::Cpp => compile(tour, &CPP),
        Language::Python => {
            let python = python()?;
            tour.set("PYTHON", &python);
            Ok(())
        }
    }
}

fn compile(tour: &mut Tour, tool: &Tool) -> Result<()> {
    let named = env::var(tool.variable).ok().filter(|name| in_path(name));
    let usual = || tool.names.iter().find(|name| in_path(name));
    let Some(compiler) = named.or_else(|| usual().map(|&name| name.to_owned())) else {
        bail!("{}", tool.missing);
    };
    let flags = tour.example.makefile(tool.flags);
    let programs = tour.example.makefile("PROGRAMS");
    tour.say(&format!(
        "Building {} ({compiler} {})",
        programs.join(", "),
        flags.join(" ")
    ))?;
    fs::create_dir(tour.dir().join("build")).context("cannot build")?;
    let start = |program: &&str| -> Result<Child> {
        let mut command = Command::new(&compiler);
        command
            .args(&flags)
            .arg("-o")
            .arg(format!("build/{program}"));
        command.arg(format!("{program}.{}", tool.extension));
        let child = command
            .current_dir(tour.dir())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        child.with_context(|| format!("cannot run {compiler}"))
    };
    let running: Result<Vec<Child>> = programs.iter().map(start).collect();
    for (program, child) in programs.iter().zip(running?) {
        let output = child.wait_with_output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("{compiler} cannot build {program}:\n{said}");
        }
    }
    Ok(())
}

/// The interpreter itself: the wrappers that version managers put around it
/// would be recorded too.
fn python() -> Result<String> {
    let script = "import sys; print(sys.executable)";
    let output = Command::new("python3").args(["-c", script]).output();
    let found = output.ok().filter(|output| output.status.success());
    match found.and_then(|output| String::from_utf8(output.stdout).ok()) {
        Some(path) => Ok(path.trim().to_owned()),
        None => bail!(
            "there is no python3; install it (Debian, Ubuntu: apt-get install python3), or try \
             `orch demo`, which needs a C++ compiler"
        ),
    }
}

fn in_path(name: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let is_there = |dir: PathBuf| dir.join(name).is_file();
    match name.contains('/') {
        true => Path::new(name).is_file(),
        false => env::split_paths(&path).any(is_there),
    }
}
