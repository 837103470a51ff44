//! Numbers as the reference engine, which is written in Python, reads, compares and prints them.
//!
//! The casts are `int()` and `float()` of CPython 3.11, the texts its `repr()`.

use std::cmp::Ordering;
use std::fmt::{self, Write};

/// An integer of any size, as text may hold it: 64 bits if they suffice, else its digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Integer<'a> {
    /// Fits into 64 bits.
    Small(i64),
    /// Does not fit: ASCII digits without leading zeros.
    Large { negative: bool, digits: &'a str },
}

impl<'a> Integer<'a> {
    /// Reads a sign and ASCII digits, of which there is at least one.
    pub(crate) fn from_digits(negative: bool, digits: &'a str) -> Self {
        let digits = digits.trim_start_matches('0');
        // Nineteen digits are less than 10^19, which 64 bits without a sign hold.
        if digits.len() <= 19 {
            let magnitude = digits.bytes().fold(0, |sum: u64, digit| sum * 10 + u64::from(digit - b'0'));
            let small =
                if negative { 0_i64.checked_sub_unsigned(magnitude) } else { magnitude.try_into().ok() };
            if let Some(small) = small {
                return Self::Small(small);
            }
        }
        Self::Large { negative, digits }
    }

    /// Returns the nearest double, infinite if there is none.
    pub(crate) fn to_f64(self) -> f64 {
        match self {
            Self::Small(small) => small as f64,
            Self::Large { negative, digits } => {
                let magnitude: f64 = digits.parse().unwrap_or(f64::INFINITY);
                if negative { -magnitude } else { magnitude }
            }
        }
    }
}

impl Ord for Integer<'_> {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        let magnitude = |left: &str, right: &str| left.len().cmp(&right.len()).then_with(|| left.cmp(right));
        match (*self, *other) {
            (Self::Small(left), Self::Small(right)) => left.cmp(&right),
            (Self::Small(_), Self::Large { negative: true, .. }) => Ordering::Greater,
            (Self::Small(_), Self::Large { negative: false, .. }) => Ordering::Less,
            (Self::Large { negative: true, .. }, Self::Small(_)) => Ordering::Less,
            (Self::Large { negative: false, .. }, Self::Small(_)) => Ordering::Greater,
            (Self::Large { negative, digits: left }, Self::Large { negative: other, digits: right }) => {
                match (negative, other) {
                    (false, false) => magnitude(left, right),
                    (true, true) => magnitude(right, left),
                    (true, false) => Ordering::Less,
                    (false, true) => Ordering::Greater,
                }
            }
        }
    }
}

impl PartialOrd for Integer<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Integer<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Small(small) => write!(formatter, "{small}"),
            Self::Large { negative, digits } => {
                write!(formatter, "{}{digits}", if *negative { "-" } else { "" })
            }
        }
    }
}

/// An integer that an operand holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum IntegerOperand {
    /// Fits into 64 bits.
    Small(i64),
    /// Does not fit: ASCII digits without leading zeros.
    Large { negative: bool, digits: String },
}

impl IntegerOperand {
    /// Casts a text as `int()` does: blanks around, a sign, `_` between digits, any script's digits.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let plain = to_ascii(text)?;
        let (negative, digits) = match plain.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, plain.strip_prefix('+').unwrap_or(&plain)),
        };
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        Some(match Integer::from_digits(negative, digits) {
            Integer::Small(small) => Self::Small(small),
            Integer::Large { negative, digits } => Self::Large { negative, digits: digits.to_owned() },
        })
    }

    /// Returns the integer.
    #[inline]
    pub(crate) fn get(&self) -> Integer<'_> {
        match self {
            Self::Small(small) => Integer::Small(*small),
            Self::Large { negative, digits } => Integer::Large { negative: *negative, digits },
        }
    }
}

/// Casts a text as `float()` does: blanks around, a sign, decimals, exponent, `inf`, `nan`, `_` between
/// digits, any script's digits.
pub(crate) fn parse_float(text: &str) -> Option<f64> {
    // What Rust reads as a double is what Python does, once blanks, scripts and `_` are out of the way.
    to_ascii(text)?.parse().ok()
}

