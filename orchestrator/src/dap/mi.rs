//! What gdb says in its machine interface: records, a line each (gdb manual,
//! "GDB/MI Output Syntax"). Values become JSON, which has the same kinds.

use serde_json::{Map, Value};

/// Values within values: gdb's are some levels deep.
const DEEPEST: usize = 64;

/// A line.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// How a command came out.
    Result {
        /// The number that was given with the command.
        token: Option<u64>,
        /// `done`, `running`, `error` …
        class: String,
        /// What goes with it: an object.
        results: Value,
    },
    /// Something happened: `*stopped`, `=breakpoint-modified` …
    Async {
        /// What.
        class: String,
        /// What goes with it: an object.
        results: Value,
    },
    /// Text that gdb or the target prints.
    Text(String),
    /// Text that gdb would log: errors, mostly.
    Log(String),
    /// gdb waits for a command.
    Prompt,
}

/// What a line says; none, if it is no record (a program may print anything).
pub fn parse(line: &str) -> Option<Record> {
    let line = line.trim_end_matches(['\r', '\n']);
    if line.trim_end() == "(gdb)" {
        return Some(Record::Prompt);
    }
    let rest = line.trim_start_matches(|c: char| c.is_ascii_digit());
    let token = line[..line.len() - rest.len()].parse().ok();
    let mut parser = Parser {
        left: rest.get(1..)?,
        depth: 0,
    };
    match rest.as_bytes()[0] {
        b'^' => {
            let (class, results) = parser.class()?;
            Some(Record::Result {
                token,
                class,
                results,
            })
        }
        b'*' | b'=' | b'+' => {
            let (class, results) = parser.class()?;
            Some(Record::Async { class, results })
        }
        b'~' | b'@' => parser.whole_string().map(Record::Text),
        b'&' => parser.whole_string().map(Record::Log),
        _ => None,
    }
}

/// A text as gdb takes it in commands.
pub fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            // A command is a line of C strings.
            '\0' => {}
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

