//! Bytes to and from the debugger. They are read by a thread of their own, so
//! that an interrupt is seen while the recording runs.

use super::packets::{Incoming, announce};
use gdbstub::conn::{Connection, ConnectionExt};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What gdb sends to interrupt (gdb manual, "Interrupts").
const INTERRUPT: u8 = 3;
/// Behind the end of the connection, so often all that goes on is interrupted.
const END: Duration = Duration::from_millis(20);

/// Standard input and output: `target remote | orch serve --stdio`.
#[derive(Debug)]
pub struct Stdio;

/// A debugger's connection.
pub struct Wire {
    bytes: Receiver<u8>,
    next: Option<u8>,
    out: Box<dyn Write>,
    buffer: Vec<u8>,
    interrupted: Arc<AtomicBool>,
    forward: Arc<Mutex<Option<Arc<AtomicBool>>>>,
}

impl From<Stdio> for Wire {
    fn from(Stdio: Stdio) -> Self {
        Self::new(io::stdin(), Box::new(io::stdout()))
    }
}

impl TryFrom<TcpStream> for Wire {
    type Error = io::Error;

    fn try_from(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self::new(stream.try_clone()?, Box::new(stream)))
    }
}

/// Where the wire tells that the debugger wants to interrupt.
#[derive(Clone)]
pub struct Interrupts {
    /// Set when it did.
    pub seen: Arc<AtomicBool>,
    forward: Arc<Mutex<Option<Arc<AtomicBool>>>>,
}

impl Interrupts {
    /// From now on, `to` is set too, or nothing.
    pub fn forward(&self, to: Option<Arc<AtomicBool>>) {
        *self.forward.lock().expect("nobody panics with it") = to;
    }
}

fn raise(to: &Mutex<Option<Arc<AtomicBool>>>) {
    if let Some(flag) = &*to.lock().expect("nobody panics with it") {
        flag.store(true, Ordering::Relaxed);
    }
}

impl Wire {
    fn new(mut input: impl Read + Send + 'static, out: Box<dyn Write>) -> Self {
        let (sender, bytes) = channel();
        let interrupted = Arc::new(AtomicBool::new(false));
        let forward: Arc<Mutex<Option<Arc<AtomicBool>>>> = Arc::default();
        let (seen, to) = (Arc::clone(&interrupted), Arc::clone(&forward));
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // What is written to memory may hold that byte (gdb manual, "Packets", `X`).
            let mut in_packet = false;
            let mut incoming = Incoming::default();
            loop {
                let n = match input.read(&mut buffer) {
                    Ok(n @ 1..) => n,
                    // A child of ours has ended meanwhile.
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                    _ => break,
                };
                for &byte in &buffer[..n] {
                    match byte {
                        b'$' => in_packet = true,
                        b'#' => in_packet = false,
                        // Another one is not to stop the way back from where the first came.
                        INTERRUPT if !in_packet && !seen.swap(true, Ordering::Relaxed) => {
                            raise(&to);
                        }
                        _ => {}
                    }
                    // Whoever does not listen any more ends the connection, too.
                    incoming.take(byte, &mut |byte| {
                        let _ = sender.send(byte);
                    });
                }
            }
            drop(sender);
            // Nobody waits for the end of what goes on, or of what is begun yet.
            while Arc::strong_count(&to) > 1 {
                raise(&to);
                std::thread::sleep(END);
            }
        });
        Self {
            bytes,
            next: None,
            out,
            buffer: Vec::new(),
            interrupted,
            forward,
        }
    }

    /// How one learns of interrupts.
    pub fn interrupts(&self) -> Interrupts {
        Interrupts {
            seen: Arc::clone(&self.interrupted),
            forward: Arc::clone(&self.forward),
        }
    }
}

impl Connection for Wire {
    type Error = io::Error;

    fn write(&mut self, byte: u8) -> io::Result<()> {
        self.buffer.push(byte);
        Ok(())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        announce(&mut self.buffer);
        self.out.write_all(&self.buffer)?;
        self.buffer.clear();
        self.out.flush()
    }
}

impl ConnectionExt for Wire {
    fn read(&mut self) -> io::Result<u8> {
        if let Some(byte) = self.next.take() {
            return Ok(byte);
        }
        self.flush()?;
        self.bytes
            .recv()
            .map_err(|_| io::ErrorKind::UnexpectedEof.into())
    }

    fn peek(&mut self) -> io::Result<Option<u8>> {
        if self.next.is_none() {
            self.next = self.bytes.try_recv().ok();
        }
        Ok(self.next)
    }
}
