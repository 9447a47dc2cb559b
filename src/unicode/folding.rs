//! How two texts are compared.

use caseless::Caseless as _;
use sha2::{Digest as _, Sha256};
use unicode_normalization::UnicodeNormalization as _;

use super::characters::{is_bidi_control, is_invisible};

/// The longest skeleton that is kept as it is, in bytes: PostgreSQL cannot index more than some 2,700.
const MAX_SKELETON: usize = 500;
const FIRST_STRONG_ISOLATE: char = '\u{2068}';
const POP_DIRECTIONAL_ISOLATE: char = '\u{2069}';

/// One form for all spellings of a text: compatibility normalization (NFKC) and full case folding. What is equal
/// after this is the same name.
#[must_use]
pub fn fold(text: &str) -> String {
    text.nfd().default_case_fold().nfkd().default_case_fold().nfkc().collect()
}

/// Whether two texts are spellings of the same name.
#[must_use]
pub fn is_same(one: &str, other: &str) -> bool {
    one == other || fold(one) == fold(other)
}

/// The text with its accents composed: how texts are kept that are shown as they were typed.
#[must_use]
pub fn nfc(text: &str) -> String {
    text.nfc().collect()
}

/// One form for all texts that look alike: two names with the same skeleton can be taken for each other.
///
/// This is the skeleton of Unicode Technical Standard 39 over the folded text, with three differences: invisible
/// characters are left out, blanks count as one, and letters of ASCII stay what they are (`m` is not taken for `rn`:
/// "modern" and "modem" are two words). Of ASCII only `0` and `1` are taken for letters.
#[must_use]
pub fn skeleton(text: &str) -> String {
    let folded = fold(text);
    skeleton_of(folded.nfd(), folded.len())
}

/// Like [`skeleton`], over the text as it is written: `I` is taken for `l`, as are `1` and `|`, and `O` for `0`. Names that
/// differ in case only need not have the same look (`ALI` and `ali`): they have the same skeleton.
#[must_use]
pub fn look(text: &str) -> String {
    skeleton_of(text.nfkc().nfd().map(|c| if matches!(c, 'I' | '|') { 'l' } else { c }), text.len())
}

/// What a name is compared by with names that it could be taken for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Likeness {
    skeleton: String,
    look: String,
}

impl Likeness {
    /// That of a name.
    #[must_use]
    pub fn of(name: &str) -> Self {
        Self { skeleton: skeleton(name), look: look(name) }
    }

    /// Whether this name can be taken for the other one.
    #[must_use]
    pub fn is_like(&self, other: &str) -> bool {
        self.skeleton == skeleton(other) || self.look == look(other)
    }
}

fn skeleton_of(decomposed: impl Iterator<Item = char>, length: usize) -> String {
    let mut skeleton = String::with_capacity(length);
    for c in decomposed.filter(|c| !is_invisible(*c)) {
        match c {
            '0' => skeleton.push('o'),
            '1' => skeleton.push('l'),
            c if c.is_whitespace() && skeleton.ends_with(' ') => {}
            c if c.is_whitespace() => skeleton.push(' '),
            // The dot of a letter that has one already.
            '\u{307}' if skeleton.ends_with(['i', 'j']) => {}
            c if c.is_ascii() => skeleton.push(c),
            c => skeleton.push_str(&prototype(c)),
        }
    }
    let skeleton = fold(skeleton.trim());
    if skeleton.len() <= MAX_SKELETON {
        return skeleton;
    }
    Sha256::digest(skeleton).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What stands for all characters that look like this one.
fn prototype(c: char) -> String {
    let mut bytes = [0; 4];
    let prototype: String = unicode_security::skeleton(c.encode_utf8(&mut bytes)).collect();
    // The table takes `m` for `rn`, and so what looks like `m`.
    if prototype == "rn" { "m".into() } else { prototype }
}

/// A name inside a sentence: whatever its direction, it does not turn the words around it.
#[must_use]
pub fn isolated(name: &str) -> String {
    let name: String = name.chars().filter(|c| !is_bidi_control(*c)).collect();
    format!("{FIRST_STRONG_ISOLATE}{name}{POP_DIRECTIONAL_ISOLATE}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_name_are_the_same() {
        for (one, other) in [
            ("Zoë", "zoe\u{308}"),
            ("ＥＶＡ", "eva"),
            ("Straße", "STRASSE"),
            ("Σίσυφος", "σίσυφοσ"),
            ("İbrahim", "i\u{307}brahim"),
            ("Ǆ", "dž"),
            ("ﬁ", "FI"),
        ] {
            assert!(is_same(one, other), "{one} {other}");
        }
        for (one, other) in [("zoe", "zoë"), ("eva", "еva"), ("i", "ı"), ("general", "gen\u{200B}eral")] {
            assert!(!is_same(one, other), "{one} {other}");
        }
    }

    #[test]
    fn names_that_look_alike_have_one_skeleton() {
        for (one, other) in [
            ("admin", "аdmin"),
            ("admin", "ａdmin"),
            ("admin", "ADMIN"),
            ("admin", "adm\u{200B}in"),
            ("general", "gеneral"),
            ("paypal", "paypa1"),
            ("root", "r00t"),
            ("ilgaz", "ılgaz"),
            ("ibrahim", "İbrahim"),
            ("team one", "team\u{A0} one"),
            ("café", "cafe\u{301}"),
        ] {
            assert_eq!(skeleton(one), skeleton(other), "{one} {other}");
        }
        for (one, other) in [("modern", "modem"), ("eva", "eve"), ("zoe", "zoë"), ("a b", "ab"), ("ann", "an")] {
            assert_ne!(skeleton(one), skeleton(other), "{one} {other}");
        }
    }

    #[test]
    fn names_that_look_alike_as_they_are_written_are_alike_both_ways() {
        for (one, other) in [
            ("general", "generaI"),
            ("General", "GeneraI"),
            ("general", "genera|"),
            ("general", "genera1"),
            ("general", "generaǀ"),
            ("general", "generaΙ"),
            ("alice", "AIice"),
            ("alice", "aIice"),
            ("alice", "Аlice"),
            ("alice", "ALICE"),
            ("Acme", "ACME"),
            ("Acme", "Аcme"),
            ("Acme", "Acme\u{200B}"),
            ("Bob", "Вob"),
            ("root", "rOOt"),
            ("r00t", "RООT"),
            ("ibrahim", "İbrahim"),
        ] {
            assert!(Likeness::of(one).is_like(other) && Likeness::of(other).is_like(one), "{one} {other}");
        }
        for (one, other) in
            [("ali", "all"), ("Ali", "all"), ("mail", "mall"), ("modern", "modem"), ("Zoe", "Zoë"), ("will", "wili")]
        {
            assert!(!Likeness::of(one).is_like(other) && !Likeness::of(other).is_like(one), "{one} {other}");
        }
    }

    #[test]
    fn a_skeleton_is_short_and_its_own_skeleton() {
        for text in ["", "eva", "Ωμέγα", "हिन्दी", "İı", "㍍㍍", "ﷺ"] {
            let once = skeleton(text);
            assert_eq!(skeleton(&once), once, "{text}");
        }
        let long = "ﷺ".repeat(1_000);
        assert_eq!(skeleton(&long).len(), 64);
        assert_ne!(skeleton(&long), skeleton(&format!("{long}x")));
    }

    #[test]
    fn a_name_does_not_turn_the_sentence_around_it() {
        assert_eq!(isolated("eva\u{202E}\u{2069}"), "\u{2068}eva\u{2069}");
    }
}
