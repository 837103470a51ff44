//! The percentage hash, fixed for ever by its vectors: it decides who is in which bucket.

use md5::{Digest, Md5};

/// Returns the bucket of two ids, from 0 to below 100.
///
/// The ids are joined by commas; their MD5, as an integer modulo 9999, is spread over 0 to 100. Exactly
/// 100 is not a bucket: then the ids are hashed twice in a row, three times, and so on.
pub(super) fn percentage(first: &str, second: &str) -> f64 {
    let mut times = 1;
    loop {
        let mut hash = Md5::new();
        for index in 0..times {
            if index > 0 {
                hash.update(",");
            }
            hash.update(first);
            hash.update(",");
            hash.update(second);
        }
        if let Some(percentage) = spread(parts(&hash.finalize().into())) {
            return percentage;
        }
        times += 1;
    }
}

/// Returns the four numbers, each with its little end first, that a digest is made of.
fn parts(digest: &[u8; 16]) -> [u32; 4] {
    let (parts, _) = digest.as_chunks();
    std::array::from_fn(|index| u32::from_le_bytes(parts[index]))
}

/// Spreads an MD5, as four numbers with their little end first, over 0 to 100; `None` if it comes to exactly 100.
#[inline]
pub(super) fn spread(digest: [u32; 4]) -> Option<f64> {
    let remainder = remainder(digest);
    (remainder != 9998).then(|| f64::from(remainder) / 9998.0 * 100.0)
}

/// Returns the digest, whose bytes are an integer with its big end first, modulo 9999.
#[inline]
fn remainder(digest: [u32; 4]) -> u16 {
    /// The powers of 2^32 that the parts stand for, modulo 9999.
    const POWERS: [u64; 4] = {
        let power = (1 << 32) % 9999;
        [power * power % 9999 * power % 9999, power * power % 9999, power, 1]
    };
    // Each product has at most 46 bits.
    let sum: u64 = digest.iter().zip(POWERS).map(|(part, power)| u64::from(part.swap_bytes()) * power).sum();
    (sum % 9999) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remainder_of(text: &str) -> u16 {
        remainder(parts(&Md5::digest(text).into()))
    }

    fn check(first: &str, second: &str, text: &str, remainder_expected: u16, expected: f64) {
        assert_eq!(remainder_of(text), remainder_expected, "{text}");
        assert_eq!(percentage(first, second), expected, "{text}");
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
        assert_eq!(remainder_of("11,253"), 9998);
        check("11", "253", "11,253,11,253", 271, 2.7105421084216843);
        check("34", "53", "34,53,34,53", 9328, 93.29865973194639);
        check("65", "144", "65,144,65,144", 328, 3.280656131226245);
    }
}