/// Strips blanks, turns every script's decimal digits into ASCII's, and removes `_` between digits;
/// `None` if a `_` is elsewhere.
fn to_ascii(text: &str) -> Option<String> {
    let plain: String = text
        .trim()
        .chars()
        .map(|character| match decimal_digit(character) {
            Some(digit) => char::from(b'0' + digit),
            None => character,
        })
        .collect();
    if !plain.contains('_') {
        return Some(plain);
    }
    let bytes = plain.as_bytes();
    let is_digit = |index: usize| bytes.get(index).is_some_and(u8::is_ascii_digit);
    let between_digits = |index: usize| index > 0 && is_digit(index - 1) && is_digit(index + 1);
    let valid = bytes.iter().enumerate().all(|(index, byte)| *byte != b'_' || between_digits(index));
    valid.then(|| plain.replace('_', ""))
}

fn decimal_digit(character: char) -> Option<u8> {
    if character.is_ascii() {
        return character.to_digit(10).and_then(|digit| digit.try_into().ok());
    }
    let code = u32::from(character);
    let script = ZEROS.partition_point(|zero| *zero <= code).checked_sub(1)?;
    u8::try_from(code - ZEROS[script]).ok().filter(|digit| *digit < 10)
}

/// The zero of every script that has decimal digits (Unicode 14's category Nd); one to nine follow it.
const ZEROS: [u32; 65] = [
    0x0660, 0x06f0, 0x07c0, 0x0966, 0x09e6, 0x0a66, 0x0ae6, 0x0b66, 0x0be6, 0x0c66, 0x0ce6, 0x0d66, 0x0de6,
    0x0e50, 0x0ed0, 0x0f20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50, 0x1bb0,
    0x1c40, 0x1c50, 0xa620, 0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0xff10, 0x104a0, 0x10d30,
    0x11066, 0x110f0, 0x11136, 0x111d0, 0x112f0, 0x11450, 0x114d0, 0x11650, 0x116c0, 0x11730, 0x118e0,
    0x11950, 0x11c50, 0x11d50, 0x11da0, 0x16a60, 0x16ac0, 0x16b50, 0x1d7ce, 0x1d7d8, 0x1d7e2, 0x1d7ec,
    0x1d7f6, 0x1e140, 0x1e2f0, 0x1e950, 0x1fbf0,
];

/// A double whose text is Python's `repr()`: the shortest that reads back, always with a point, an
/// exponent or a name.
pub(crate) struct FloatText(pub(crate) f64);

impl fmt::Display for FloatText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_nan() {
            return formatter.write_str("nan");
        }
        if self.0.is_infinite() {
            return formatter.write_str(if self.0 < 0.0 { "-inf" } else { "inf" });
        }
        // Rust's shortest digits are Python's; only where the exponent begins differs.
        let scientific = format!("{:e}", self.0);
        let Some((digits, exponent)) = scientific.split_once('e') else {
            return formatter.write_str(&scientific);
        };
        let exponent: i32 = exponent.parse().map_err(|_| fmt::Error)?;
        if !(-4..16).contains(&exponent) {
            let sign = if exponent < 0 { '-' } else { '+' };
            return write!(formatter, "{digits}e{sign}{:02}", exponent.unsigned_abs());
        }
        let plain = format!("{}", self.0);
        formatter.write_str(&plain)?;
        if plain.contains('.') { Ok(()) } else { formatter.write_str(".0") }
    }
}

/// Returns what is left of a division with the sign of the divisor, as Python's `%` does.
pub(crate) fn modulo(value: f64, divisor: f64) -> f64 {
    let rest = value % divisor;
    if rest != 0.0 && (rest < 0.0) != (divisor < 0.0) { rest + divisor } else { rest }
}

/// Runs `read` on the text of something displayable, without allocating while it is short.
pub(crate) fn with_text<T>(displayable: impl fmt::Display, read: impl FnOnce(&str) -> T) -> T {
    let mut text = ShortText { bytes: [0; 48], length: 0 };
    match write!(text, "{displayable}").ok().and_then(|()| str::from_utf8(&text.bytes[..text.length]).ok()) {
        Some(short) => read(short),
        None => read(&displayable.to_string()),
    }
}

/// A buffer on the stack.
struct ShortText {
    bytes: [u8; 48],
    length: usize,
}

