//! Builds the runtime for the bare target and hands its image to `blob.rs`.

use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

const TARGET: &str = "x86_64-unknown-none";

fn main() {
    for path in [
        "runtime/src",
        "runtime/Cargo.toml",
        "runtime/Cargo.lock",
        "abi/src",
        "build.rs",
    ] {
        println!("cargo::rerun-if-changed={path}");
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let target_dir = out.join("runtime");
    let mut cargo = Command::new(env::var_os("CARGO").expect("cargo sets CARGO"));
    cargo
        .args(["build", "--release", "--locked", "--target", TARGET])
        .args(["--manifest-path", "runtime/Cargo.toml", "--target-dir"])
        .arg(&target_dir);
    // What concerns the outer build (flags, clippy's wrapper) must not reach the inner one.
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_") && name != "CARGO_HOME"
            || name.starts_with("RUSTC")
            || name == "RUSTFLAGS"
        {
            cargo.env_remove(&*name);
        }
    }
    let status = cargo.status().expect("cargo can be run");
    assert!(
        status.success(),
        "building the runtime failed; is its target installed? `rustup target add {TARGET}`"
    );
    let elf = target_dir.join(TARGET).join("release/orch-runtime");
    fs::copy(elf, out.join("runtime.elf")).expect("the runtime was built");
}
