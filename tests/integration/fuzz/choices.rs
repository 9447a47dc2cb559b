//! Random decisions as a list of numbers, which proptest can shrink. With no decision left, the first alternative is
//! taken.

use proptest::collection::vec;
use proptest::prelude::*;

/// Lists of fewer than `most` decisions.
pub fn choices(most: usize) -> impl Strategy<Value = Vec<u16>> {
    vec(any::<u16>(), 0..most)
}

/// Decisions that are consumed one after the other.
pub struct Choices<'c> {
    left: &'c [u16],
}

impl<'c> Choices<'c> {
    pub fn new(left: &'c [u16]) -> Self {
        Self { left }
    }

    /// A number below `count`; 0 when no decision is left.
    pub fn below(&mut self, count: usize) -> usize {
        let Some((first, rest)) = self.left.split_first() else { return 0 };
        self.left = rest;
        usize::from(*first) % count
    }

    /// One element of a slice.
    pub fn one<'o, T>(&mut self, of: &'o [T]) -> &'o T {
        &of[self.below(of.len())]
    }

    pub fn has_more(&self) -> bool {
        !self.left.is_empty()
    }
}

/// A copy of `bytes` with random mutations: bytes inserted, removed, repeated, cut off or flipped.
pub fn mutated(bytes: &[u8], choices: &mut Choices<'_>) -> Vec<u8> {
    const STRANGE: &[&[u8]] = &[
        b"\0",
        b"\xff",
        b"\"",
        b"\\",
        b"{",
        b"}",
        b"[",
        b"]",
        b"$",
        b"@",
        b"...",
        b"\r\n",
        b"\r\n\r\n",
        b":",
        b",",
        b"null",
        b"-1",
        b"1e999",
        b"99999999999999999999",
        b"\\ud800",
        b"\xed\xa0\x80",
        b"\xf0\x9f\x92\xa5",
        b"%00",
        b"#",
        b"\"\"\"",
    ];
    let mut bytes = bytes.to_vec();
    for _ in 0..choices.below(6) {
        let at = choices.below(bytes.len() + 1);
        let end = (at + 1 + choices.below(8)).min(bytes.len());
        match choices.below(5) {
            0 => drop(bytes.splice(at..at, choices.one(STRANGE).iter().copied())),
            1 => drop(bytes.drain(at..end)),
            2 => {
                let piece = bytes[at..end].repeat(1 + choices.below(50));
                bytes.splice(at..at, piece);
            }
            3 => bytes.truncate(at),
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << choices.below(8);
                }
            }
        }
    }
    bytes
}
