//! What is sent before a stream and in calls.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| atoll_wire::fuzzing::handshakes(data));
