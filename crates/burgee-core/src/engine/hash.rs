//! The percentage hash, fixed for ever by its vectors: it decides who is in which bucket.

use md5::{Digest, Md5};

use super::lanes::digests;

/// How many buckets are worked out at once, for little more than the price of one.
pub(super) const LANES: usize = 4;

/// Returns the bucket of two ids, from 0 to below 100.
///
/// The ids are joined by commas; their MD5, as an integer modulo 9999, is spread over 0 to 100. Exactly
/// 100 is not a bucket: then the ids are hashed twice in a row, three times, and so on.
pub(super) fn percentage(first: &str, second: &str) -> f64 {
    match digests([first], second) {
        Some([digest]) => spread(&digest).unwrap_or_else(|| percentage_from(2, first, second)),
        None => percentage_from(1, first, second),
    }
}

/// Returns the buckets of each of the first ids with the second, as [`percentage`] does.
pub(super) fn percentages(firsts: [&str; LANES], second: &str) -> [f64; LANES] {
    match digests(firsts, second) {
        Some(digests) => std::array::from_fn(|lane| {
            spread(&digests[lane]).unwrap_or_else(|| percentage_from(2, firsts[lane], second))
        }),
        None => firsts.map(|first| percentage(first, second)),
    }
}

/// Hashes the ids that many times in a row, and more often while the result is 100.
fn percentage_from(times: usize, first: &str, second: &str) -> f64 {
    let mut ids = vec![[first, second].join(","); times];
    loop {
        if let Some(percentage) = spread(&Md5::digest(ids.join(",")).into()) {
            return percentage;
        }
        ids.push([first, second].join(","));
    }
}

/// Spreads a digest over 0 to 100; `None` if it comes to exactly 100.
fn spread(digest: &[u8; 16]) -> Option<f64> {
    let remainder = remainder(digest);
    (remainder != 9998).then(|| f64::from(remainder) / 9998.0 * 100.0)
}

/// Returns the digest, an integer of 128 bits with its big end first, modulo 9999.
fn remainder(digest: &[u8; 16]) -> u16 {
    let words =
        digest.chunks_exact(4).map(|bytes| bytes.iter().fold(0, |word, byte| (word << 8) | u64::from(*byte)));
    words.fold(0, |remainder, word: u64| ((remainder << 32) | word) % 9999) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::lanes::LONGEST;

    fn check(first: &str, second: &str, text: &str, remainder_expected: u16, expected: f64) {
        assert_eq!(remainder(&Md5::digest(text).into()), remainder_expected, "{text}");
        assert_eq!(percentage(first, second), expected, "{text}");
        assert_eq!(percentages([first, "other", first, ""], second)[2], expected, "{text}");
    }

    #[test]
    fn buckets_are_those_of_flagsmith() {
        check("78986", "test_env_foobar", "78986,test_env_foobar", 5452, 54.53090618123625);
        check("12345", "test_env_foobar", "12345,test_env_foobar", 5198, 51.990398079615915);
        check("78986", "32103813", "78986,32103813", 4927, 49.27985597119424);
        check("12", "93", "12,93", 2765, 27.655531106221243);
        let long = "8AYnz4q3KEfT5DFtnramnP_user-123";
        check("1016366", long, &format!("1016366,{long}"), 3919, 39.19783956791358);
        check("seg", "ünïcode", "seg,ünïcode", 1003, 10.032006401280256);
    }

    #[test]
    fn a_hundred_is_hashed_again() {
        assert_eq!(remainder(&Md5::digest("11,253").into()), 9998);
        check("11", "253", "11,253,11,253", 271, 2.7105421084216843);
        check("34", "53", "34,53,34,53", 9328, 93.29865973194639);
        check("65", "144", "65,144,65,144", 328, 3.280656131226245);
    }

    #[test]
    fn ids_of_every_length_hash_alike() {
        for length in [0, 50, 100, LONGEST - 2, LONGEST - 1, LONGEST, 5_000] {
            let long = "x".repeat(length);
            let expected = percentage_from(1, "a", &long);
            assert_eq!(percentage("a", &long), expected);
            assert_eq!(percentages(["a", "", "b", "a"], &long)[3], expected);
        }
    }
}
