//! Messages that are put together from encoded parts.

use std::marker::PhantomData;

use burgee_proto::encoded::Encoded;
use prost::Message;

/// Writes a message of type `T` from front to back: parts that are encoded already, and plain fields between them. If fields
/// come in the order of their numbers, the bytes are those of the plain message's encoding.
#[derive(Debug)]
pub(crate) struct MessageWriter<T> {
    bytes: Vec<u8>,
    message: PhantomData<fn() -> T>,
}

impl<T> Default for MessageWriter<T> {
    fn default() -> Self {
        Self::with_capacity(0)
    }
}

impl<T> MessageWriter<T> {
    /// Creates a writer with room for so many bytes.
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), message: PhantomData }
    }

    /// Writes a field whose value is an item of [`Parts`](crate::parts::Parts); nothing, if the item is empty.
    #[inline]
    pub(crate) fn part(&mut self, field: u8, part: &[u8]) {
        if !part.is_empty() {
            self.bytes.push(key(field));
            self.bytes.extend_from_slice(part);
        }
    }

    /// Writes a field whose value is another message.
    pub(crate) fn message<U>(&mut self, field: u8, message: &MessageWriter<U>) {
        self.bytes.reserve(message.len_as_field());
        self.bytes.push(key(field));
        prost::encoding::encode_varint(message.bytes.len() as u64, &mut self.bytes);
        self.bytes.extend_from_slice(&message.bytes);
    }

    /// Returns the bytes that [`Self::message`] writes for this message.
    pub(crate) fn len_as_field(&self) -> usize {
        1 + prost::length_delimiter_len(self.bytes.len()) + self.bytes.len()
    }

    /// Forgets what was written, and keeps the room.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Returns the message.
    pub(crate) fn finish(self) -> Encoded<T> {
        Encoded::from_bytes(self.bytes)
    }
}

impl<T: Message> MessageWriter<T> {
    /// Writes those fields of a plain message that are set.
    pub(crate) fn fields(&mut self, message: &T) {
        message.encode(&mut self.bytes).expect("a vector has room for every message");
    }
}

/// Returns what stands before a field of variable length. All fields that are written like this have numbers below 16.
#[inline]
fn key(field: u8) -> u8 {
    debug_assert!((1..16).contains(&field), "the key of field {field} takes more than a byte");
    field << 3 | prost::encoding::WireType::LengthDelimited as u8
}
