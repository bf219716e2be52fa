use super::check;
use crate::Refusal;
use proptest::prelude::*;

#[test]
fn structure_costs_and_blanks_do_not() {
    let plain = check(b"[1,2]", 64, u64::MAX).unwrap();
    let spaced = check(b"[ 1 , 2 ]", 64, u64::MAX).unwrap();
    assert_eq!(spaced - plain, 4);
    let empty = b"[],".repeat(1 << 20);
    assert_eq!(
        check(&empty, 64, 4 * empty.len() as u64),
        Err(Refusal::Memory)
    );
}

#[test]
fn brackets_in_texts_are_text() {
    assert!(check(br#""[[[\"[[[""#, 1, 1 << 12).is_ok());
    assert!(check(br#"["\\","["]"#, 1, 1 << 12).is_ok());
    assert_eq!(check(b"[[", 1, 1 << 12), Err(Refusal::Depth));
}

#[test]
fn only_utf8_is_read() {
    assert_eq!(check(b"\"\xff\"", 4, 1 << 12), Err(Refusal::Text));
    assert_eq!(check(b"\"\xed\xa0\x80\"", 4, 1 << 12), Err(Refusal::Text));
}

proptest! {
    #[test]
    fn arbitrary_bytes_end_in_an_answer(data in r#"[\[\]{}",:\\a0u é😀]{0,80}"#) {
        let spent = check(data.as_bytes(), 100, u64::MAX).unwrap();
        prop_assert!(spent == 0 || check(data.as_bytes(), 100, spent - 1) == Err(Refusal::Memory));
    }
}
