//! Times between the wire and the domain.

use std::time::Duration;

use burgee_core::Violation;
use chrono::{DateTime, Timelike, Utc};

/// The seconds that a timestamp may have.
const YEARS_1_TO_9999: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// Converts an instant to the wire.
pub fn timestamp(time: DateTime<Utc>) -> prost_types::Timestamp {
    let nanos = i32::try_from(time.nanosecond().min(999_999_999)).unwrap_or_default();
    prost_types::Timestamp { seconds: time.timestamp(), nanos }
}

/// Converts an instant from the wire; a database keeps microseconds, so the rest is cut off.
pub fn instant(timestamp: &prost_types::Timestamp) -> Result<DateTime<Utc>, Violation> {
    let nanos = u32::try_from(timestamp.nanos).ok().filter(|nanos| *nanos < 1_000_000_000);
    nanos
        .filter(|_| YEARS_1_TO_9999.contains(&timestamp.seconds))
        .and_then(|nanos| DateTime::from_timestamp(timestamp.seconds, nanos / 1_000 * 1_000))
        .ok_or_else(|| {
            Violation::new("", "must be a time from year 1 to 9999, with 0 to 999,999,999 nanoseconds")
        })
}

/// Converts a length of time to the wire.
pub fn duration(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or_default(),
    }
}

/// Converts a length of time from the wire; it cannot be negative.
pub fn length(duration: &prost_types::Duration) -> Result<Duration, Violation> {
    match (u64::try_from(duration.seconds), u32::try_from(duration.nanos)) {
        (Ok(seconds), Ok(nanos)) if nanos < 1_000_000_000 => Ok(Duration::new(seconds, nanos)),
        _ => Err(Violation::new("", "must be zero or a positive length of time")),
    }
}
