//! How messages are read from and written to the wire: as protobuf, within a limit of memory.

use std::fmt;
use std::marker::PhantomData;

use burgee_core::{Error, Result};
use prost::bytes::Buf as _;
use prost::{Message, Name};
use tonic::Status;
use tonic::codec::{DecodeBuf, Decoder};
use tonic_prost::{ProstDecoder, ProstEncoder};

use crate::measure::decoded_bytes;
use crate::status::status;

/// The bytes of memory that a message may take once it is decoded; or [`GROWTH`] times its bytes on the wire, if that is more.
pub const DECODED_MESSAGE_BYTES: usize = 64 * 1024 * 1024;
/// How many times as much a message of many bytes may take once it is decoded.
pub const GROWTH: usize = 16;
/// Messages of at most so many bytes are not measured: whatever they hold, they keep within the limit.
const UNMEASURED_BYTES: usize = 64 * 1024;

/// Protobuf, but a message that would take too much memory is refused before it is decoded: 4 MiB of empty elements, 2 bytes each,
/// would otherwise take hundreds of megabytes.
pub struct Codec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for Codec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> fmt::Debug for Codec<T, U> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Codec")
    }
}

impl<T, U> tonic::codec::Codec for Codec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Name + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = MeasuringDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::default()
    }

    fn decoder(&mut self) -> Self::Decoder {
        MeasuringDecoder(ProstDecoder::default())
    }
}

/// Measures messages, and decodes those that keep within the limit.
#[derive(Clone, Debug)]
pub struct MeasuringDecoder<U>(ProstDecoder<U>);

impl<U: Message + Name + Default> Decoder for MeasuringDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, wire: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        // The buffer is one piece: it has all of the message in its first chunk.
        check::<U>(wire.chunk()).map_err(status)?;
        self.0.decode(wire)
    }
}

/// Checks that a message keeps within the limit.
fn check<U: Name>(wire: &[u8]) -> Result<()> {
    let maximum = DECODED_MESSAGE_BYTES.max(wire.len().saturating_mul(GROWTH));
    if wire.len() > UNMEASURED_BYTES && decoded_bytes(&U::full_name(), wire, maximum) > maximum {
        return Err(Error::LimitExceeded { limit: "decoded_message_bytes", maximum: maximum as u64 });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::evaluation::v1::{BatchEvaluateFlagsItem, BatchEvaluateFlagsRequest, IdentityContext};
    use crate::management::v1::change_request::Change;
    use crate::management::v1::{
        ApplyChangesRequest, ChangeRequest, CreateFeatureRequest, CreateSegmentRequest, UpdateFlagRequest,
    };
    use crate::measure;
    use crate::v1::{Flag, FlagState, TraitValue, trait_value};

    /// The default limit of the bytes of a request.
    const REQUEST_BYTES: usize = 4 * 1024 * 1024;

    /// Wraps an element in messages, outermost last, by the tags of their fields.
    fn within(mut wire: Vec<u8>, tags: &[u8]) -> Vec<u8> {
        for tag in tags {
            let mut outer = vec![*tag];
            prost::encoding::encode_varint(wire.len() as u64, &mut outer);
            outer.append(&mut wire);
            wire = outer;
        }
        wire
    }

    fn refused<U: Name>(wire: &[u8]) -> bool {
        matches!(check::<U>(wire), Err(Error::LimitExceeded { limit: "decoded_message_bytes", .. }))
    }

    fn full_of(element: &[u8]) -> Vec<u8> {
        element.repeat(REQUEST_BYTES / element.len() - 16)
    }

    #[test]
    fn a_request_full_of_the_smallest_elements_is_refused() {
        // changes: empty, and with an empty update of a flag
        assert!(refused::<ApplyChangesRequest>(&full_of(&[0x12, 0])));
        assert!(refused::<ApplyChangesRequest>(&full_of(&[0x12, 2, 0x0a, 0])));
        // one change of a flag with empty segment overrides
        assert!(refused::<ApplyChangesRequest>(&within(full_of(&[0x22, 0]), &[0x0a, 0x0a, 0x12])));
        // items: empty, and with an empty identity
        assert!(refused::<BatchEvaluateFlagsRequest>(&full_of(&[0x0a, 0])));
        assert!(refused::<BatchEvaluateFlagsRequest>(&full_of(&[0x0a, 2, 0x12, 0])));
        // feature.variants; segment.rules; segment.rules[0].conditions
        assert!(refused::<CreateFeatureRequest>(&within(full_of(&[0x32, 0]), &[0x1a])));
        assert!(refused::<CreateSegmentRequest>(&within(full_of(&[0x2a, 0]), &[0x1a])));
        assert!(refused::<CreateSegmentRequest>(&within(full_of(&[0x12, 0]), &[0x2a, 0x1a])));
    }

    #[test]
    fn the_largest_requests_of_sense_are_taken() {
        let state = FlagState { enabled: Some(true), ..Default::default() };
        let flag = Flag { name: "f".repeat(60), state: Some(state), ..Default::default() };
        let update = UpdateFlagRequest { flag: Some(flag), ..Default::default() };
        let change = ChangeRequest { change: Some(Change::UpdateFlag(update)) };
        let request = ApplyChangesRequest { changes: vec![change; 5_000], ..Default::default() };
        check::<ApplyChangesRequest>(&request.encode_to_vec()).unwrap();

        // 4 MiB of traits of 10 bytes each.
        let on = TraitValue { kind: Some(trait_value::Kind::BooleanValue(true)) };
        let traits: BTreeMap<String, TraitValue> =
            (0..400).map(|key| (format!("{key:03}"), on.clone())).collect();
        let identity = IdentityContext { traits, ..Default::default() };
        let item = BatchEvaluateFlagsItem { identity: Some(identity), ..Default::default() };
        let request = BatchEvaluateFlagsRequest { items: vec![item; 950], ..Default::default() };
        let wire = request.encode_to_vec();
        assert!(wire.len() > REQUEST_BYTES * 9 / 10, "{}", wire.len());
        check::<BatchEvaluateFlagsRequest>(&wire).unwrap();
    }

    #[test]
    fn a_longer_message_may_take_more() {
        // A text takes as much as it has on the wire.
        let request = ApplyChangesRequest { reason: "x".repeat(100 * 1024 * 1024), ..Default::default() };
        check::<ApplyChangesRequest>(&request.encode_to_vec()).unwrap();
    }

    #[test]
    fn what_is_not_measured_keeps_within_the_limit() {
        // An element has at least two bytes.
        assert!(measure::largest_element() * UNMEASURED_BYTES / 2 <= DECODED_MESSAGE_BYTES);
    }
}