impl Write for ShortText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length + text.len();
        self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_integer(text: &str, expected: Option<&str>) {
        let integer = IntegerOperand::parse(text).map(|integer| integer.get().to_string());
        assert_eq!(integer.as_deref(), expected, "int({text:?})");
    }

    #[test]
    fn integers_are_cast_as_in_python() {
        for (text, expected) in [
            ("0", Some("0")),
            ("-1", Some("-1")),
            ("-0", Some("0")),
            ("+1", Some("1")),
            ("007", Some("7")),
            ("1_0", Some("10")),
            ("1__0", None),
            ("_1", None),
            ("1_", None),
            ("-_1", None),
            (" 5 ", Some("5")),
            ("\t5\n", Some("5")),
            ("\u{1c}5\u{1f}", None),
            ("\u{a0}5\u{3000}", Some("5")),
            ("\u{200b}5", None),
            ("１２", Some("12")),
            ("१_२", Some("12")),
            ("-٣", Some("-3")),
            ("²", None),
            ("Ⅷ", None),
            ("1.0", None),
            ("", None),
            ("-", None),
            ("+-1", None),
            ("- 1", None),
            ("0x10", None),
            ("1e3", None),
            ("5\0", None),
            ("9223372036854775807", Some("9223372036854775807")),
            ("9223372036854775808", Some("9223372036854775808")),
            ("-9223372036854775808", Some("-9223372036854775808")),
            ("-9223372036854775809", Some("-9223372036854775809")),
            ("0123456789012345678901234567890", Some("123456789012345678901234567890")),
        ] {
            check_integer(text, expected);
        }
    }

    #[test]
    fn floats_are_cast_as_in_python() {
        for (text, expected) in [
            ("1", Some("1.0")),
            ("-1.5", Some("-1.5")),
            ("+.5", Some("0.5")),
            ("5.", Some("5.0")),
            ("1e3", Some("1000.0")),
            ("1E-3", Some("0.001")),
            ("1e+5", Some("100000.0")),
            ("1_0.2_5", Some("10.25")),
            ("1e1_0", Some("10000000000.0")),
            ("1_.5", None),
            ("1._5", None),
            ("1e_5", None),
            ("in_f", None),
            (" 1.5 ", Some("1.5")),
            ("١.٥", Some("1.5")),
            ("inf", Some("inf")),
            ("-Infinity", Some("-inf")),
            ("+INF", Some("inf")),
            ("nan", Some("nan")),
            ("-NaN", Some("nan")),
            ("infin", None),
            ("1e400", Some("inf")),
            ("1,5", None),
            ("", None),
            (".", None),
            ("e5", None),
            ("1e", None),
            ("--1", None),
            ("0x1p3", None),
            ("1.5f", None),
            ("1d5", None),
        ] {
            let float = parse_float(text).map(|float| FloatText(float).to_string());
            assert_eq!(float.as_deref(), expected, "float({text:?})");
        }
    }

    #[test]
    fn floats_are_printed_as_in_python() {
        for (float, expected) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (-1.5, "-1.5"),
            (0.1, "0.1"),
            (54.54, "54.54"),
            (1e15, "1000000000000000.0"),
            (9999999999999998.0, "9999999999999998.0"),
            (1e16, "1e+16"),
            (123456789012345680.0, "1.2345678901234568e+17"),
            (1e100, "1e+100"),
            (1e-4, "0.0001"),
            (0.00012, "0.00012"),
            (1e-5, "1e-05"),
            (1.5e-7, "1.5e-07"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(FloatText(float).to_string(), expected);
            assert_eq!(with_text(FloatText(float), str::to_owned), expected);
        }
    }

    #[test]
    fn long_texts_are_read_whole() {
        let digits = "1".repeat(100);
        assert_eq!(with_text(Integer::from_digits(true, &digits), str::to_owned), format!("-{digits}"));
    }

    #[test]
    fn the_rest_has_the_sign_of_the_divisor() {
        for (value, divisor, rest) in [
            (4.0, 2.0, 0.0),
            (-2.0, 3.0, 1.0),
            (1.0, -3.0, -2.0),
            (-3.0, 3.0, 0.0),
            (5.5, 2.0, 1.5),
            (-5.5, 2.0, 0.5),
            (5.5, -2.0, -0.5),
            (1e300, 7.0, 1.0),
            (0.3, 0.1, 0.09999999999999998),
            (-1e-20, 3.0, 3.0),
        ] {
            assert_eq!(modulo(value, divisor), rest, "{value} mod {divisor}");
        }
    }

    #[test]
    fn integers_of_any_size_are_in_order() {
        let ascending = [
            "-100000000000000000000",
            "-9223372036854775809",
            "-9223372036854775808",
            "-1",
            "0",
            "9223372036854775807",
            "9223372036854775808",
            "9223372036854775809",
            "10000000000000000000",
            "100000000000000000000",
        ];
        let integers = ascending.map(|text| IntegerOperand::parse(text).unwrap());
        for (left_at, left) in integers.iter().enumerate() {
            for (right_at, right) in integers.iter().enumerate() {
                assert_eq!(left.get().cmp(&right.get()), left_at.cmp(&right_at), "{left:?} {right:?}");
            }
        }
    }
}
