//! The examples of the repository, which this program has within itself.

use super::solve;
use super::tour::Tour;
use anyhow::Result;

/// A system with a fault.
pub struct Example {
    pub name: &'static str,
    /// What it is and what is wrong, for who has not seen it.
    pub about: &'static str,
    pub language: Language,
    /// Names and texts.
    pub files: &'static [(&'static str, &'static str)],
    /// Finds the culprit, and says in a sentence who it is.
    pub solve: fn(&mut Tour) -> Result<Option<String>>,
}

/// What an example is written in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Language {
    C,
    Cpp,
    Python,
}

impl Language {
    /// What is needed to run it.
    pub const fn needs(self) -> &'static str {
        match self {
            Self::C => "C; needs a compiler",
            Self::Cpp => "C++; needs a compiler",
            Self::Python => "Python 3",
        }
    }
}

macro_rules! files {
    ($folder:literal: $($name:literal)*) => {
        &[$(($name, include_str!(concat!("../../../../examples/", $folder, "/", $name)))),*]
    };
}

/// All of them; the first is the one to begin with.
pub const EXAMPLES: [Example; 4] = [
    Example {
        name: "job-queue",
        about: "jobs wait in shared memory; one program submits them, two work, one reports. \
                The report stops: a job has failed minus two thousand million times.",
        language: Language::Cpp,
        files: files!("job-queue": "Makefile" "create.cpp" "jobs.txt" "launch.sh" "queue.h"
            "report.cpp" "submit.cpp" "work.cpp"),
        solve: solve::job_queue,
    },
    Example {
        name: "market-data",
        about: "two exchanges publish prices through a ring of quotes in shared memory. The \
                reader halts the market, because of a quote that no exchange would make.",
        language: Language::Cpp,
        files: files!("market-data": "Makefile" "create.cpp" "launch.sh" "publish.cpp" "read.cpp"
            "ring.h"),
        solve: solve::market_data,
    },
    Example {
        name: "lost-update",
        about: "four processes count the orders that they handle, in shared memory. In the end \
                most orders have not been counted.",
        language: Language::Python,
        files: files!("lost-update": "count.py" "launch.sh"),
        solve: solve::lost_update,
    },
    Example {
        name: "prefork-stats",
        about: "a server forks its workers beforehand; each counts in its row of a shared page. \
                Workers that have nothing to do seem to be busy for ever.",
        language: Language::C,
        files: files!("prefork-stats": "Makefile" "client.c" "launch.sh" "server.c"),
        solve: solve::prefork_stats,
    },
];

impl Example {
    /// The text of a file.
    pub fn text(&self, name: &str) -> Option<&'static str> {
        let (_, text) = self.files.iter().find(|(file, _)| *file == name)?;
        Some(text)
    }

    /// The words behind `NAME =` in the makefile.
    pub fn makefile(&self, name: &str) -> Vec<&'static str> {
        let lines = self.text("Makefile").unwrap_or_default().lines();
        let values = lines.filter_map(|line| line.strip_prefix(name)?.strip_prefix(" = "));
        values.flat_map(str::split_whitespace).collect()
    }

    /// A line of a file, as it is quoted.
    pub fn line(&self, file: &str, line: u32) -> Option<&'static str> {
        let at = usize::try_from(line).ok()?.checked_sub(1)?;
        Some(self.text(file)?.lines().nth(at)?.trim())
    }
}

#[cfg(test)]
mod tests {
    use super::EXAMPLES;
    use std::collections::BTreeSet;
    use std::path::Path;

    #[test]
    fn every_file_of_an_example_is_here() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
        for example in &EXAMPLES {
            let files = std::fs::read_dir(root.join(example.name)).expect("an example");
            let there: BTreeSet<String> = files
                .map(|file| file.expect("a file"))
                .filter(|file| file.path().is_file())
                .map(|file| file.file_name().to_string_lossy().into_owned())
                .filter(|name| name != "README.md")
                .collect();
            let here = example.files.iter().map(|(name, _)| (*name).to_owned());
            assert_eq!(here.collect::<BTreeSet<_>>(), there, "{}", example.name);
        }
    }
}
