//! A message that is encoded already.

use bytes::{Buf, BufMut, Bytes};
use prost::encoding::{DecodeContext, WireType};
use prost::{DecodeError, Message};

/// The bytes of a message of any type.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Ready(pub(crate) Bytes);

impl Message for Ready {
    fn encode_raw(&self, buffer: &mut impl BufMut) {
        buffer.put_slice(&self.0);
    }

    fn encoded_len(&self) -> usize {
        self.0.len()
    }

    /// Takes all there is, fields and tags unread.
    fn merge(&mut self, mut buffer: impl Buf) -> Result<(), DecodeError> {
        self.0 = buffer.copy_to_bytes(buffer.remaining());
        Ok(())
    }

    fn merge_field(
        &mut self,
        _tag: u32,
        _wire_type: WireType,
        _buffer: &mut impl Buf,
        _context: DecodeContext,
    ) -> Result<(), DecodeError> {
        // `merge` asks for no single field.
        Ok(())
    }

    fn clear(&mut self) {
        self.0.clear();
    }
}
