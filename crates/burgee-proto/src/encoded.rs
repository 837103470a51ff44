//! Responses that were encoded before gRPC asks for their bytes: those of the evaluation service are put together from
//! parts that were encoded when their snapshot was compiled.

use std::marker::PhantomData;

use bytes::{BufMut as _, Bytes};
use prost::{DecodeError, Message, Name};
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, EncodeBuf, Encoder};

use crate::codec::{self, MeasuringDecoder};

/// Bytes that a stream gathers before it hands them to the connection, as tonic does by default.
const YIELD_THRESHOLD: usize = 32 * 1024;

/// The bytes of a message of type `T`.
#[derive(Debug)]
pub struct Encoded<T> {
    bytes: Bytes,
    message: PhantomData<fn() -> T>,
}

impl<T> Encoded<T> {
    /// Takes bytes that are the encoding of a message of type `T`.
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Self {
        Self { bytes: bytes.into(), message: PhantomData }
    }

    /// Returns the bytes.
    pub fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }
}

impl<T: Message + Default> Encoded<T> {
    /// Reads the message, as its receiver does.
    ///
    /// # Errors
    /// The bytes are no message of type `T`.
    pub fn decode(&self) -> Result<T, DecodeError> {
        T::decode(self.bytes.clone())
    }
}

impl<T: Message> From<T> for Encoded<T> {
    fn from(message: T) -> Self {
        Self::from_bytes(message.encode_to_vec())
    }
}

impl<T> Clone for Encoded<T> {
    fn clone(&self) -> Self {
        Self::from_bytes(self.bytes.clone())
    }
}

/// The codec of a server that answers with [`Encoded`] messages.
#[derive(Debug)]
pub struct EncodedCodec<T, U>(PhantomData<fn() -> (T, U)>);

impl<T, U> Default for EncodedCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for EncodedCodec<Encoded<T>, U>
where
    T: Message + Send + 'static,
    U: Message + Name + Default + Send + 'static,
{
    type Encode = Encoded<T>;
    type Decode = U;
    type Encoder = EncodedEncoder<T>;
    type Decoder = MeasuringDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        EncodedEncoder(PhantomData)
    }

    fn decoder(&mut self) -> Self::Decoder {
        codec::Codec::<T, U>::default().decoder()
    }
}

/// Copies the bytes of messages.
#[derive(Debug)]
pub struct EncodedEncoder<T>(PhantomData<fn() -> T>);

impl<T> Encoder for EncodedEncoder<T> {
    type Item = Encoded<T>;
    type Error = Status;

    fn encode(&mut self, item: Self::Item, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.reserve(item.bytes.len());
        buffer.put_slice(&item.bytes);
        Ok(())
    }

    /// No buffer is held before there is something to send: a stream that waits costs none.
    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(0, YIELD_THRESHOLD)
    }
}
