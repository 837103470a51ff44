//! MD5 of several short messages at once.
//!
//! MD5 is a chain of dependent steps, so a processor waits most of the time. Working on the same step of
//! several messages side by side, which the compiler turns into vector instructions, costs little more
//! than one message does.

/// Bytes of a block.
const BLOCK: usize = 64;
/// Blocks of the longest message: enough for a key, an environment's key and a UUID or an address.
const BLOCKS: usize = 2;
/// Bytes of the longest message: its padding takes at least nine.
pub(super) const LONGEST: usize = BLOCK * BLOCKS - 9;

/// Returns the MD5 of each of the first texts, a comma and the second; `None` if one of them is longer
/// than [`LONGEST`].
pub(super) fn digests<const L: usize>(firsts: [&str; L], second: &str) -> Option<[[u8; 16]; L]> {
    let mut messages = [[0; BLOCK * BLOCKS]; L];
    let mut blocks = [0; L];
    for ((message, blocks), first) in messages.iter_mut().zip(&mut blocks).zip(firsts) {
        *blocks = pad(message, first, second)?;
    }
    let mut digests = [[0; 16]; L];
    let mut state = [[0x6745_2301; L], [0xefcd_ab89; L], [0x98ba_dcfe; L], [0x1032_5476; L]];
    for block in 0..BLOCKS {
        let mut words = [[0; L]; 16];
        for (lane, message) in messages.iter().enumerate() {
            let bytes = message[block * BLOCK..].chunks_exact(4);
            for (word, bytes) in words.iter_mut().zip(bytes) {
                word[lane] = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            }
        }
        compress(&mut state, &words);
        // A shorter message is done before the others; what its lane holds from then on is not used.
        for lane in (0..L).filter(|lane| blocks[*lane] == block + 1) {
            for (bytes, part) in digests[lane].chunks_exact_mut(4).zip(&state) {
                bytes.copy_from_slice(&part[lane].to_le_bytes());
            }
        }
        if blocks.iter().all(|blocks| *blocks <= block + 1) {
            break;
        }
    }
    Some(digests)
}

/// Writes the message and its padding over zeros, and returns how many blocks that takes.
fn pad(message: &mut [u8; BLOCK * BLOCKS], first: &str, second: &str) -> Option<usize> {
    let length = first.len() + 1 + second.len();
    if length > LONGEST {
        return None;
    }
    message[..first.len()].copy_from_slice(first.as_bytes());
    message[first.len()] = b',';
    message[first.len() + 1..length].copy_from_slice(second.as_bytes());
    message[length] = 0x80;
    let blocks = (length + 9).div_ceil(BLOCK);
    message[blocks * BLOCK - 8..blocks * BLOCK].copy_from_slice(&(length as u64 * 8).to_le_bytes());
    Some(blocks)
}

/// The compression function of RFC 1321, on each lane.
///
/// The loop over lanes is the outer one and in a function of its own: this is the shape that the compiler
/// turns into vector instructions.
#[inline(never)]
fn compress<const L: usize>(state: &mut [[u32; L]; 4], words: &[[u32; L]; 16]) {
    for lane in 0..L {
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

    fn check(firsts: [&str; 4], second: &str) {
        let expected = firsts.map(|first| Md5::digest(format!("{first},{second}")).into());
        assert_eq!(digests(firsts, second), Some(expected));
        assert_eq!(digests([firsts[0]], second), Some([expected[0]]));
    }

    #[test]
    fn digests_are_those_of_the_crate() {
        for length in 0..LONGEST {
            let [long, half] = [length, length / 2].map(|length| "x".repeat(length));
            check([&long, "", &half, &long], "");
            check(["", &half, "", ""], &half);
        }
        check(["ünï", "é", "", "y"], "ü");
    }

    #[test]
    fn a_longer_message_is_refused() {
        assert!(digests(["", ""], &"x".repeat(LONGEST - 1)).is_some());
        assert!(digests(["", "x"], &"x".repeat(LONGEST - 1)).is_none());
    }
}
