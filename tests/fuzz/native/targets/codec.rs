//! What judges msgpack and JSON: it ends in an answer, and what is enough is enough.
#![no_main]

use atoll_codec::{Refusal, check_json, check_msgpack};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(spent) = check_msgpack(data, u64::MAX) {
        assert_eq!(check_msgpack(data, spent), Ok(spent));
        if spent > 0 {
            assert_eq!(check_msgpack(data, spent - 1), Err(Refusal::Memory));
        }
        assert!(check_msgpack(&data[..data.len() - 1], u64::MAX).is_err());
    }
    if let Ok(spent) = check_json(data, 64, u64::MAX) {
        assert_eq!(check_json(data, 64, spent), Ok(spent));
    }
});
