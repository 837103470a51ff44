//! What the fuzz targets share.

use std::time::Duration;

use cpu_time::ThreadTime;

/// What a case may take of the processor: others wait for it.
const LONGEST: Duration = Duration::from_secs(1);

/// Runs a case, which must not take long, however busy the machine is.
///
/// # Panics
/// The case took longer than a second.
pub fn quickly(case: impl FnOnce()) {
    let start = ThreadTime::now();
    case();
    let took = start.elapsed();
    assert!(took <= LONGEST, "the case took {took:?}");
}
