#![no_main]

use burgee_core::fuzzing::{jsonpath, split};
use burgee_fuzz::quickly;

libfuzzer_sys::fuzz_target!(|data: &str| {
    let (path, document) = split(data);
    quickly(|| jsonpath(path, document));
});
