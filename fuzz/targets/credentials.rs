#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| burgee_management::fuzzing::credentials(text));
