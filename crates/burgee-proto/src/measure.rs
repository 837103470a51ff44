//! How much memory a message takes once it is decoded, told from the wire before it is.

use std::collections::HashMap;
use std::sync::LazyLock;

use prost::Message as _;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};

use crate::DESCRIPTORS;

/// The most messages within each other that are decoded.
const DEPTH: usize = 100;
/// Bytes of a text, a list or a map, without what is in it.
const HANDLE_BYTES: usize = 24;
/// The most bytes of a number.
const NUMBER_BYTES: usize = 8;
/// The most bytes that tell whether something is there, or which of several it is.
const TAG_BYTES: usize = 8;
/// Lists grow by doubling, and maps that are filled in order are half empty.
const SPARE: usize = 2;

/// Estimates the bytes that a message takes once it is decoded. Never less than the lists and maps in it do, but for what the
/// allocator adds. Stops counting above `enough`. What does not decode counts up to where that is noticed; 0 for an unknown type.
pub(crate) fn decoded_bytes(type_name: &str, wire: &[u8], enough: usize) -> usize {
    let shapes = &*SHAPES;
    let Some(shape) = shapes.numbers.get(type_name) else { return 0 };
    let mut counting = Counting { shapes, bytes: 0, enough };
    // It ends early when there is enough, or where decoding will fail.
    let _ = counting.message(*shape, wire, 0);
    counting.bytes
}

/// Returns the most bytes that an element of a list takes.
#[cfg(test)]
pub(crate) fn largest_element() -> usize {
    SHAPES.shapes.iter().map(|shape| SPARE * shape.bytes).max().unwrap_or(0)
}

static SHAPES: LazyLock<Shapes> = LazyLock::new(|| {
    FileDescriptorSet::decode(DESCRIPTORS).map(|files| Shapes::of(&files)).unwrap_or_default()
});

/// All messages.
#[derive(Debug, Default)]
struct Shapes {
    shapes: Vec<Shape>,
    /// By name, such as `burgee.v1.Flag`.
    numbers: HashMap<String, usize>,
}

/// A message, as far as its memory goes.
#[derive(Debug)]
struct Shape {
    /// Bytes, without what is in its texts, lists and maps.
    bytes: usize,
    /// What its fields hold, by their numbers; single numbers are left out.
    fields: HashMap<u32, Content>,
}

#[derive(Clone, Copy, Debug)]
enum Content {
    Text,
    Message(usize),
    Numbers,
    Texts,
    /// The entries of a map, too.
    Messages(usize),
}

impl Shapes {
    fn of(files: &FileDescriptorSet) -> Self {
        let mut messages = Vec::new();
        for file in &files.file {
            for message in &file.message_type {
                collect(file.package(), message, &mut messages);
            }
        }
        let numbers: HashMap<String, usize> =
            messages.iter().enumerate().map(|(number, (name, _))| (name.clone(), number)).collect();
        let shape = |(_, message): &(String, &DescriptorProto)| Shape {
            bytes: bytes(message, &messages, &numbers),
            fields: message.field.iter().filter_map(|field| content(field, &numbers)).collect(),
        };
        Self { shapes: messages.iter().map(shape).collect(), numbers }
    }
}

/// Lists a message and those that are declared within it.
fn collect<'a>(scope: &str, message: &'a DescriptorProto, messages: &mut Vec<(String, &'a DescriptorProto)>) {
    let name = format!("{scope}.{}", message.name());
    for nested in &message.nested_type {
        collect(&name, nested, messages);
    }
    messages.push((name, message));
}

