#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| burgee_evaluation::fuzzing::requests(data));
