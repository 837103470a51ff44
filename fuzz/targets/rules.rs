#![no_main]

use burgee_fuzz::quickly;

libfuzzer_sys::fuzz_target!(|data: &[u8]| quickly(|| burgee_proto::fuzzing::rules(data)));
