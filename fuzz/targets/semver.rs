#![no_main]

use burgee_core::fuzzing::{semver, split};

libfuzzer_sys::fuzz_target!(|data: &str| {
    let (left, right) = split(data);
    semver(left, right);
});