/// Returns the number of the message that a field holds.
fn message_of(field: &FieldDescriptorProto, numbers: &HashMap<String, usize>) -> Option<usize> {
    // Names of types begin with a dot.
    numbers
        .get(field.type_name().trim_start_matches('.'))
        .copied()
        .filter(|_| field.r#type() == Type::Message)
}

fn content(field: &FieldDescriptorProto, numbers: &HashMap<String, usize>) -> Option<(u32, Content)> {
    let repeated = field.label() == Label::Repeated;
    let content = match (field.r#type(), message_of(field, numbers)) {
        (_, Some(message)) if repeated => Content::Messages(message),
        (_, Some(message)) => Content::Message(message),
        (Type::String | Type::Bytes, None) if repeated => Content::Texts,
        (Type::String | Type::Bytes, None) => Content::Text,
        (_, None) if repeated => Content::Numbers,
        (_, None) => return None,
    };
    Some((u32::try_from(field.number()).ok()?, content))
}

/// Returns the bytes of a message. Messages that hold themselves do so by lists.
fn bytes(
    message: &DescriptorProto,
    messages: &[(String, &DescriptorProto)],
    numbers: &HashMap<String, usize>,
) -> usize {
    let of_field = |field: &FieldDescriptorProto| match message_of(field, numbers) {
        _ if field.label() == Label::Repeated => HANDLE_BYTES,
        Some(number) => TAG_BYTES + bytes(messages[number].1, messages, numbers),
        None if matches!(field.r#type(), Type::String | Type::Bytes) => HANDLE_BYTES,
        None if field.proto3_optional() => TAG_BYTES + NUMBER_BYTES,
        None => NUMBER_BYTES,
    };
    let in_oneof = |field: &FieldDescriptorProto| field.oneof_index.is_some() && !field.proto3_optional();
    let alone = message.field.iter().filter(|field| !in_oneof(field)).map(of_field).sum::<usize>();
    let oneof = |index: usize| {
        let fields = message.field.iter().filter(|field| in_oneof(field));
        let fields = fields.filter(|field| usize::try_from(field.oneof_index()) == Ok(index));
        fields.map(of_field).max().map_or(0, |bytes| TAG_BYTES + bytes)
    };
    alone + (0..message.oneof_decl.len()).map(oneof).sum::<usize>()
}

struct Counting<'a> {
    shapes: &'a Shapes,
    bytes: usize,
    enough: usize,
}

impl Counting<'_> {
    /// Counts what is in a message. `None` if that is enough, or does not decode.
    fn message(&mut self, number: usize, mut wire: &[u8], depth: usize) -> Option<()> {
        let shape = &self.shapes.shapes[number];
        if depth > DEPTH {
            return None;
        }
        while !wire.is_empty() {
            if self.bytes > self.enough {
                return None;
            }
            let (field, wire_type) = decode_key(&mut wire).ok()?;
            let content = shape.fields.get(&field).copied();
            if wire_type != WireType::LengthDelimited {
                if matches!(content, Some(Content::Numbers)) {
                    self.bytes += SPARE * NUMBER_BYTES;
                }
                skip_field(wire_type, field, &mut wire, DecodeContext::default()).ok()?;
                continue;
            }
            let length = usize::try_from(decode_varint(&mut wire).ok()?).ok()?;
            let (inner, behind) = wire.split_at_checked(length)?;
            wire = behind;
            match content {
                None => {}
                Some(Content::Text) => self.bytes += length,
                Some(Content::Texts) => self.bytes += SPARE * HANDLE_BYTES + length,
                // Each has a byte at least.
                Some(Content::Numbers) => self.bytes += SPARE * NUMBER_BYTES * length,
                Some(Content::Message(message)) => self.message(message, inner, depth + 1)?,
                Some(Content::Messages(message)) => {
                    self.bytes += SPARE * self.shapes.shapes[message].bytes;
                    self.message(message, inner, depth + 1)?;
                }
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use prost::Name;

    use super::*;
    use crate::{evaluation::v1 as evaluation, management::v1 as management, v1};

    fn check<T: Name>() {
        let name = T::full_name();
        let estimated = SHAPES.shapes[SHAPES.numbers[&name]].bytes;
        assert!((size_of::<T>()..=2 * size_of::<T>()).contains(&estimated), "{name}: {estimated}");
    }

    #[test]
    fn messages_are_not_estimated_smaller_than_they_are() {
        check::<management::ChangeRequest>();
        check::<management::UpdateFlagRequest>();
        check::<evaluation::BatchEvaluateFlagsItem>();
        check::<v1::Feature>();
        check::<v1::Variant>();
        check::<v1::Flag>();
        check::<v1::FlagState>();
        check::<v1::VariantWeight>();
        check::<v1::SegmentOverride>();
        check::<v1::Segment>();
        check::<v1::Rule>();
        check::<v1::Condition>();
        check::<v1::ClaimRule>();
        check::<v1::Value>();
        check::<v1::TraitValue>();
        check::<v1::EnvironmentKey>();
    }

    fn bytes_of<T: prost::Message + Name>(message: &T) -> usize {
        decoded_bytes(&T::full_name(), &message.encode_to_vec(), usize::MAX)
    }

    #[test]
    fn lists_texts_and_what_is_in_them_count() {
        let of = |name: &str| SHAPES.shapes[SHAPES.numbers[name]].bytes;
        assert_eq!(bytes_of(&v1::Rule::default()), 0);
        let condition = v1::Condition { property: "abc".into(), ..Default::default() };
        let rule = v1::Rule { conditions: vec![condition; 2], ..Default::default() };
        assert_eq!(bytes_of(&rule), 2 * (SPARE * of("burgee.v1.Condition") + 3));
        let outer = v1::Rule { rules: vec![rule.clone()], ..Default::default() };
        assert_eq!(bytes_of(&outer), SPARE * of("burgee.v1.Rule") + bytes_of(&rule));
        let feature = v1::Feature { tags: vec!["ab".into(); 3], ..Default::default() };
        assert_eq!(bytes_of(&feature), 3 * (SPARE * HANDLE_BYTES + 2));
        let key = v1::EnvironmentKey { scopes: vec![1, 2, 3], ..Default::default() };
        assert_eq!(bytes_of(&key), 3 * SPARE * NUMBER_BYTES);
    }

    #[test]
    fn counting_ends_with_enough() {
        let rule = v1::Rule { rules: vec![v1::Rule::default(); 1_000], ..Default::default() };
        let all = bytes_of(&rule);
        let counted = decoded_bytes("burgee.v1.Rule", &rule.encode_to_vec(), all / 10);
        assert!((all / 10..all / 5).contains(&counted), "{counted} of {all}");
    }

    #[test]
    fn what_does_not_decode_is_counted_up_to_there() {
        let one = SPARE * SHAPES.shapes[SHAPES.numbers["burgee.v1.Rule"]].bytes;
        // An empty rule, then one that is cut off.
        assert_eq!(decoded_bytes("burgee.v1.Rule", &[0x1a, 0, 0x1a, 9], usize::MAX), one);
        assert_eq!(decoded_bytes("burgee.v1.Nothing", &[0x1a, 0], usize::MAX), 0);
        // Rules in rules, deeper than is decoded, and than the stack would take.
        let mut nested = Vec::new();
        for _ in 0..5_000 {
            let mut outer = vec![0x1a];
            prost::encoding::encode_varint(nested.len() as u64, &mut outer);
            outer.append(&mut nested);
            nested = outer;
        }
        assert!(v1::Rule::decode(&*nested).is_err());
        assert_eq!(decoded_bytes("burgee.v1.Rule", &nested, usize::MAX), (DEPTH + 1) * one);
    }
}
