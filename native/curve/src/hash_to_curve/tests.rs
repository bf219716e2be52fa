//! Published vectors and edge cases, on every target.

use atoll_simd::targets;

use super::*;

/// RFC 9380, appendix J.4.1.
const VECTORS: [(&str, &str); 3] = [
    (
        "",
        "2de3780abb67e861289f5749d16d3e217ffa722192d16bbd9d1bfb9d112b98c0",
    ),
    (
        "abc",
        "2b4419f1f2d48f5872de692b0aca72cc7b0a60915dd70bde432e826b6abc526d",
    ),
    (
        "abcdef0123456789",
        "68ca1ea5a6acf4e9956daa101709b1eee6c1bb0df1de3b90d4602382a104c036",
    ),
];
const TAG: &[u8] = b"QUUX-V01-CS02-with-curve25519_XMD:SHA-512_ELL2_RO_";

fn big_endian(hex: &str) -> [u8; 32] {
    let digits = hex.trim_start_matches("0x");
    let mut bytes: [u8; 32] =
        std::array::from_fn(|i| u8::from_str_radix(&digits[2 * i..2 * i + 2], 16).expect("hex"));
    bytes.reverse();
    bytes
}

fn hash(target: Target, texts: &[&[u8]], tag: &[u8]) -> Vec<[u8; 32]> {
    let bytes = texts.concat();
    let ends = texts.iter().scan(0, |end, text| {
        *end += text.len() as i64;
        Some(*end)
    });
    let offsets: Vec<i64> = std::iter::once(0).chain(ends).collect();
    let messages = Messages::new(&bytes, &offsets).expect("offsets");
    hash_to_curve(
        target,
        &Pool::new(1).expect("thread"),
        messages,
        &Domain::new(tag).expect("tag"),
    )
}

#[test]
fn rfc_9380() {
    let texts: Vec<&[u8]> = VECTORS.iter().map(|(text, _)| text.as_bytes()).collect();
    let points: Vec<_> = VECTORS.iter().map(|(_, point)| big_endian(point)).collect();
    for target in targets() {
        assert_eq!(hash(target, &texts, TAG), points, "{target:?}");
    }
}

/// The whole published files, where `ATOLL_DATA` names the folder that holds them.
#[test]
fn published_files() {
    let Some(folder) = std::env::var_os("ATOLL_DATA") else {
        return;
    };
    let folder = std::path::Path::new(&folder).join("vectors");
    if let Ok(text) = std::fs::read_to_string(folder.join("curve25519_XMD_SHA-512_ELL2_RO_.json")) {
        let file: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let tag = file["dst"].as_str().expect("tag").as_bytes();
        for vector in file["vectors"].as_array().expect("vectors") {
            let message = vector["msg"].as_str().expect("message").as_bytes();
            let point = big_endian(vector["P"]["x"].as_str().expect("point"));
            for target in targets() {
                assert_eq!(hash(target, &[message], tag), [point]);
            }
        }
    }
}

#[test]
fn every_group_size_gives_the_same_points() {
    let texts: Vec<Vec<u8>> = (0..600usize).map(|i| vec![i as u8; i % 300]).collect();
    let texts: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
    let expected = hash(Target::PORTABLE, &texts, b"tag");
    for target in targets() {
        assert_eq!(hash(target, &texts, b"tag"), expected, "{target:?}");
        for size in [0, 1, 7, 8, 9, 33, 257] {
            assert_eq!(hash(target, &texts[..size], b"tag"), expected[..size]);
        }
    }
}

#[test]
fn tags_and_offsets_are_checked() {
    assert!(Domain::new(b"").is_none());
    assert!(Domain::new(&[1; 255]).is_some());
    assert!(Domain::new(&[1; 256]).is_none());
    for offsets in [&[][..], &[1, 0], &[-1, 2], &[0, 4], &[0, 3, 2]] {
        assert!(Messages::new(b"abc", offsets).is_none());
    }
    assert_eq!(
        Messages::new(b"abc", &[1, 1, 3]).expect("offsets").get(1),
        b"bc"
    );
}
