//! MD5 of several messages at once, which begin differently and end alike.
//!
//! MD5 is a chain of dependent steps, so a processor waits most of the time. Working on the same step of
//! several messages side by side, with vector instructions, costs little more than one message does. And whatever of the beginnings fills blocks is hashed only once.

use pulp::{Arch, Simd, WithSimd};

/// Messages side by side.
pub(super) const LANES: usize = 8;
/// A number of each message.
pub(super) type Lanes = [u32; LANES];

/// Bytes of a block.
const BLOCK: usize = 64;
/// Blocks of the longest end, along with what the beginnings leave for them.
const BLOCKS: usize = 2;
/// Bytes of the longest end, along with what the beginnings leave: the padding takes at least nine.
pub(super) const LONGEST: usize = BLOCK * BLOCKS - 9;

/// The beginnings of up to [`LANES`] messages.
#[derive(Debug)]
pub(super) struct Beginnings {
    /// Bytes of each.
    length: usize,
    /// The state after the blocks that they fill.
    state: [Lanes; 4],
    /// What is left of them, at its place in the next block; zero elsewhere.
    rest: [Lanes; 16],
}

impl Beginnings {
    /// Takes up to [`LANES`] beginnings, all of one length.
    pub(super) fn new(texts: &[String]) -> Self {
        let length = texts.first().map_or(0, String::len);
        let mut state =
            [[0x6745_2301; LANES], [0xefcd_ab89; LANES], [0x98ba_dcfe; LANES], [0x1032_5476; LANES]];
        let block = |index: usize| {
            let mut words = [[0; LANES]; 16];
            for (lane, text) in texts.iter().enumerate() {
                let bytes = text.as_bytes().iter().skip(index * BLOCK).take(BLOCK);
                for (place, byte) in bytes.enumerate() {
                    words[place / 4][lane] |= u32::from(*byte) << (place % 4 * 8);
                }
            }
            words
        };
        let filled = length / BLOCK;
        (0..filled).for_each(|index| compress(&mut state, &block(index)));
        Self { length, state, rest: block(filled) }
    }

    /// Returns the MD5 of each beginning and the end, as four numbers with their little end first; `None` if the end
    /// is too long.
    pub(super) fn digests(&self, end: &str) -> Option<[Lanes; 4]> {
        let from = self.length % BLOCK;
        let to = from + end.len();
        if to > LONGEST {
            return None;
        }
        let mut bytes = [0_u8; BLOCK * BLOCKS];
        bytes[from..to].copy_from_slice(end.as_bytes());
        bytes[to] = 0x80;
        let padded = (to + 9).next_multiple_of(BLOCK);
        let bits = (self.length + end.len()) as u64 * 8;
        bytes[padded - 8..padded].copy_from_slice(&bits.to_le_bytes());

        let mut state = self.state;
        let mut words = self.rest;
        for block in bytes[..padded].chunks_exact(BLOCK) {
            for (lanes, bytes) in words.iter_mut().zip(block.as_chunks().0) {
                let word = u32::from_le_bytes(*bytes);
                lanes.iter_mut().for_each(|lane| *lane |= word);
            }
            compress(&mut state, &words);
            words = [[0; LANES]; 16];
        }
        Some(state)
    }
}

/// The compression function of RFC 1321, on each lane.
fn compress(state: &mut [Lanes; 4], words: &[Lanes; 16]) {
    Arch::new().dispatch(Compression { state, words });
}

struct Compression<'a> {
    state: &'a mut [Lanes; 4],
    words: &'a [Lanes; 16],
}

impl WithSimd for Compression<'_> {
    type Output = ();

    /// Is compiled for each kind of vectors that processors may have.
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        compress_lanes(self.state, self.words);
    }
}

/// The loop over lanes is the outer one: this is the shape that the compiler turns into vector instructions.
#[inline(always)]
fn compress_lanes(state: &mut [Lanes; 4], words: &[Lanes; 16]) {
    for lane in 0..LANES {
        let [mut a, mut b, mut c, mut d] = [state[0][lane], state[1][lane], state[2][lane], state[3][lane]];

        // One step: a = b + ((a + mix(b, c, d) + word + sine) <<< shift).
        macro_rules! step {
            ($mix:ident, $a:ident, $b:ident, $c:ident, $d:ident, $word:expr, $sine:expr, $shift:expr) => {
                $a = $a
                    .wrapping_add(words[$word % 16][lane])
                    .wrapping_add(SINES[$sine])
                    .wrapping_add($mix($b, $c, $d))
                    .rotate_left($shift)
                    .wrapping_add($b);
            };
        }
        // Four steps, after which every part of the state has had its turn.
        macro_rules! four {
            ($mix:ident, $sine:expr, $word:expr, $stride:expr, $shifts:expr) => {
                step!($mix, a, b, c, d, $word, $sine, $shifts[0]);
                step!($mix, d, a, b, c, $word + $stride, $sine + 1, $shifts[1]);
                step!($mix, c, d, a, b, $word + 2 * $stride, $sine + 2, $shifts[2]);
                step!($mix, b, c, d, a, $word + 3 * $stride, $sine + 3, $shifts[3]);
            };
        }
        macro_rules! round {
            ($mix:ident, $sine:expr, $word:expr, $stride:expr, $shifts:expr) => {
                four!($mix, $sine, $word, $stride, $shifts);
                four!($mix, $sine + 4, $word + 4 * $stride, $stride, $shifts);
                four!($mix, $sine + 8, $word + 8 * $stride, $stride, $shifts);
                four!($mix, $sine + 12, $word + 12 * $stride, $stride, $shifts);
            };
        }
        round!(choose, 0, 0, 1, [7, 12, 17, 22]);
        round!(choose_by_last, 16, 1, 5, [5, 9, 14, 20]);
        round!(parity, 32, 5, 3, [4, 11, 16, 23]);
        round!(mingle, 48, 0, 7, [6, 10, 15, 21]);

        for (part, sum) in state.iter_mut().zip([a, b, c, d]) {
            part[lane] = part[lane].wrapping_add(sum);
        }
    }
}

