//! The workloads: what to run, and what must be there for it.

use anyhow::{Context as _, Result, ensure};
use std::fs;
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// One row of the table.
pub struct Workload {
    /// Name for `--only`.
    pub name: &'static str,
    /// What it is, for the table.
    pub title: &'static str,
    /// The ratio that must hold, and the one to come to.
    pub targets: (f64, f64),
    /// Command line; `$D` is the directory of what [`prepare`] made.
    pub command: &'static [&'static str],
    /// Made by the command, to be removed before the next run.
    pub leaves: Option<&'static str>,
    /// The cost is a difference in milliseconds, not a ratio.
    pub difference: bool,
}

const ROW: Workload = Workload {
    name: "",
    title: "",
    targets: (0.0, 0.0),
    command: &[],
    leaves: None,
    difference: false,
};

/// All of them, in the order of the table.
pub const ALL: &[Workload] = &[
    Workload {
        name: "startup",
        title: "start-up: `/bin/true`",
        targets: (8.0, 3.0),
        command: &["/bin/true"],
        difference: true,
        ..ROW
    },
    Workload {
        name: "gzip",
        title: "`gzip -9` of 20 MB",
        targets: (1.05, 1.02),
        command: &["gzip", "-9", "-c", "$D/text"],
        ..ROW
    },
    Workload {
        name: "two-cpu",
        title: "two CPU-bound processes at once",
        targets: (1.05, 1.02),
        command: &[
            "sh",
            "-c",
            "gzip -9 -c $D/text & gzip -9 -c $D/text > /dev/null; wait",
        ],
        ..ROW
    },
    Workload {
        name: "dd",
        title: "`dd bs=1 count=300000`",
        targets: (2.0, 1.4),
        command: &["dd", "if=/dev/zero", "of=/dev/null", "bs=1", "count=300000"],
        ..ROW
    },
    Workload {
        name: "pingpong",
        title: "pipe ping-pong, 20,000 round trips",
        targets: (1.5, 1.2),
        command: &["$D/pingpong"],
        ..ROW
    },
    Workload {
        name: "true300",
        title: "bash starting `/bin/true` 300 times",
        targets: (2.5, 1.5),
        command: &[
            "bash",
            "-c",
            "for ((i = 0; i < 300; i++)); do /bin/true; done",
        ],
        ..ROW
    },
    Workload {
        name: "make",
        title: "`make -j2` of 40 C files",
        targets: (2.0, 1.3),
        command: &["make", "-s", "-B", "-j2", "-C", "$D/project"],
        ..ROW
    },
    Workload {
        name: "cp",
        title: "`cp -a` of 3,000 files",
        targets: (1.4, 1.15),
        command: &["cp", "-a", "$D/tree", "$D/copy"],
        leaves: Some("copy"),
        ..ROW
    },
    Workload {
        name: "threads",
        title: "4 threads, a mutex each 200 operations",
        targets: (2.5, 2.1),
        command: &["$D/threads"],
        ..ROW
    },
    Workload {
        name: "ring",
        title: "shared-memory ring, 5,000,000 messages",
        targets: (6.0, 2.5),
        command: &["$D/ring"],
        ..ROW
    },
    Workload {
        name: "counter",
        title: "process-shared mutex, 8,000,000 increments",
        targets: (7.0, 3.0),
        command: &["$D/counter"],
        ..ROW
    },
    Workload {
        name: "frames",
        title: "64 frames of 8 MiB through shared memory",
        targets: (3.0, 1.2),
        command: &["$D/frames"],
        ..ROW
    },
    Workload {
        name: "redis",
        title: "Redis, 200,000 requests",
        targets: (1.6, 1.25),
        command: &["$D/redis"],
        ..ROW
    },
    Workload {
        name: "nginx",
        title: "nginx, two workers, 20,000 requests",
        targets: (1.6, 1.25),
        command: &["$D/nginx"],
        ..ROW
    },
    Workload {
        name: "pgbench",
        title: "PostgreSQL from initdb on, 4,000 transactions",
        targets: (3.0, 1.5),
        command: &["$D/pgbench"],
        ..ROW
    },
    Workload {
        name: "python",
        title: "Python `multiprocessing` with `shared_memory`",
        targets: (1.5, 1.15),
        command: &["/usr/bin/python3", "$D/shared.py"],
        ..ROW
    },
];

impl Workload {
    /// Its command line, with what was prepared in `dir`.
    pub fn command(&self, dir: &Path) -> Vec<String> {
        let dir = dir.to_string_lossy();
        self.command.iter().map(|a| a.replace("$D", &dir)).collect()
    }
}

