//! How long a call may wait.

use std::time::Duration;

use tonic::metadata::MetadataMap;

/// What is left of a deadline so that the answer arrives before the caller gives up: at most this, or a tenth.
const LONGEST_MARGIN: Duration = Duration::from_millis(100);

/// Returns for how long a call may wait: as long as its caller does, less a little, and at most `longest`.
pub(crate) fn longest_wait(metadata: &MetadataMap, longest: Duration) -> Duration {
    let timeout = metadata.get("grpc-timeout").and_then(|value| value.to_str().ok()).and_then(parse);
    match timeout {
        Some(timeout) => timeout.saturating_sub(LONGEST_MARGIN.min(timeout / 10)).min(longest),
        None => longest,
    }
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

    fn check(timeout: &str, expected: Duration) {
        let mut metadata = MetadataMap::new();
        metadata.insert("grpc-timeout", timeout.parse().unwrap());
        assert_eq!(longest_wait(&metadata, Duration::from_secs(60)), expected, "{timeout}");
    }

    #[test]
    fn a_call_waits_a_little_less_than_its_caller() {
        check("1S", Duration::from_millis(900));
        check("20S", Duration::from_millis(19_900));
        check("10m", Duration::from_millis(9));
        check("100u", Duration::from_micros(90));
        check("100n", Duration::from_nanos(90));
    }

    #[test]
    fn no_call_waits_longer_than_the_limit() {
        check("2H", Duration::from_secs(60));
        check("99999999H", Duration::from_secs(60));
        assert_eq!(longest_wait(&MetadataMap::new(), Duration::from_secs(60)), Duration::from_secs(60));
    }

    #[test]
    fn what_is_no_timeout_does_not_count() {
        for timeout in ["S", "1", "1x", "-1S", "123456789S", "1é"] {
            assert_eq!(parse(timeout), None, "{timeout}");
        }
    }
}
