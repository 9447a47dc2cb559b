//! Comparison of texts: folding for equality, skeletons for texts that look alike.

use caseless::Caseless as _;
use sha2::{Digest as _, Sha256};
use unicode_normalization::UnicodeNormalization as _;

use super::characters::{is_bidi_control, is_invisible};

/// Longest skeleton that is stored unchanged, in bytes. Longer ones are hashed, because PostgreSQL cannot index more
/// than some 2,700 bytes.
const MAX_SKELETON: usize = 500;
const FIRST_STRONG_ISOLATE: char = '\u{2068}';
const POP_DIRECTIONAL_ISOLATE: char = '\u{2069}';

/// The text in compatibility normalization (NFKC) and full case folding. Two names are equal if their folded forms are
/// equal.
#[must_use]
pub fn fold(text: &str) -> String {
    text.nfd().default_case_fold().nfkd().default_case_fold().nfkc().collect()
}

/// Whether two texts are the same name, after folding.
#[must_use]
pub fn is_same(one: &str, other: &str) -> bool {
    one == other || fold(one) == fold(other)
}

/// The text in canonical composition (NFC). Texts that are shown as they were typed are stored in this form.
#[must_use]
pub fn nfc(text: &str) -> String {
    text.nfc().collect()
}

/// The skeleton of a text. Two names with the same skeleton look alike, so one can be mistaken for the other.
///
/// It is the skeleton of Unicode Technical Standard 39, computed from the folded text, with three differences.
/// Invisible characters are removed. A run of blanks counts as one blank. ASCII letters stay as they are: `m` is not
/// treated as `rn`, because "modern" and "modem" are different words. Of the ASCII digits, only `0` and `1` are treated
/// as letters.
#[must_use]
pub fn skeleton(text: &str) -> String {
    let folded = fold(text);
    skeleton_of(folded.nfd(), folded.len())
}

/// Like [`skeleton`], but of the text as it is written, without case folding. `I`, `1` and `|` are treated as `l`, and
/// `0` as `o`. Names that differ only in case may have different looks (`ALI` and `ali`); they have the same skeleton.
#[must_use]
pub fn look(text: &str) -> String {
    skeleton_of(text.nfkc().nfd().map(|c| if matches!(c, 'I' | '|') { 'l' } else { c }), text.len())
}

/// The skeleton and the look of a name, for comparison with other names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameForms {
    skeleton: String,
    look: String,
}

impl NameForms {
    /// Computes both forms of a name.
    #[must_use]
    pub fn of(name: &str) -> Self {
        Self { skeleton: skeleton(name), look: look(name) }
    }

    /// Whether this name can be mistaken for the other one.
    #[must_use]
    pub fn is_confusable_with(&self, other: &str) -> bool {
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
            // A combining dot on `i` or `j` is not visible.
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

/// The character sequence that represents all characters that look like this one.
fn prototype(c: char) -> String {
    let mut bytes = [0; 4];
    let prototype: String = unicode_security::skeleton(c.encode_utf8(&mut bytes)).collect();
    // The Unicode table maps `m`, and characters that look like it, to `rn`.
    if prototype == "rn" { "m".into() } else { prototype }
}

/// A name for use inside a sentence. Directional isolates keep a right-to-left name from reordering the words around
/// it.
#[must_use]
pub fn bidi_isolated(name: &str) -> String {
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
    fn names_that_look_alike_have_the_same_skeleton() {
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
    fn names_that_look_alike_as_written_are_alike_in_both_directions() {
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
            assert!(
                NameForms::of(one).is_confusable_with(other) && NameForms::of(other).is_confusable_with(one),
                "{one} {other}"
            );
        }
        for (one, other) in
            [("ali", "all"), ("Ali", "all"), ("mail", "mall"), ("modern", "modem"), ("Zoe", "Zoë"), ("will", "wili")]
        {
            assert!(
                !NameForms::of(one).is_confusable_with(other) && !NameForms::of(other).is_confusable_with(one),
                "{one} {other}"
            );
        }
    }

    #[test]
    fn a_skeleton_is_bounded_and_stays_the_same_when_computed_again() {
        for text in ["", "eva", "Ωμέγα", "हिन्दी", "İı", "㍍㍍", "ﷺ"] {
            let once = skeleton(text);
            assert_eq!(skeleton(&once), once, "{text}");
        }
        let long = "ﷺ".repeat(1_000);
        assert_eq!(skeleton(&long).len(), 64);
        assert_ne!(skeleton(&long), skeleton(&format!("{long}x")));
    }

    #[test]
    fn an_isolated_name_does_not_reorder_the_sentence_around_it() {
        assert_eq!(bidi_isolated("eva\u{202E}\u{2069}"), "\u{2068}eva\u{2069}");
    }
}