/// Makes what the workloads need in `dir`.
pub fn prepare(dir: &Path) -> Result<()> {
    for (name, source) in [
        ("pingpong", include_str!("../programs/pingpong.c")),
        ("threads", include_str!("../programs/threads.c")),
        ("ring", include_str!("../programs/ring.c")),
        ("counter", include_str!("../programs/counter.c")),
        ("frames", include_str!("../programs/frames.c")),
    ] {
        compile(dir, name, source)?;
    }
    for (name, script) in [
        ("redis", include_str!("../programs/redis.sh")),
        ("nginx", include_str!("../programs/nginx.sh")),
        ("pgbench", include_str!("../programs/pgbench.sh")),
    ] {
        let path = dir.join(name);
        fs::write(&path, script)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    }
    fs::write(dir.join("shared.py"), include_str!("../programs/shared.py"))?;
    text(&dir.join("text"))?;
    project(&dir.join("project"))?;
    tree(&dir.join("tree"))
}

fn compile(dir: &Path, name: &str, source: &str) -> Result<()> {
    let mut gcc = Command::new("gcc");
    gcc.args(["-O2", "-pthread", "-x", "c", "-", "-o"]);
    let mut gcc = gcc
        .arg(dir.join(name))
        .stdin(Stdio::piped())
        .spawn()
        .context("gcc is needed to compile the workloads")?;
    let mut input = gcc.stdin.take().context("gcc has no input")?;
    input.write_all(source.as_bytes())?;
    drop(input);
    ensure!(gcc.wait()?.success(), "gcc cannot compile {name}.c");
    Ok(())
}

/// 20 MB that compress like text: words out of a few thousand.
fn text(path: &Path) -> Result<()> {
    let mut out = BufWriter::new(fs::File::create(path)?);
    let (mut x, mut len) = (1_u64, 0);
    let mut random = || {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (x >> 33) as usize
    };
    let letters = b"etaoinshrdlucmfwypvbgkjqxz";
    let mut word = || -> Vec<u8> {
        let len = 2 + random() % 9;
        (0..len)
            .map(|_| letters[random() % 26 * (random() % 26) / 26])
            .collect()
    };
    let words: Vec<Vec<u8>> = (0..4000).map(|_| word()).collect();
    while len < 20 << 20 {
        let word = &words[random() % 4000 * (random() % 4000) / 4000];
        out.write_all(word)?;
        out.write_all(if random() % 12 == 0 { b"\n" } else { b" " })?;
        len += word.len() + 1;
    }
    Ok(out.flush()?)
}

/// A program of 40 files that include some of the C library's headers.
fn project(dir: &Path) -> Result<()> {
    const FILES: usize = 40;
    fs::create_dir(dir)?;
    for n in 0..FILES {
        let mut source =
            String::from("#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n");
        for f in 0..20 {
            source += &format!(
                "int f{n}_{f}(const char *s, int k) {{\n  int sum = {f};\n  for (size_t i = 0; i < strlen(s); i++) sum = sum * 31 + s[i] % (k + 1);\n  printf(\"%d\\n\", sum);\n  return sum;\n}}\n"
            );
        }
        fs::write(dir.join(format!("m{n}.c")), source)?;
    }
    let calls: String = (0..FILES)
        .map(|n| format!("  sum += f{n}_0(\"x\", {n});\n"))
        .collect();
    let heads: String = (0..FILES)
        .map(|n| format!("int f{n}_0(const char *, int);\n"))
        .collect();
    let main = format!("{heads}int main(void) {{\n  int sum = 0;\n{calls}  return sum == 0;\n}}\n");
    fs::write(dir.join("main.c"), main)?;
    fs::write(
        dir.join("Makefile"),
        "OBJECTS := $(patsubst %.c,%.o,$(wildcard *.c))\nprogram: $(OBJECTS)\n\t$(CC) -o $@ $^\n%.o: %.c\n\t$(CC) -O1 -c -o $@ $<\n",
    )?;
    Ok(())
}

fn tree(dir: &Path) -> Result<()> {
    for d in 0..60 {
        let sub = dir.join(format!("d{d}"));
        fs::create_dir_all(&sub)?;
        for f in 0..50 {
            let len = 512 + (d * 50 + f) % 16 * 1024;
            fs::write(sub.join(format!("f{f}")), vec![b'a' + d as u8 % 26; len])?;
        }
    }
    Ok(())
}
