#![no_main]

use burgee_core::fuzzing::{patterns, split};
use burgee_fuzz::quickly;

libfuzzer_sys::fuzz_target!(|data: &str| {
    let (pattern, text) = split(data);
    quickly(|| patterns(pattern, text));
});
