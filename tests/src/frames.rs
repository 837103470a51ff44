//! HTTP/2 by hand, for clients that do what no library lets them.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What every client of HTTP/2 sends first.
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The types of frames that are sent or looked for here.
pub const DATA: u8 = 0;
/// See [`DATA`].
pub const HEADERS: u8 = 1;
/// See [`DATA`].
pub const RST_STREAM: u8 = 3;
/// See [`DATA`].
pub const SETTINGS: u8 = 4;
/// See [`DATA`].
pub const PING: u8 = 6;
/// See [`DATA`].
pub const GOAWAY: u8 = 7;
/// See [`DATA`].
pub const CONTINUATION: u8 = 9;

/// The last frame of a stream.
pub const END_STREAM: u8 = 0x1;
/// An answer to SETTINGS or PING.
pub const ACK: u8 = 0x1;
/// The last frame of a list of headers.
pub const END_HEADERS: u8 = 0x4;

/// The setting for the window that streams begin with.
pub const INITIAL_WINDOW_SIZE: u16 = 4;

/// RST_STREAM's reason of a client that wants no answer any more.
pub const CANCEL: u32 = 8;
/// GOAWAY's reason for a client that does too much.
pub const ENHANCE_YOUR_CALM: u32 = 11;

/// A frame.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Its type.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Its stream; 0: the connection.
    pub stream: u32,
    /// The rest.
    pub payload: Vec<u8>,
}

impl Frame {
    /// Returns the reason of a GOAWAY.
    #[must_use]
    pub fn reason(&self) -> u32 {
        assert_eq!(self.kind, GOAWAY);
        u32::from_be_bytes(self.payload[4..8].try_into().expect("a GOAWAY has a reason"))
    }
}

/// Returns a frame as it is sent.
#[must_use]
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a frame is short").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Returns SETTINGS as they are sent.
#[must_use]
pub fn settings(settings: &[(u16, u32)]) -> Vec<u8> {
    let one = |(name, value): &(u16, u32)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat();
    frame(SETTINGS, 0, 0, &settings.iter().flat_map(one).collect::<Vec<_>>())
}

/// Returns the headers of a gRPC request, compressed by no more than the static table.
#[must_use]
pub fn request(path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    // `:method: POST`, `:scheme: http`, and `:path`, whose name is the table's fourth.
    let mut block = vec![0x83, 0x86, 0x04];
    block.extend(text(path));
    let headers = [("content-type", "application/grpc"), ("te", "trailers")];
    for (name, value) in headers.iter().chain(more) {
        block.push(0);
        block.extend(text(name));
        block.extend(text(value));
    }
    block
}

/// Returns a text as HPACK writes it: its length, and itself.
#[must_use]
pub fn text(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.len();
    if rest < 127 {
        bytes.push(u8::try_from(rest).expect("less than 127"));
    } else {
        bytes.push(127);
        rest -= 127;
        while rest >= 128 {
            bytes.push(u8::try_from(rest % 128 + 128).expect("less than 256"));
            rest /= 128;
        }
        bytes.push(u8::try_from(rest).expect("less than 128"));
    }
    bytes.extend(text.as_bytes());
    bytes
}

/// A connection that speaks in frames.
#[derive(Debug)]
pub struct RawConnection {
    /// The socket.
    pub stream: TcpStream,
}

impl RawConnection {
    /// Connects, and sends the preface and settings.
    ///
    /// # Errors
    /// The server cannot be reached.
    pub async fn open(address: SocketAddr, with: &[(u16, u32)]) -> io::Result<Self> {
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        stream.write_all(PREFACE).await?;
        stream.write_all(&settings(with)).await?;
        Ok(Self { stream })
    }

    /// Reads a frame; `None` at the end.
    ///
    /// # Errors
    /// The connection is broken.
    pub async fn read(&mut self) -> io::Result<Option<Frame>> {
        let mut head = [0; 9];
        match self.stream.read_exact(&mut head).await {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        }
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = head;
        let length = u32::from_be_bytes([0, l0, l1, l2]);
        let mut payload = vec![0; usize::try_from(length).expect("a frame is short")];
        self.stream.read_exact(&mut payload).await?;
        Ok(Some(Frame { kind, flags, stream: u32::from_be_bytes([s0, s1, s2, s3]), payload }))
    }

    /// Reads until GOAWAY, or the end: `None`, also if the server broke off.
    pub async fn goaway(&mut self) -> Option<Frame> {
        loop {
            match self.read().await {
                Ok(Some(frame)) if frame.kind == GOAWAY => return Some(frame),
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return None,
            }
        }
    }
}