#[inline(always)]
fn choose(b: u32, c: u32, d: u32) -> u32 {
    d ^ (b & (c ^ d))
}

#[inline(always)]
fn choose_by_last(b: u32, c: u32, d: u32) -> u32 {
    c ^ (d & (b ^ c))
}

#[inline(always)]
fn parity(b: u32, c: u32, d: u32) -> u32 {
    b ^ c ^ d
}

#[inline(always)]
fn mingle(b: u32, c: u32, d: u32) -> u32 {
    c ^ (b | !d)
}

/// The whole parts of 2^32 times the sines of 1 to 64.
const SINES: [u32; 64] = [
    0xd76a_a478,
    0xe8c7_b756,
    0x2420_70db,
    0xc1bd_ceee,
    0xf57c_0faf,
    0x4787_c62a,
    0xa830_4613,
    0xfd46_9501,
    0x6980_98d8,
    0x8b44_f7af,
    0xffff_5bb1,
    0x895c_d7be,
    0x6b90_1122,
    0xfd98_7193,
    0xa679_438e,
    0x49b4_0821,
    0xf61e_2562,
    0xc040_b340,
    0x265e_5a51,
    0xe9b6_c7aa,
    0xd62f_105d,
    0x0244_1453,
    0xd8a1_e681,
    0xe7d3_fbc8,
    0x21e1_cde6,
    0xc337_07d6,
    0xf4d5_0d87,
    0x455a_14ed,
    0xa9e3_e905,
    0xfcef_a3f8,
    0x676f_02d9,
    0x8d2a_4c8a,
    0xfffa_3942,
    0x8771_f681,
    0x6d9d_6122,
    0xfde5_380c,
    0xa4be_ea44,
    0x4bde_cfa9,
    0xf6bb_4b60,
    0xbebf_bc70,
    0x289b_7ec6,
    0xeaa1_27fa,
    0xd4ef_3085,
    0x0488_1d05,
    0xd9d4_d039,
    0xe6db_99e5,
    0x1fa2_7cf8,
    0xc4ac_5665,
    0xf429_2244,
    0x432a_ff97,
    0xab94_23a7,
    0xfc93_a039,
    0x655b_59c3,
    0x8f0c_cc92,
    0xffef_f47d,
    0x8584_5dd1,
    0x6fa8_7e4f,
    0xfe2c_e6e0,
    0xa301_4314,
    0x4e08_11a1,
    0xf753_7e82,
    0xbd3a_f235,
    0x2ad7_d2bb,
    0xeb86_d391,
];

#[cfg(test)]
mod tests {
    use md5::{Digest, Md5};

    use super::*;

    fn check(beginnings: &[String], end: &str) {
        let digests = Beginnings::new(beginnings).digests(end).unwrap();
        for (lane, beginning) in beginnings.iter().enumerate() {
            let digest: Vec<u8> = digests.iter().flat_map(|part| part[lane].to_le_bytes()).collect();
            assert_eq!(digest, Md5::digest(format!("{beginning}{end}")).to_vec(), "{beginning} {end}");
        }
    }

    #[test]
    fn digests_are_those_of_the_crate() {
        for length in 0..3 * BLOCK {
            let beginnings = ["a", "b", "c"].map(|letter| letter.repeat(length));
            for end in 0..=LONGEST - length % BLOCK {
                check(&beginnings, &"x".repeat(end));
            }
        }
        check(&["ünï".to_owned(), "12345".to_owned()], "é");
        check(&std::array::from_fn::<_, LANES, _>(|lane| lane.to_string()), "all lanes");
    }

    #[test]
    fn a_longer_end_is_refused() {
        let beginnings = Beginnings::new(&["x".repeat(70)]);
        assert!(beginnings.digests(&"x".repeat(LONGEST - 6)).is_some());
        assert!(beginnings.digests(&"x".repeat(LONGEST - 5)).is_none());
    }
}
