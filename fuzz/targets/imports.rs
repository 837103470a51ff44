#![no_main]

use burgee_fuzz::quickly;

libfuzzer_sys::fuzz_target!(|document: &str| quickly(|| burgee::fuzzing::imports(document)));
