//! Comparing bytes, eight at a time.
//!
//! Owns what `==` and `cmp` mean for slices, and nothing else. WebAssembly has no instruction for
//! it, and what compilers put in its place looks at one byte after the other: deciding a log again
//! spent a tenth of its time there.

use alloc::boxed::Box;
use core::cmp::Ordering;

/// A view and a row's key, in the order of rows.
#[derive(Debug, PartialEq, Eq)]
pub struct InOrder(pub u16, pub Box<[u8]>);

impl Ord for InOrder {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0).then_with(|| order(&self.1, &other.1))
    }
}

impl PartialOrd for InOrder {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// `a == b`.
pub fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    a.iter().zip(b).all(|(a, b)| u64::from_ne_bytes(*a) == u64::from_ne_bytes(*b))
        && a_rest.iter().zip(b_rest).all(|(a, b)| a == b)
}

/// `a.cmp(b)`.
pub fn order(a: &[u8], b: &[u8]) -> Ordering {
    let both = a.len().min(b.len());
    let first = |bytes| <[u8]>::get(bytes, ..both).unwrap_or_default().as_chunks::<8>();
    let ((a_words, a_rest), (b_words, b_rest)) = (first(a), first(b));
    for (a, b) in a_words.iter().zip(b_words) {
        if u64::from_ne_bytes(*a) != u64::from_ne_bytes(*b) {
            return u64::from_be_bytes(*a).cmp(&u64::from_be_bytes(*b));
        }
    }
    for (a, b) in a_rest.iter().zip(b_rest) {
        if a != b {
            return a.cmp(b);
        }
    }
    a.len().cmp(&b.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn both_are_what_the_standard_library_says() {
        for a_len in 0..20_usize {
            for b_len in 0..20_usize {
                for at in 0..20 {
                    for (here, there) in [(1, 2), (2, 1), (1, 0x80), (0, 0)] {
                        let (mut a, mut b) = (vec![7_u8; a_len], vec![7_u8; b_len]);
                        if let (Some(a), Some(b)) = (a.get_mut(at), b.get_mut(at)) {
                            (*a, *b) = (here, there);
                        }
                        assert_eq!(same(&a, &b), a == b, "{a:?} {b:?}");
                        assert_eq!(order(&a, &b), a.cmp(&b), "{a:?} {b:?}");
                    }
                }
            }
        }
    }
}
