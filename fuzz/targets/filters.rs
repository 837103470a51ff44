#![no_main]

libfuzzer_sys::fuzz_target!(|filter: &str| burgee_management::fuzzing::filters(filter));
