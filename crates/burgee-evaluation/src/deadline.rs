//! How long callers wait, as they say it.

use std::time::Duration;

use tonic::metadata::MetadataMap;

/// The longest [`margin`]; others are a tenth of the timeout.
const LONGEST_MARGIN: Duration = Duration::from_millis(100);

/// Returns for how long a caller waits, at most `longest`.
pub(crate) fn timeout(metadata: &MetadataMap, longest: Duration) -> Duration {
    let timeout = metadata.get("grpc-timeout").and_then(|value| value.to_str().ok()).and_then(parse);
    timeout.map_or(longest, |timeout| timeout.min(longest))
}

/// Returns what is left of a timeout so that the answer arrives before the caller gives up.
pub(crate) fn margin(timeout: Duration) -> Duration {
    LONGEST_MARGIN.min(timeout / 10)
}

/// Parses `grpc-timeout`: at most eight digits and a unit.
fn parse(timeout: &str) -> Option<Duration> {
    let (digits, unit) = timeout.split_at_checked(timeout.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(count * 3_600)),
        "M" => Some(Duration::from_secs(count * 60)),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(timeout_text: &str, expected: Duration) {
        let mut metadata = MetadataMap::new();
        metadata.insert("grpc-timeout", timeout_text.parse().unwrap());
        assert_eq!(timeout(&metadata, Duration::from_secs(60)), expected, "{timeout_text}");
    }

    #[test]
    fn a_caller_says_how_long_it_waits() {
        check("1S", Duration::from_secs(1));
        check("1M", Duration::from_secs(60));
        check("10m", Duration::from_millis(10));
        check("100u", Duration::from_micros(100));
        check("100n", Duration::from_nanos(100));
    }

    #[test]
    fn no_call_waits_longer_than_the_limit() {
        check("2H", Duration::from_secs(60));
        check("99999999H", Duration::from_secs(60));
        assert_eq!(timeout(&MetadataMap::new(), Duration::from_secs(60)), Duration::from_secs(60));
    }

    #[test]
    fn the_margin_is_a_tenth_and_never_long() {
        assert_eq!(margin(Duration::from_millis(10)), Duration::from_millis(1));
        assert_eq!(margin(Duration::from_secs(20)), Duration::from_millis(100));
    }

    #[test]
    fn what_is_no_timeout_does_not_count() {
        for timeout in ["S", "1", "1x", "-1S", "123456789S", "1é"] {
            assert_eq!(parse(timeout), None, "{timeout}");
        }
    }
}
