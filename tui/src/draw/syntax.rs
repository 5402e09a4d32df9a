//! Colours of source lines: comments, texts, numbers and words that languages reserve. By
//! the look of a line, not by its grammar: it is to be read, not compiled.

use crate::theme::Theme;
use ratatui::style::Style;
use std::ops::Range;

/// How a language marks comments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// `//` and `/* */`.
    C,
    /// `#`.
    Hash,
    /// Not known.
    Plain,
}

/// What a piece of a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A remark.
    Comment,
    /// A text or a character.
    Text,
    /// A number.
    Number,
    /// A reserved word.
    Word,
}

const WORDS: &str = " alignas alignof asm async auto await bool break case catch char class const \
    constexpr continue crate def default defer del delete do double elif else enum except explicit \
    extern false final finally float fn for friend from func go goto if impl import in inline int \
    interface lambda let long loop match mod mut namespace new nil noexcept None not nullptr operator \
    or and override package pass private protected pub public raise range register return self Self \
    short signed sizeof static static_assert struct super switch template then this throw trait true \
    try type typedef typename union unsafe unsigned use using var virtual void volatile where while \
    with yield True False done fi esac ";

impl Language {
    /// By the name of a file.
    pub fn of(file: &str) -> Self {
        let extension = file.rsplit_once('.').map_or("", |(_, extension)| extension);
        match extension {
            "c" | "h" | "cc" | "cpp" | "cxx" | "hpp" | "hh" | "rs" | "go" | "java" | "js"
            | "ts" | "tcc" | "inl" | "zig" | "swift" | "S" => Self::C,
            "py" | "sh" | "rb" | "pl" | "toml" | "mk" => Self::Hash,
            // C++'s own headers have no extension.
            "" if file.contains("/c++/") => Self::C,
            _ => Self::Plain,
        }
    }
}

/// The pieces of a line; `inside` tells whether a comment goes on from the line before,
/// and then whether it goes on behind this one.
pub fn pieces(language: Language, line: &str, inside: &mut bool) -> Vec<(Range<usize>, Kind)> {
    let mut pieces = Vec::new();
    let mut at = 0;
    if language == Language::Plain {
        return pieces;
    }
    while let Some(c) = line.get(at..).and_then(|rest| rest.chars().next()) {
        let rest = &line[at..];
        let (len, kind) = if *inside {
            let end = rest.find("*/").map(|n| n + 2);
            *inside = end.is_none();
            (end.unwrap_or(rest.len()), Some(Kind::Comment))
        } else if is_remark(language, rest, line[..at].trim_end()) {
            (rest.len(), Some(Kind::Comment))
        } else if language == Language::C && rest.starts_with("/*") {
            *inside = true;
            let end = rest[2..].find("*/").map(|n| n + 4);
            *inside = end.is_none();
            (end.unwrap_or(rest.len()), Some(Kind::Comment))
        } else if c == '"' || c == '\'' {
            match quoted(language, rest, c) {
                Some(len) => (len, Some(Kind::Text)),
                None => (1, None),
            }
        } else if c.is_ascii_digit() {
            (
                run(rest, |c| c.is_ascii_alphanumeric() || c == '.'),
                Some(Kind::Number),
            )
        } else if c.is_alphabetic() || c == '_' || c == '#' {
            let len =
                c.len_utf8() + run(&rest[c.len_utf8()..], |c| c.is_alphanumeric() || c == '_');
            let word = &rest[..len];
            let reserved = c == '#' || WORDS.contains(&format!(" {word} "));
            (len, reserved.then_some(Kind::Word))
        } else {
            (c.len_utf8(), None)
        };
        if let Some(kind) = kind {
            pieces.push((at..at + len, kind));
        }
        at += len;
    }
    pieces
}

fn is_remark(language: Language, rest: &str, before: &str) -> bool {
    match language {
        Language::C => rest.starts_with("//"),
        // `$#` is none.
        Language::Hash => rest.starts_with('#') && !before.ends_with('$'),
        Language::Plain => false,
    }
}

fn run(text: &str, is_part: impl Fn(char) -> bool) -> usize {
    text.find(|c| !is_part(c)).unwrap_or(text.len())
}

/// The length of a text with its quotes, if it ends in this line. (Rust's lifetimes do not.)
fn quoted(language: Language, text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (n, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => {
                // One character, or one that is written with several.
                let inside = &text[1..n];
                let one = inside.starts_with('\\') || inside.chars().count() == 1;
                let text = quote == '"' || language != Language::C || one;
                return text.then_some(n + 1);
            }
            _ => {}
        }
    }
    None
}

/// What it looks like.
pub const fn style(theme: Theme, kind: Kind) -> Style {
    match kind {
        Kind::Comment => theme.dim(),
        Kind::Text => theme.quoted(),
        Kind::Number => theme.number(),
        Kind::Word => theme.word(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seen(language: Language, line: &str) -> Vec<(&str, Kind)> {
        let all = pieces(language, line, &mut false);
        all.into_iter()
            .map(|(range, kind)| (&line[range], kind))
            .collect()
    }

    #[test]
    fn lines_of_c() {
        let line = r#"    if (n == 0x10) puts("a \"b\" // c"); // 写真"#;
        assert_eq!(
            seen(Language::C, line),
            [
                ("if", Kind::Word),
                ("0x10", Kind::Number),
                (r#""a \"b\" // c""#, Kind::Text),
                ("// 写真", Kind::Comment)
            ]
        );
        let mut inside = false;
        assert_eq!(
            pieces(Language::C, "x /* begins", &mut inside),
            [(2..11, Kind::Comment)]
        );
        assert!(inside);
        assert_eq!(
            pieces(Language::C, "ends */ y", &mut inside),
            [(0..7, Kind::Comment)]
        );
        assert!(!inside);
    }

    #[test]
    fn lifetimes_are_no_texts() {
        let words = seen(Language::C, "fn of<'a>(x: &'a str) -> &'a str {");
        assert_eq!(words, [("fn", Kind::Word)]);
    }

    proptest! {
        #[test]
        fn pieces_are_in_order(line in ".{0,60}", mut inside: bool, c: bool) {
            let language = if c { Language::C } else { Language::Hash };
            let mut end = 0;
            for (range, _) in pieces(language, &line, &mut inside) {
                prop_assert!(range.start >= end && line.get(range.clone()).is_some());
                end = range.end;
            }
        }
    }
}
