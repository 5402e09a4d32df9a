//! Messages of the Debug Adapter Protocol: a header that tells the length, and JSON
//! (<https://microsoft.github.io/debug-adapter-protocol/overview>, "Base protocol").

use serde_json::{Value, json};
use std::io::{self, BufRead, Read as _, Write};

/// The longest message that is taken. Clients' are a few kB.
const LONGEST: u64 = 16 << 20;
/// The longest line of a header, and how many lines there may be.
const HEADER: (u64, usize) = (1024, 16);

/// What the client wants.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Its number, for the response.
    pub seq: i64,
    /// What is to be done.
    pub command: String,
    /// With what; an object, or null.
    pub arguments: Value,
}

/// Why there is no message.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Nobody can tell where the next message begins.
    #[error("this is no message of the debug adapter protocol: {0}")]
    Header(String),
    /// Too long.
    #[error("a message of {0} bytes is too long: {LONGEST} are taken")]
    TooLong(u64),
    /// It ends in the middle.
    #[error("the connection ended within a message")]
    Cut,
    /// The connection.
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
}

/// A message that is no request.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct BadMessage {
    /// Its number, or 0.
    pub seq: i64,
    /// What is wrong.
    pub why: String,
}

/// Reads a message's bytes; none at the end. Room is made for what came, not
/// for what was announced.
pub fn read(from: &mut impl BufRead) -> Result<Option<Vec<u8>>, FrameError> {
    let Some(length) = header(from)? else {
        return Ok(None);
    };
    if length > LONGEST {
        return Err(FrameError::TooLong(length));
    }
    let mut body = Vec::new();
    if from.take(length).read_to_end(&mut body)? as u64 != length {
        return Err(FrameError::Cut);
    }
    Ok(Some(body))
}

fn header(from: &mut impl BufRead) -> Result<Option<u64>, FrameError> {
    let mut length = None;
    for n in 0..HEADER.1 {
        let mut line = Vec::new();
        from.by_ref().take(HEADER.0).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return if n == 0 {
                Ok(None)
            } else {
                Err(FrameError::Cut)
            };
        }
        let text = String::from_utf8_lossy(&line);
        let shown: String = text.trim_end().chars().take(60).collect();
        if !line.ends_with(b"\n") {
            let why = format!("{shown:?} goes on for too long, or ends");
            return Err(FrameError::Header(why));
        }
        match (shown.is_empty(), length) {
            (true, Some(length)) => return Ok(Some(length)),
            (true, None) => {
                let why = "its header has no Content-Length".to_owned();
                return Err(FrameError::Header(why));
            }
            (false, _) => {}
        }
        let Some((name, value)) = text.split_once(':') else {
            return Err(FrameError::Header(format!("{shown:?} is no header")));
        };
        if name.trim().eq_ignore_ascii_case("Content-Length") {
            let number = value.trim().parse();
            let why = || FrameError::Header(format!("{shown:?} tells no length"));
            length = Some(number.map_err(|_| why())?);
        }
    }
    let why = "its header does not end".to_owned();
    Err(FrameError::Header(why))
}

/// What a message asks for; none, if it is an answer (nothing is asked of clients).
pub fn parse(body: &[u8]) -> Result<Option<Request>, BadMessage> {
    let bad = |seq, why: &str| BadMessage {
        seq,
        why: why.to_owned(),
    };
    let mut message: Value =
        serde_json::from_slice(body).map_err(|e| bad(0, &format!("this is no JSON: {e}")))?;
    let seq = message["seq"].as_i64().unwrap_or(0);
    match message["type"].as_str() {
        Some("request") => {}
        Some("response") => return Ok(None),
        _ => return Err(bad(seq, "a message has type \"request\"")),
    }
    let Some(command) = message["command"].as_str().map(str::to_owned) else {
        return Err(bad(seq, "a request has a command"));
    };
    if !message["seq"].is_i64() {
        return Err(bad(seq, "a request has a number, seq"));
    }
    let arguments = message.get_mut("arguments").map(Value::take);
    let arguments = arguments.unwrap_or_default();
    if !(arguments.is_object() || arguments.is_null()) {
        return Err(bad(seq, "arguments are an object"));
    }
    Ok(Some(Request {
        seq,
        command,
        arguments,
    }))
}

