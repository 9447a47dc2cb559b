//! Mentions of users in texts. The rule is documented in `docs/names.md`. The web client highlights mentions by the
//! same rule.

use super::characters::{is_joiner, is_letter_or_digit, is_unspaced, is_word};
use super::folding::fold;

/// The signs that begin a mention: `@` in ASCII, full width and small form.
const SIGNS: [char; 3] = ['@', '\u{FF20}', '\u{FE6B}'];
/// Punctuation that a name may contain.
const PUNCTUATION: [char; 3] = ['.', '_', '-'];
/// Punctuation that the local part of an e-mail address may end with.
const ADDRESS_PUNCTUATION: [char; 4] = ['.', '_', '-', '+'];

/// One mention in a text, as the usernames that it may mean, folded, longest first. The first one that exists is the
/// user who is mentioned.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mention(pub Vec<String>);

/// The mentions in a text, in their order. Names inside code, web addresses, e-mail addresses and package names do not
/// count. The time is proportional to the length of the text.
#[must_use]
pub fn mentions(text: &str) -> Vec<Mention> {
    if !text.contains(SIGNS) {
        return Vec::new();
    }
    let mut code = code_spans(text).into_iter().peekable();
    let mut found = Vec::new();
    for token in text.split(char::is_whitespace) {
        if !token.contains(SIGNS) {
            continue;
        }
        let start = token.as_ptr() as usize - text.as_ptr() as usize;
        let words = Token::new(token);
        for (at, sign) in token.match_indices(SIGNS) {
            while code.next_if(|span| span.end <= start + at).is_some() {}
            let is_code = code.peek().is_some_and(|span| span.start <= start + at);
            if is_code || words.is_part_of_address(at) {
                continue;
            }
            let rest = &token[at + sign.len()..];
            let end = rest.find(|c| !is_name_part(c)).unwrap_or(rest.len());
            let (name, behind) = rest.split_at(end);
            if !continues(behind) {
                found.extend(candidates(name));
            }
        }
    }
    found
}

fn is_name_part(c: char) -> bool {
    is_word(c) || is_joiner(c) || PUNCTUATION.contains(&c)
}

/// A run of characters without white space.
struct Token<'t> {
    text: &'t str,
    /// The byte at which a web address begins; the length of the text if there is none.
    address_start: usize,
    /// Whether the run begins with a sign. Punctuation before the sign does not count.
    begins_with_sign: bool,
}

impl<'t> Token<'t> {
    fn new(text: &'t str) -> Self {
        let opening = text.trim_start_matches(|c: char| !is_letter_or_digit(c) && !SIGNS.contains(&c));
        let is_address = opening.starts_with("www.") || opening.starts_with("mailto:");
        let address_start = if is_address { 0 } else { text.find("://").unwrap_or(text.len()) };
        Self { text, address_start, begins_with_sign: opening.starts_with(SIGNS) }
    }

    /// Whether the sign at this byte belongs to an address or to the word before it.
    fn is_part_of_address(&self, at: usize) -> bool {
        let before = &self.text[..at];
        if at >= self.address_start {
            return true;
        }
        if before.ends_with('/') {
            // "@eva/@ben" mentions two users. "blog.example/@eva" is a web address.
            return !self.begins_with_sign;
        }
        let local = before.trim_end_matches(ADDRESS_PUNCTUATION);
        local.chars().next_back().is_some_and(|c| is_word(c) && !is_unspaced(c))
    }
}

/// Whether the text behind a name makes it part of something else: a package (`@eva/core`), or an account on another
/// server (`@eva@example.org`).
fn continues(behind: &str) -> bool {
    let mut rest = behind.chars();
    matches!(rest.next(), Some('/' | '@')) && rest.next().is_some_and(is_word)
}

/// The usernames that a run of name characters may mean. Candidates are the whole run, the run without punctuation at
/// its end, the part before a full stop that ends a sentence, and the part up to a change between a script with blanks
/// and one without.
fn candidates(name: &str) -> Option<Mention> {
    let bare = name.trim_end_matches(PUNCTUATION);
    if !bare.chars().any(is_letter_or_digit) {
        return None;
    }
    let mut candidates = vec![fold(name), fold(bare)];
    let sentence = bare.match_indices('.').find(|(at, _)| bare[at + 1..].starts_with(char::is_uppercase));
    let mut letters = bare.char_indices();
    let is_of_unspaced = letters.next().is_some_and(|(_, c)| is_unspaced(c));
    let script = letters.find(|(_, c)| is_letter_or_digit(*c) && is_unspaced(*c) != is_of_unspaced);
    let mut cuts: Vec<usize> = sentence.map(|(at, _)| at).into_iter().chain(script.map(|(at, _)| at)).collect();
    cuts.sort_unstable_by(|one, other| other.cmp(one));
    candidates.extend(cuts.into_iter().map(|at| fold(bare[..at].trim_end_matches(PUNCTUATION))));
    candidates.dedup();
    candidates.retain(|candidate| !candidate.is_empty());
    Some(Mention(candidates))
}

