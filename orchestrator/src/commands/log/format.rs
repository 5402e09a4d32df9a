//! What a row shows: text, and expressions in braces.

use serde::Serialize;
use std::str::FromStr;

/// Formats of values that gdb knows (gdb manual, "Output Formats"), but for `i`, which
/// disassembles, and `x` with sizes.
const FORMATS: &str = "xduotcafsz";

/// A row's text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Format(Vec<Piece>);

/// A part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// As it is.
    Text(String),
    /// The value of something.
    Value(Expression),
}

/// Something that gdb evaluates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Expression {
    /// In the language of the source.
    pub text: String,
    /// gdb's letter for how it is shown.
    pub format: Option<char>,
}

/// Text that is no format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseFormatError {
    /// `{` without `}`.
    #[error("the brace in {0:?} is not closed; write {{{{ for a brace")]
    Open(String),
    /// `}` without `{`.
    #[error("nothing is open where {0:?} closes it; write }}}} for a brace")]
    Close(String),
    /// `{}`.
    #[error("there is nothing in the braces of {0:?}; write an expression, or {{{{}}}} for braces")]
    Empty(String),
    /// `{/q x}`.
    #[error("{0:?} is no format; gdb's are {all}, as in {{/x EXPR}}", all = FORMATS.chars().map(|c| format!("/{c}")).collect::<Vec<_>>().join(" "))]
    Letter(String),
}

impl Format {
    /// What is to be evaluated, in order.
    pub fn expressions(&self) -> Vec<&Expression> {
        let values = self.0.iter().filter_map(|piece| match piece {
            Piece::Value(expression) => Some(expression),
            Piece::Text(_) => None,
        });
        values.collect()
    }

    /// The text, with `values` in the place of expressions.
    pub fn fill<'v>(&self, values: impl IntoIterator<Item = &'v str>) -> String {
        let mut values = values.into_iter();
        let texts = self.0.iter().map(|piece| match piece {
            Piece::Text(text) => text.as_str(),
            Piece::Value(_) => values.next().unwrap_or_default(),
        });
        texts.collect()
    }
}

impl FromStr for Format {
    type Err = ParseFormatError;

    fn from_str(text: &str) -> Result<Self, ParseFormatError> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            plain += &rest[..at];
            let (brace, behind) = rest[at..].split_at(1);
            if behind.starts_with(brace) {
                plain += brace;
                rest = &behind[1..];
                continue;
            }
            if brace == "}" {
                return Err(ParseFormatError::Close(rest[..=at].to_owned()));
            }
            let len = closing(behind).ok_or_else(|| ParseFormatError::Open(rest[at..].into()))?;
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
            }
            pieces.push(Piece::Value(expression(&behind[..len])?));
            rest = &behind[len + 1..];
        }
        plain += rest;
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Self(pieces))
    }
}

/// Where the brace is that closes an expression: it may have braces of its own, and
/// some in quotes.
fn closing(text: &str) -> Option<usize> {
    let (mut depth, mut quote, mut escaped) = (0_u32, None, false);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(_), _) if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '{') => depth += 1,
            (None, '}') if depth == 0 => return Some(at),
            (None, '}') => depth -= 1,
            (None, _) => {}
        }
    }
    None
}

fn expression(text: &str) -> Result<Expression, ParseFormatError> {
    let (format, rest) = match text.trim().strip_prefix('/') {
        None => (None, text),
        Some(letter) => {
            let (letter, rest) = letter.split_once(' ').unwrap_or((letter, ""));
            let mut all = letter.chars();
            match (all.next(), all.next()) {
                (Some(c), None) if FORMATS.contains(c) => (Some(c), rest),
                _ => return Err(ParseFormatError::Letter(format!("/{letter}"))),
            }
        }
    };
    let trimmed = rest.trim().to_owned();
    if trimmed.is_empty() {
        return Err(ParseFormatError::Empty(format!("{{{text}}}")));
    }
    Ok(Expression {
        text: trimmed,
        format,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parts(text: &str) -> Vec<String> {
        let format: Format = text.parse().expect("it is one");
        let part = |piece: &Piece| match piece {
            Piece::Text(text) => format!("text {text}"),
            Piece::Value(e) => format!("value {:?} {}", e.format, e.text),
        };
        format.0.iter().map(part).collect()
    }

    #[test]
    fn texts_and_expressions() {
        assert_eq!(parts("a={a}"), ["text a=", "value None a"]);
        assert_eq!(parts("{{{x}}}"), ["text {", "value None x", "text }"]);
        assert_eq!(parts("{/x $rdi}"), ["value Some('x') $rdi"]);
        assert_eq!(parts("{(int[2]){1,2}}"), ["value None (int[2]){1,2}"]);
        assert_eq!(parts("{c == '}'}"), ["value None c == '}'"]);
        assert_eq!(parts("{{}}"), ["text {}"]);
        assert!(parts("").is_empty());
    }

    #[test]
    fn what_is_wrong_is_told() {
        let error = |text: &str| text.parse::<Format>().expect_err("wrong").to_string();
        assert!(error("a {b").contains("is not closed"), "{}", error("a {b"));
        assert!(error("a } b").contains("nothing is open"));
        assert!(error("{ }").contains("nothing in the braces"));
        assert!(error("{/q x}").contains("/x"), "{}", error("{/q x}"));
    }

    proptest! {
        #[test]
        fn text_without_braces_is_itself(text in "[^{}]*") {
            let format: Format = text.parse().expect("it is one");
            prop_assert_eq!(format.fill([]), text);
        }

        #[test]
        fn nothing_panics(text in "[{}/'\"x \\\\]*") {
            let _ = text.parse::<Format>();
        }
    }
}