/// The side to which responses and events go.
pub struct Client {
    out: Box<dyn Write>,
    seq: i64,
}

impl Client {
    /// Writes to `out`.
    pub fn new(out: Box<dyn Write>) -> Self {
        Self { out, seq: 0 }
    }

    fn send(&mut self, mut message: Value) -> io::Result<()> {
        self.seq += 1;
        message["seq"] = self.seq.into();
        let body = message.to_string();
        write!(self.out, "Content-Length: {}\r\n\r\n{body}", body.len())?;
        self.out.flush()
    }

    /// It is done.
    pub fn respond(&mut self, to: &Request, body: Value) -> io::Result<()> {
        let mut message = json!({
            "type": "response", "request_seq": to.seq, "success": true, "command": to.command,
        });
        if !body.is_null() {
            message["body"] = body;
        }
        self.send(message)
    }

    /// It could not be done: `why` is for the user.
    pub fn refuse(&mut self, seq: i64, command: &str, why: &str) -> io::Result<()> {
        self.send(json!({
            "type": "response", "request_seq": seq, "success": false, "command": command,
            "message": why,
            // Braces would be places for variables.
            "body": { "error": {
                "id": 1, "format": "{why}", "variables": { "why": why }, "showUser": true,
            } },
        }))
    }

    /// Something happened.
    pub fn event(&mut self, name: &str, body: Value) -> io::Result<()> {
        self.send(json!({ "type": "event", "event": name, "body": body }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Cursor;

    fn messages(bytes: &[u8]) -> Result<Vec<Vec<u8>>, FrameError> {
        let mut from = Cursor::new(bytes);
        let mut all = Vec::new();
        while let Some(message) = read(&mut from)? {
            all.push(message);
        }
        Ok(all)
    }

    #[test]
    fn messages_follow_one_another() {
        let two = b"Content-Length: 2\r\n\r\n{}content-length:3\r\nX: y\r\n\r\n[1]";
        let found = messages(two).expect("they are well formed");
        assert_eq!(found, [b"{}".to_vec(), b"[1]".to_vec()]);
    }

    #[test]
    fn what_is_no_message() {
        for (bytes, why) in [
            ("GET / HTTP/1.1\r\n\r\n", "no header"),
            ("Host: x\r\n\r\n", "no Content-Length"),
            ("Content-Length: -1\r\n\r\n", "tells no length"),
            (
                "Content-Length: 99999999999999999999\r\n\r\n",
                "tells no length",
            ),
            ("Content-Length: 9999999999999\r\n\r\n", "too long"),
            ("Content-Length: 10\r\n\r\n{}", "within a message"),
            ("Content-Length: 1", "too long, or ends"),
        ] {
            let error = messages(bytes.as_bytes()).expect_err(bytes).to_string();
            assert!(error.contains(why), "{bytes:?}: {error}");
        }
        let line = "x".repeat(5000);
        assert!(messages(line.as_bytes()).is_err());
        let lines = "x: y\r\n".repeat(5000);
        assert!(messages(lines.as_bytes()).is_err());
    }

    #[test]
    fn what_is_no_request() {
        for (body, seq) in [
            ("{", 0),
            ("[]", 0),
            (r#"{"seq":3}"#, 3),
            (r#"{"seq":4,"type":"request"}"#, 4),
            (r#"{"type":"request","command":"x"}"#, 0),
            (
                r#"{"seq":5,"type":"request","command":"x","arguments":[]}"#,
                5,
            ),
        ] {
            let error = parse(body.as_bytes()).expect_err(body);
            assert_eq!(error.seq, seq, "{body}: {error}");
        }
        assert!(parse("[".repeat(100_000).as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = messages(&bytes);
            let _ = parse(&bytes);
        }
    }
}