struct Parser<'a> {
    left: &'a str,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn eat(&mut self, c: char) -> Option<()> {
        self.left = self.left.strip_prefix(c)?;
        Some(())
    }

    fn word(&mut self) -> &'a str {
        let end = self
            .left
            .find(|c: char| !(c.is_alphanumeric() || "_-".contains(c)));
        let (word, left) = self.left.split_at(end.unwrap_or(self.left.len()));
        self.left = left;
        word
    }

    /// `class[,name=value…]`, and nothing behind it.
    fn class(&mut self) -> Option<(String, Value)> {
        let class = self.word().to_owned();
        let mut results = Map::new();
        while self.eat(',').is_some() {
            let (name, value) = self.result()?;
            results.insert(name, value);
        }
        self.left.is_empty().then_some((class, results.into()))
    }

    fn result(&mut self) -> Option<(String, Value)> {
        let name = self.word().to_owned();
        self.eat('=')?;
        Some((name, self.value()?))
    }

    fn value(&mut self) -> Option<Value> {
        if self.depth == DEEPEST {
            return None;
        }
        self.depth += 1;
        let value = match self.left.chars().next()? {
            '"' => self.string().map(Value::String),
            '{' => self.tuple(),
            '[' => self.list(),
            _ => None,
        };
        self.depth -= 1;
        value
    }

    fn tuple(&mut self) -> Option<Value> {
        self.eat('{')?;
        let mut map = Map::new();
        while self.eat('}').is_none() {
            if !map.is_empty() {
                self.eat(',')?;
            }
            let (name, value) = self.result()?;
            map.insert(name, value);
        }
        Some(map.into())
    }

    /// Of values, or of results, whose names say what the list's name says.
    fn list(&mut self) -> Option<Value> {
        self.eat('[')?;
        let mut list = Vec::new();
        while self.eat(']').is_none() {
            if !list.is_empty() {
                self.eat(',')?;
            }
            list.push(match self.left.chars().next()? {
                '"' | '{' | '[' => self.value()?,
                _ => self.result()?.1,
            });
        }
        Some(list.into())
    }

    fn whole_string(&mut self) -> Option<String> {
        let text = self.string()?;
        self.left.is_empty().then_some(text)
    }

    /// A C string; bytes beyond ASCII are written in octal.
    fn string(&mut self) -> Option<String> {
        self.eat('"')?;
        let bytes = self.left.as_bytes();
        let (mut text, mut at) = (Vec::new(), 0);
        loop {
            let byte = *bytes.get(at)?;
            at += 1;
            match byte {
                b'"' => break,
                b'\\' => {
                    let escape = *bytes.get(at)?;
                    at += 1;
                    text.push(match escape {
                        b'n' => b'\n',
                        b't' => b'\t',
                        b'r' => b'\r',
                        b'a' => 7,
                        b'b' => 8,
                        b'f' => 12,
                        b'v' => 11,
                        b'e' => 27,
                        b'0'..=b'7' => {
                            let mut code = u32::from(escape - b'0');
                            for _ in 0..2 {
                                let Some(digit @ b'0'..=b'7') = bytes.get(at) else {
                                    break;
                                };
                                code = code * 8 + u32::from(digit - b'0');
                                at += 1;
                            }
                            code as u8
                        }
                        other => other,
                    });
                }
                byte => text.push(byte),
            }
        }
        // Behind an ASCII character: a boundary.
        self.left = &self.left[at..];
        Some(String::from_utf8_lossy(&text).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn results(line: &str) -> Value {
        match parse(line) {
            Some(Record::Result { results, .. } | Record::Async { results, .. }) => results,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn records() {
        assert_eq!(parse("(gdb) \n"), Some(Record::Prompt));
        assert_eq!(
            parse(r#"12^error,msg="No symbol \"x\" in current context.""#),
            Some(Record::Result {
                token: Some(12),
                class: "error".into(),
                results: json!({ "msg": "No symbol \"x\" in current context." }),
            })
        );
        assert_eq!(
            parse("*running,thread-id=\"all\""),
            Some(Record::Async {
                class: "running".into(),
                results: json!({ "thread-id": "all" }),
            })
        );
        assert_eq!(
            parse(r#"~"\345\206\231\tx\n""#),
            Some(Record::Text("写\tx\n".into()))
        );
        assert_eq!(parse("&\"oh\""), Some(Record::Log("oh".into())));
        assert_eq!(parse("anything"), None);
        assert_eq!(parse("^done,"), None);
        assert_eq!(parse("^done,a=[\"b\""), None);
    }

    #[test]
    fn values() {
        let stack = r#"3^done,stack=[frame={level="0",args=[]},frame={level="1"}]"#;
        assert_eq!(
            results(stack),
            json!({ "stack": [{ "level": "0", "args": [] }, { "level": "1" }] })
        );
        let ranges = r#"=x,ranges=[{from="1",to="2"}],names=["a","b"],none={}"#;
        assert_eq!(
            results(ranges),
            json!({ "ranges": [{ "from": "1", "to": "2" }], "names": ["a", "b"], "none": {} })
        );
    }

    #[test]
    fn what_is_deep_is_refused() {
        let line = format!("^done,a={}", "[".repeat(100_000));
        assert_eq!(parse(&line), None);
    }

    proptest! {
        #[test]
        fn any_line_is_parsed(line in "\\PC{0,60}") {
            let _ = parse(&line);
        }

        #[test]
        fn any_record_is_parsed(line in "[0-9]{0,3}[\\^*=~@&+][a-z\"]{0,4}[\\[\\]{}=,a\"\\\\0-9é]{0,40}") {
            let _ = parse(&line);
        }

        #[test]
        fn texts_come_back(text in "[^\\x00]{0,40}") {
            let line = format!("~{}", quoted(&text));
            prop_assert_eq!(parse(&line), Some(Record::Text(text)));
        }
    }
}
