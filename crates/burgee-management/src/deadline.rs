//! Deadlines of calls, as their callers send them.

use std::time::Duration;

use http::HeaderMap;

/// The header that says how long a caller waits.
const GRPC_TIMEOUT: &str = "grpc-timeout";
/// Digits of a timeout.
const DIGITS: usize = 8;

/// Returns how long a call may take: as long as its caller waits, and at most `maximum`.
pub(crate) fn deadline(headers: &HeaderMap, maximum: Duration) -> Duration {
    let asked = headers.get(GRPC_TIMEOUT).and_then(|value| parse(value.to_str().ok()?));
    asked.map_or(maximum, |asked| asked.min(maximum))
}

/// Parses a number of at most eight digits and a unit.
fn parse(text: &str) -> Option<Duration> {
    let unit = text.chars().last()?;
    let digits = text.strip_suffix(unit)?;
    if digits.is_empty() || digits.len() > DIGITS || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    match unit {
        'H' => Some(Duration::from_secs(count * 3_600)),
        'M' => Some(Duration::from_secs(count * 60)),
        'S' => Some(Duration::from_secs(count)),
        'm' => Some(Duration::from_millis(count)),
        'u' => Some(Duration::from_micros(count)),
        'n' => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn check(timeout: &'static str, expected_ms: u64) {
        let headers = HeaderMap::from_iter([(
            http::HeaderName::from_static(GRPC_TIMEOUT),
            HeaderValue::from_static(timeout),
        )]);
        let deadline = deadline(&headers, Duration::from_secs(60));
        assert_eq!(deadline, Duration::from_millis(expected_ms), "{timeout}");
    }

    #[test]
    fn a_caller_may_ask_for_less_than_the_maximum() {
        check("5S", 5_000);
        check("250m", 250);
        check("2000u", 2);
        check("3000000n", 3);
        check("1M", 60_000);
        check("2M", 60_000);
        check("99999999H", 60_000);
        assert_eq!(deadline(&HeaderMap::new(), Duration::from_secs(60)), Duration::from_secs(60));
    }

    #[test]
    fn what_is_no_timeout_is_ignored() {
        for timeout in ["", "S", "5", "5x", "-5S", "123456789S", "5 S"] {
            check(timeout, 60_000);
        }
    }
}
