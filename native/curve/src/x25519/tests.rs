//! Published vectors, and curve25519-dalek as a second opinion, on every target.

use atoll_simd::{Pool, targets};
use curve25519_dalek::MontgomeryPoint;
use proptest::prelude::*;

use super::*;

fn hex(text: &str) -> [u8; 32] {
    std::array::from_fn(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).expect("hex"))
}

/// RFC 7748, section 5.2.
#[test]
fn rfc_7748() {
    let vectors = [
        (
            "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
            "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
            "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552",
        ),
        (
            "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
            "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
            "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957",
        ),
    ];
    for target in targets() {
        for (scalar, u, product) in vectors {
            assert_eq!(
                x25519(target, &hex(scalar), &[hex(u)]),
                [hex(product)],
                "{target:?}"
            );
        }
    }
}

/// RFC 7748, section 5.2, a thousand times over.
#[test]
fn rfc_7748_iterated() {
    let target = targets()
        .into_iter()
        .rev()
        .find(|target| target.is_real())
        .expect("portable");
    let (mut scalar, mut u) = ([0; 32], [0; 32]);
    (scalar[0], u[0]) = (9, 9);
    for _ in 0..1000 {
        let next = x25519(target, &scalar, &[u])[0];
        (u, scalar) = (scalar, next);
    }
    assert_eq!(
        scalar,
        hex("684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51")
    );
}

/// Project Wycheproof's vectors, where `ATOLL_DATA` names the folder that holds them.
#[test]
fn wycheproof() {
    let Some(folder) = std::env::var_os("ATOLL_DATA") else {
        return;
    };
    let path = std::path::Path::new(&folder).join("vectors/x25519_test.json");
    let Ok(text) = std::fs::read_to_string(path) else {
        return;
    };
    let file: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let mut seen = 0;
    for test in file["testGroups"]
        .as_array()
        .expect("groups")
        .iter()
        .flat_map(|g| g["tests"].as_array().expect("tests"))
    {
        let field = |name: &str| hex(test[name].as_str().expect("text"));
        let flags: Vec<&str> = test["flags"]
            .as_array()
            .expect("flags")
            .iter()
            .filter_map(|f| f.as_str())
            .collect();
        for target in targets() {
            let plain = x25519(target, &field("private"), &[field("public")]);
            assert_eq!(plain, [field("shared")], "{} {target:?}", test["tcId"]);
        }
        let strict =
            Scalar(clamp(field("private"))).multiply(targets()[0], &pool(), &[field("public")]);
        let refused = [
            "Twist",
            "LowOrderPublic",
            "ZeroSharedSecret",
            "NonCanonicalPublic",
        ];
        assert_eq!(
            strict.is_err(),
            flags.iter().any(|flag| refused.contains(flag)),
            "{} {flags:?}",
            test["tcId"]
        );
        seen += 1;
    }
    assert_eq!(seen, file["numberOfTests"].as_u64().expect("count"));
}

fn pool() -> Pool {
    Pool::new(1).expect("one thread")
}

fn on_curve_points(count: usize, seed: [u8; 32]) -> Vec<[u8; 32]> {
    let base = MontgomeryPoint({
        let mut nine = [0; 32];
        nine[0] = 9;
        nine
    });
    (0..count)
        .map(|index| {
            let mut scalar = seed;
            scalar[7] ^= index as u8;
            scalar[8] ^= (index >> 8) as u8;
            (base.mul_clamped(scalar)).to_bytes()
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_dalek(scalar in any::<[u8; 32]>(), points in prop::collection::vec(any::<[u8; 32]>(), 1..20)) {
        let expected: Vec<_> = points.iter().map(|u| MontgomeryPoint(*u).mul_clamped(scalar).to_bytes()).collect();
        for target in targets() {
            prop_assert_eq!(&x25519(target, &scalar, &points), &expected);
        }
    }

    #[test]
    fn masks_commute(first in any::<[u8; 32]>(), second in any::<[u8; 32]>(), seed in any::<[u8; 32]>()) {
        let points = on_curve_points(11, seed);
        for target in targets() {
            let (a, b) = (Scalar::new(first), Scalar::new(second));
            let ab = b.multiply(target, &pool(), &a.multiply(target, &pool(), &points).expect("a")).expect("b");
            let ba = a.multiply(target, &pool(), &b.multiply(target, &pool(), &points).expect("b")).expect("a");
            prop_assert_eq!(ab, ba);
        }
    }
}

#[test]
fn refuses_bad_points_wherever_they_stand() {
    let good = on_curve_points(300, [3; 32]);
    let mut p = [255; 32];
    (p[0], p[31]) = (237, 127);
    let mut twist = [0; 32];
    twist[0] = 2;
    let (mut top, mut order4) = (good[0], [0; 32]);
    top[31] |= 128;
    order4[0] = 1;
    let bad = [
        (p, Refusal::NotCanonical),
        (top, Refusal::NotCanonical),
        (twist, Refusal::Twist),
        (order4, Refusal::Zero),
        ([0; 32], Refusal::Zero),
    ];
    for target in targets() {
        let scalar = Scalar::new([7; 32]);
        for (point, kind) in bad {
            for first in [0, 7, 255, 256, 299] {
                let mut points = good.clone();
                points[first] = point;
                let refused = scalar.multiply(target, &pool(), &points);
                assert_eq!(
                    refused,
                    Err(Refused {
                        kind,
                        first,
                        count: 1
                    }),
                    "{target:?}"
                );
            }
        }
        assert!(scalar.multiply(target, &pool(), &[[0; 32]]).is_err());
        assert_eq!(scalar.multiply(target, &pool(), &[]), Ok(vec![]));
    }
}

/// FIPS 180-4 of the label and RFC 7748's product, point by point.
#[test]
fn products_are_hashed_behind_the_label() {
    let scalar = Scalar::new([7; 32]);
    let points: Vec<[u8; 32]> = (1..=9u8)
        .map(|k| MontgomeryPoint::mul_base_clamped([k; 32]).0)
        .collect();
    let label: [u8; 64] = std::array::from_fn(|i| i as u8);
    let pool = Pool::new(2).expect("threads");
    for target in targets() {
        let products = scalar
            .multiply(target, &pool, &points)
            .expect("good points");
        let hashed = scalar
            .multiply_and_hash(target, &pool, &points, &label)
            .expect("good points");
        for (product, hash) in products.iter().zip(&hashed) {
            let whole = [&label[..], product].concat();
            assert_eq!(Sha256::digest(whole)[..], hash[..], "{target:?}");
        }
        let bad = scalar.multiply_and_hash(target, &pool, &[[0; 32]], &label);
        assert_eq!(bad.map_err(|r| r.kind), Err(Refusal::Zero), "{target:?}");
    }
}
