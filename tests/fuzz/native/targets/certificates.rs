//! Certificates, and text that holds some.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| atoll_wire::fuzzing::certificates(data));