/// The parts of the text that are code, by the rules of CommonMark: between two runs of equally many backticks. An
/// unclosed run of three or more at the beginning of a line is a code block that reaches to the end.
fn code_spans(text: &str) -> Vec<std::ops::Range<usize>> {
    let mut spans = Vec::new();
    let mut at = 0;
    while let Some(run) = next_run(text, at) {
        at = run.end;
        let is_escaped = text[..run.start].ends_with('\\');
        let line = text[..run.start].trim_end_matches([' ', '\t']);
        let is_fence = run.len() >= 3 && (line.is_empty() || line.ends_with('\n'));
        let mut close = next_run(text, run.end);
        while let Some(other) = &close
            && !is_escaped
            && other.len() != run.len()
        {
            close = next_run(text, other.end);
        }
        match close {
            _ if is_escaped => {}
            Some(close) => {
                at = close.end;
                spans.push(run.start..close.end);
            }
            None if is_fence => {
                spans.push(run.start..text.len());
                break;
            }
            None => {}
        }
    }
    spans
}

fn next_run(text: &str, from: usize) -> Option<std::ops::Range<usize>> {
    let start = from + text[from..].find('`')?;
    let length = text[start..].bytes().take_while(|byte| *byte == b'`').count();
    Some(start..start + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(text: &str) -> Vec<String> {
        mentions(text).into_iter().map(|mention| mention.0[0].clone()).collect()
    }

    fn last(text: &str) -> Vec<String> {
        mentions(text).into_iter().filter_map(|mention| mention.0.last().cloned()).collect()
    }

    #[test]
    fn a_mention_is_a_sign_and_a_name() {
        assert_eq!(first("@Ann, (@bob) and @c.d-e_f."), ["ann", "bob", "c.d-e_f."]);
        assert_eq!(last("@Ann, (@bob) and @c.d-e_f."), ["ann", "bob", "c.d-e_f"]);
        assert_eq!(first("@ and @@zoë!"), ["zoë"]);
        assert_eq!(first("＠eva ﹫ben"), ["eva", "ben"]);
        assert_eq!(first("@eva/@ben"), ["eva", "ben"]);
        assert_eq!(last(".@eva, _@eva_ and -@eva-"), ["eva", "eva", "eva"]);
        assert_eq!(last("@eva's @eva... @eva: @eva?"), ["eva"; 4]);
    }

    #[test]
    fn candidates_are_folded() {
        assert_eq!(first("@zoe\u{308} @ZOË @ＥＶＡ @हिन्दी"), ["zoë", "zoë", "eva", "हिन्दी"]);
    }

    #[test]
    fn a_change_of_script_or_a_new_sentence_ends_a_name() {
        assert_eq!(mentions("您好@eva您好"), [Mention(vec!["eva您好".into(), "eva".into()])]);
        assert_eq!(mentions("@eva님이"), [Mention(vec!["eva님이".into(), "eva".into()])]);
        assert_eq!(mentions("@田中ok"), [Mention(vec!["田中ok".into(), "田中".into()])]);
        assert_eq!(mentions("@eva.Please"), [Mention(vec!["eva.please".into(), "eva".into()])]);
        assert_eq!(mentions("@eva.b"), [Mention(vec!["eva.b".into()])]);
    }

    #[test]
    fn addresses_and_packages_are_not_mentions() {
        for text in [
            "ann@example.org",
            "john_@example.org",
            "a+@b",
            "https://blog.example/@zoe/post",
            "https://blog.example/?by=@zoe",
            "(https://blog.example/@zoe)",
            "www.blog.example/@zoe",
            "blog.example/@zoe",
            "mailto:@zoe",
            "npm i @zoe/core",
            "@zoe@example.social",
            "@",
            "@.",
            "@-_",
        ] {
            assert_eq!(mentions(text), [], "{text}");
        }
    }

    #[test]
    fn code_contains_no_mentions() {
        for text in ["`@zoe`", "``a ` @zoe``", "```\n@zoe\n```", "see\n```js\n@zoe", "a `x` b `@zoe` c"] {
            assert_eq!(mentions(text), [], "{text}");
        }
        for text in ["` @zoe", "\\`@zoe`", "`x` @zoe", "``x` @zoe", "a ``` @zoe"] {
            assert_eq!(first(text), ["zoe"], "{text}");
        }
    }

    #[test]
    fn hostile_texts_are_parsed_quickly() {
        let runs: String = (1..280).map(|length| format!("{} ", "`".repeat(length))).collect();
        assert_eq!(first(&format!("{runs}@zoe")), ["zoe"]);
        assert_eq!(mentions(&"@".repeat(40_000)), []);
        assert_eq!(mentions(&"@a".repeat(20_000)), []);
        assert_eq!(mentions(&"``` ".repeat(10_000)), []);
        assert_eq!(mentions(&"@.".repeat(20_000)), []);
    }
}
