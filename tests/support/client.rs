//! A blocking RESP2 client on a plain socket: the tests' own, so that it shares no bug with the
//! server.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// A reply as it came over the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Simple(String),
    Error(String),
    Integer(i64),
    Bulk(Vec<u8>),
    Null,
    Array(Vec<Reply>),
}

impl Reply {
    pub(crate) fn ok() -> Reply {
        Reply::Simple("OK".to_owned())
    }

    pub(crate) fn bulk(bytes: &[u8]) -> Reply {
        Reply::Bulk(bytes.to_vec())
    }

    pub(crate) fn is_error_with(&self, prefix: &str) -> bool {
        matches!(self, Reply::Error(text) if text.starts_with(prefix))
    }
}

/// A request as an array of bulk strings.
pub(crate) fn encode(words: &[&[u8]]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
    out
}

#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
    start: usize,
}

impl Client {
    pub(crate) fn connect(port: u16) -> Result<Client> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(10))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        stream.set_write_timeout(Some(Duration::from_secs(60)))?;
        Ok(Client { stream, buffer: Vec::new(), start: 0 })
    }

    /// Of its own end.
    pub(crate) fn port(&self) -> u16 {
        self.stream.local_addr().expect("it is connected").port()
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes)
    }

    pub(crate) fn call(&mut self, words: &[&[u8]]) -> Result<Reply> {
        self.send(&encode(words))?;
        self.receive()
    }

    /// A second handle that only sends, for another thread.
    pub(crate) fn sender(&self) -> Sender {
        Sender { stream: self.stream.try_clone().expect("a socket can be duplicated") }
    }

    /// How many bytes have arrived that belong to no whole reply.
    pub(crate) fn unread(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// No more requests will come; replies are still read.
    pub(crate) fn finish_sending(&mut self) -> Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    pub(crate) fn receive(&mut self) -> Result<Reply> {
        let line = self.line()?;
        let (kind, rest) = line.split_first().ok_or_else(|| malformed(&line))?;
        let text = String::from_utf8_lossy(rest).into_owned();
        let number = || text.parse::<i64>().map_err(|_| malformed(&line));
        match kind {
            b'+' => Ok(Reply::Simple(text)),
            b'-' => Ok(Reply::Error(text)),
            b':' => Ok(Reply::Integer(number()?)),
            b'$' => match usize::try_from(number()?) {
                Err(_) => Ok(Reply::Null),
                Ok(size) => self.bulk(size),
            },
            b'*' => match usize::try_from(number()?) {
                Err(_) => Ok(Reply::Null),
                Ok(count) => {
                    let items: Result<Vec<Reply>> = (0..count).map(|_| self.receive()).collect();
                    items.map(Reply::Array)
                }
            },
            _ => Err(malformed(&line)),
        }
    }

    /// The next `size` bytes as they come.
    pub(crate) fn exactly(&mut self, size: usize) -> Result<Vec<u8>> {
        while self.buffer.len() - self.start < size {
            self.fill()?;
        }
        let bytes = self.buffer[self.start..self.start + size].to_vec();
        self.start += size;
        Ok(bytes)
    }

    /// Everything until the server closes the connection, at most `size_max` bytes.
    pub(crate) fn drain(&mut self, size_max: usize) -> Result<Vec<u8>> {
        let mut all = self.buffer.split_off(self.start);
        while all.len() < size_max {
            let mut chunk = [0; 65536];
            match self.stream.read(&mut chunk)? {
                0 => break,
                size => all.extend_from_slice(&chunk[..size]),
            }
        }
        Ok(all)
    }

    fn bulk(&mut self, size: usize) -> Result<Reply> {
        while self.buffer.len() - self.start < size + 2 {
            self.fill()?;
        }
        let value = self.buffer[self.start..self.start + size].to_vec();
        self.start += size + 2;
        Ok(Reply::Bulk(value))
    }

    fn line(&mut self) -> Result<Vec<u8>> {
        let mut searched = self.start;
        loop {
            if let Some(at) = self.buffer[searched..].windows(2).position(|pair| pair == b"\r\n") {
                let end = searched + at;
                let line = self.buffer[self.start..end].to_vec();
                self.start = end + 2;
                return Ok(line);
            }
            let pending = self.buffer.len() - self.start;
            self.fill()?;
            searched = self.start + pending.saturating_sub(1);
        }
    }

    fn fill(&mut self) -> Result<()> {
        self.buffer.drain(..self.start);
        self.start = 0;
        let mut chunk = [0; 65536];
        match self.stream.read(&mut chunk)? {
            0 => Err(Error::new(ErrorKind::UnexpectedEof, "the server closed the connection")),
            size => {
                self.buffer.extend_from_slice(&chunk[..size]);
                Ok(())
            }
        }
    }
}

/// The sending half of a client.
#[derive(Debug)]
pub(crate) struct Sender {
    stream: TcpStream,
}

impl Sender {
    pub(crate) fn send_all(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes)
    }
}

fn malformed(line: &[u8]) -> Error {
    let shown = String::from_utf8_lossy(&line[..line.len().min(80)]).into_owned();
    Error::new(ErrorKind::InvalidData, format!("not RESP2: {shown:?}"))
}
