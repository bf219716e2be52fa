use super::check;
use crate::{DEPTH, Refusal};
use proptest::prelude::*;

const ENOUGH: u64 = 1 << 20;

fn refused(data: &[u8]) -> Refusal {
    check(data, ENOUGH).unwrap_err()
}

#[test]
fn every_type_has_one_form() {
    let accepted: [&[u8]; 18] = [
        b"\xc0",
        b"\xc2",
        b"\x7f",
        b"\xe0",
        b"\xcc\x80",
        b"\xcd\x01\x00",
        b"\xce\x00\x01\x00\x00",
        b"\xcf\x00\x00\x00\x01\x00\x00\x00\x00",
        b"\xd0\xdf",
        b"\xd1\xff\x7f",
        b"\xd2\xff\xff\x7f\xff",
        b"\xd3\xff\xff\xff\xff\x7f\xff\xff\xff",
        b"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00",
        b"\xa2\xc3\xa9",
        b"\xc4\x00",
        b"\x90",
        b"\x80",
        b"\x82\xa1a\x93\x01\x02\x03\xa1b\x81\xa0\xc0",
    ];
    for data in accepted {
        check(data, ENOUGH).unwrap_or_else(|refusal| panic!("{data:x?}: {refusal:?}"));
    }
}

#[test]
fn other_forms_are_refused() {
    for data in [
        &b"\xcc\x7f"[..],
        b"\xcd\x00\xff",
        b"\xce\x00\x00\xff\xff",
        b"\xcf\x00\x00\x00\x00\xff\xff\xff\xff",
        b"\xd0\xe0",
        b"\xd0\x01",
        b"\xd1\xff\x80",
        b"\xd2\xff\xff\x80\x00",
        b"\xd3\xff\xff\xff\xff\x80\x00\x00\x00",
        b"\xca\x00\x00\x00\x00",
        b"\xc1",
        b"\xc7\x00\x01",
        b"\xd4\x01\x00",
        b"\xd9\x01a",
        b"\xda\x00\x01a",
        b"\xc5\x00\x01a",
        b"\xdc\x00\x01\xc0",
        b"\xde\x00\x01\xa0\xc0",
    ] {
        assert_eq!(refused(data), Refusal::Form, "{data:x?}");
    }
    assert_eq!(refused(b"\xa1\xff"), Refusal::Text);
    assert_eq!(refused(b"\xa3\xed\xa0\x80"), Refusal::Text);
    assert_eq!(refused(b"\x81\x01\x01"), Refusal::Keys);
    assert_eq!(refused(b"\x82\xa1b\x00\xa1a\x00"), Refusal::Keys);
    assert_eq!(refused(b"\x82\xa1a\x00\xa1a\x00"), Refusal::Keys);
    assert_eq!(refused(b""), Refusal::Length);
    assert_eq!(refused(b"\x01\x01"), Refusal::Length);
}

#[test]
fn headers_are_not_believed() {
    assert_eq!(refused(b"\xdd\xff\xff\xff\xff\x01"), Refusal::Length);
    assert_eq!(refused(b"\xdf\xff\xff\xff\xff\x01"), Refusal::Length);
    assert_eq!(refused(b"\xc6\xff\xff\xff\xff\x01"), Refusal::Length);
    assert_eq!(refused(b"\xdb\xff\xff\xff\xff\x01"), Refusal::Length);
}

#[test]
fn nesting_ends_where_the_writer_ends_it() {
    let nested = |deep: usize| [vec![0x91; deep], vec![0x90]].concat();
    assert!(check(&nested(DEPTH), ENOUGH).is_ok());
    assert_eq!(refused(&nested(DEPTH + 1)), Refusal::Depth);
    let by_key = [b"\x81\xa0".repeat(DEPTH + 1), vec![0x80]].concat();
    assert_eq!(refused(&by_key), Refusal::Depth);
}

#[test]
fn lists_cost_what_python_takes_for_them() {
    let mut empty = vec![0xdd, 0x00, 0x80, 0x00, 0x00];
    empty.resize(5 + (8 << 20), 0x90);
    let length = empty.len() as u64;
    assert_eq!(check(&empty, 4 * length), Err(Refusal::Memory));
    assert!(check(&empty, u64::MAX).unwrap() > 100 * length);
    let blob = [&b"\xc6\x00\x10\x00\x00"[..], &vec![7; 1 << 20]].concat();
    assert!(check(&blob, (1 << 20) + 48).is_ok());
    assert_eq!(check(&blob, (1 << 20) + 47), Err(Refusal::Memory));
}

#[test]
fn one_wide_character_widens_a_whole_text() {
    let text = [&b"\xda\x04\x00"[..], &[b'a'; 1020], "😀".as_bytes()].concat();
    assert_eq!(check(&text, u64::MAX), Ok(96 + 4 * 1021 + 1024));
}

proptest! {
    #[test]
    fn arbitrary_bytes_end_in_an_answer(data in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(spent) = check(&data, ENOUGH) {
            // Less is refused, and so is any part of it.
            prop_assert!(spent == 0 || check(&data, spent - 1) == Err(Refusal::Memory));
            prop_assert!(check(&data[..data.len() - 1], ENOUGH).is_err());
        }
    }
}
