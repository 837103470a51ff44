#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| burgee_management::fuzzing::page_tokens(data));
