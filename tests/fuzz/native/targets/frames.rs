//! A partner's envelopes and frames.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| atoll_wire::fuzzing::stream(data));
