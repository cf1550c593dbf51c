//! One hash that is the same in every process, on every machine and in every release.
//!
//! Two replicas must send the same user to the same endpoint, and a new release must not move everybody. So the
//! hash is written down here and nothing of it may ever change; a test holds known values.
//!
//! It is FNV-1a with 64 bits (Fowler, Noll, Vo: begin with 14695981039346656037; for each byte xor it in and multiply
//! by 1099511628211) and after the last byte a finalizer, [`mix`], because FNV alone leaves the high bits of short
//! texts nearly unmixed, and tables look at those. Each part is preceded by its length in eight bytes, the lowest
//! first, so that (`ab`, `c`) and (`a`, `bc`) differ.
//!
//! It has no key. Somebody who computes it can find many values that go to one endpoint; but so can somebody who
//! sends one value many times. What protects an endpoint from both is the bound on its load, not the hash. Maps that
//! clients can fill must not use it.

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

/// 2^64 divided by the golden ratio, odd: steps of it are spread evenly over all values.
pub const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The hash of these parts in this order.
pub fn stable_hash<'a>(parts: impl Iterator<Item = &'a [u8]>) -> u64 {
    let mut hash = FNV_OFFSET;
    for part in parts {
        for byte in (part.len() as u64).to_le_bytes().iter().chain(part) {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME);
        }
    }
    mix(hash)
}

/// The hash of one text.
pub fn of_text(text: &str) -> u64 {
    stable_hash(std::iter::once(text.as_bytes()))
}

/// Spreads every bit of a number over all bits; no two numbers become one. (The last step of Steele, Lea and
/// Flood's SplitMix64, 2014, with Stafford's constants.)
pub const fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// A number below `bound` in proportion to a number that is uniform over all 64 bits; 0 if `bound` is 0. Each
/// result has its exact share but for one part in 2^64 / `bound`: for bounds of 2^40 less than one in ten million.
pub fn scale(uniform: u64, bound: u64) -> u64 {
    let wide = u128::from(uniform) * u128::from(bound);
    // The high half of a product of two 64-bit numbers has 64 bits.
    u64::try_from(wide >> 64).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn of(parts: &[&str]) -> u64 {
        stable_hash(parts.iter().map(|part| part.as_bytes()))
    }

    #[test]
    fn known_values_never_change() {
        assert_eq!(of(&[]), 0xf52a_15e9_a9b5_e89b);
        assert_eq!(of(&[""]), 0x813f_0174_a236_7c13);
        assert_eq!(of_text("10.1.0.11:8080"), 0x9b44_7e5d_0f9f_342f);
        assert_eq!(of(&["client", "10.0.0.1"]), 0x52c7_e844_c542_17eb);
    }

    #[test]
    fn parts_are_told_apart() {
        let all = [
            of(&[]),
            of(&[""]),
            of(&["", ""]),
            of(&["ab", "c"]),
            of(&["a", "bc"]),
            of(&["abc"]),
            of(&["abc", ""]),
            of(&["", "abc"]),
            of(&["c", "ab"]),
        ];
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
    }

    #[test]
    fn h060_near_texts_differ_in_half_of_their_bits() {
        let mut flipped = 0;
        for number in 0..1000 {
            let (a, b) = (of_text(&format!("10.0.0.{number}")), of_text(&format!("10.0.0.{}", number + 1)));
            flipped += (a ^ b).count_ones();
        }
        assert!((31_000..33_000).contains(&flipped), "{flipped}");
    }

    #[test]
    fn a_scaled_number_keeps_its_proportion() {
        assert_eq!(scale(u64::MAX, 10), 9);
        assert_eq!(scale(0, 10), 0);
        assert_eq!(scale(u64::MAX / 2, 10), 4);
        assert_eq!(scale(u64::MAX / 2 + 1, 10), 5);
        assert_eq!(scale(7, 0), 0);
        assert_eq!(scale(u64::MAX, u64::MAX), u64::MAX - 1);
    }
}
