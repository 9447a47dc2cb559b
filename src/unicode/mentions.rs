//! Whom a text mentions. The rule is documented in `docs/names.md`; clients that draw mentions follow it.

use super::characters::{is_joiner, is_letter_or_digit, is_unspaced, is_word};
use super::folding::fold;

/// Signs that stand before a name: of ASCII, full width and small.
const SIGNS: [char; 3] = ['@', '\u{FF20}', '\u{FE6B}'];
/// What a name may have between its letters.
const PUNCTUATION: [char; 3] = ['.', '_', '-'];
/// What the local part of an e-mail address may end with.
const OF_ADDRESSES: [char; 4] = ['.', '_', '-', '+'];

/// A name behind a sign: the spellings it may be meant as, folded, the longest first. The first that is a user's
/// username is who is mentioned.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mention(pub Vec<String>);

/// The names that a text mentions, in their order. Code, web addresses, addresses of e-mail and names of packages
/// are no mentions. Takes time in proportion to the length of the text.
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
            if is_code || words.is_part_of_more(at) {
                continue;
            }
            let rest = &token[at + sign.len()..];
            let end = rest.find(|c| !is_name_part(c)).unwrap_or(rest.len());
            let (name, behind) = rest.split_at(end);
            if !goes_on(behind) {
                found.extend(readings(name));
            }
        }
    }
    found
}

fn is_name_part(c: char) -> bool {
    is_word(c) || is_joiner(c) || PUNCTUATION.contains(&c)
}

/// A run of characters without blanks.
struct Token<'t> {
    text: &'t str,
    /// From here on it is a web address.
    address: usize,
    /// Begins with a sign, whatever brackets stand before it.
    begins_with_sign: bool,
}

impl<'t> Token<'t> {
    fn new(text: &'t str) -> Self {
        let opening = text.trim_start_matches(|c: char| !is_letter_or_digit(c) && !SIGNS.contains(&c));
        let is_address = opening.starts_with("www.") || opening.starts_with("mailto:");
        let address = if is_address { 0 } else { text.find("://").unwrap_or(text.len()) };
        Self { text, address, begins_with_sign: opening.starts_with(SIGNS) }
    }

    /// Whether the sign at this place belongs to an address or to a word.
    fn is_part_of_more(&self, at: usize) -> bool {
        let before = &self.text[..at];
        if at >= self.address {
            return true;
        }
        if before.ends_with('/') {
            // "@eva/@ben" are two people; "blog.example/@eva" is a page.
            return !self.begins_with_sign;
        }
        let local = before.trim_end_matches(OF_ADDRESSES);
        local.chars().next_back().is_some_and(|c| is_word(c) && !is_unspaced(c))
    }
}

/// Whether the name is the beginning of something else: a package (`@eva/core`), or an account elsewhere
/// (`@eva@example.org`).
fn goes_on(behind: &str) -> bool {
    let mut rest = behind.chars();
    matches!(rest.next(), Some('/' | '@')) && rest.next().is_some_and(is_word)
}

/// How a run of letters can be read: all of it, without the punctuation at its end, up to a full stop that begins the
/// next sentence, and up to where a script without blanks begins or ends.
fn readings(name: &str) -> Option<Mention> {
    let bare = name.trim_end_matches(PUNCTUATION);
    if !bare.chars().any(is_letter_or_digit) {
        return None;
    }
    let mut readings = vec![fold(name), fold(bare)];
    let sentence = bare.match_indices('.').find(|(at, _)| bare[at + 1..].starts_with(char::is_uppercase));
    let mut letters = bare.char_indices();
    let is_of_unspaced = letters.next().is_some_and(|(_, c)| is_unspaced(c));
    let script = letters.find(|(_, c)| is_letter_or_digit(*c) && is_unspaced(*c) != is_of_unspaced);
    let mut cuts: Vec<usize> = sentence.map(|(at, _)| at).into_iter().chain(script.map(|(at, _)| at)).collect();
    cuts.sort_unstable_by(|one, other| other.cmp(one));
    readings.extend(cuts.into_iter().map(|at| fold(bare[..at].trim_end_matches(PUNCTUATION))));
    readings.dedup();
    readings.retain(|reading| !reading.is_empty());
    Some(Mention(readings))
}

/// Where the text is code: between runs of as many backticks, as CommonMark has it. A fence of three or more at the
/// beginning of a line that is not closed reaches to the end.
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
    fn a_name_stands_behind_a_sign() {
        assert_eq!(first("@Ann, (@bob) and @c.d-e_f."), ["ann", "bob", "c.d-e_f."]);
        assert_eq!(last("@Ann, (@bob) and @c.d-e_f."), ["ann", "bob", "c.d-e_f"]);
        assert_eq!(first("@ and @@zoë!"), ["zoë"]);
        assert_eq!(first("＠eva ﹫ben"), ["eva", "ben"]);
        assert_eq!(first("@eva/@ben"), ["eva", "ben"]);
        assert_eq!(last(".@eva, _@eva_ and -@eva-"), ["eva", "eva", "eva"]);
        assert_eq!(last("@eva's @eva... @eva: @eva?"), ["eva"; 4]);
    }

    #[test]
    fn spellings_are_folded() {
        assert_eq!(first("@zoe\u{308} @ZOË @ＥＶＡ @हिन्दी"), ["zoë", "zoë", "eva", "हिन्दी"]);
    }

    #[test]
    fn scripts_without_blanks_end_a_name() {
        assert_eq!(mentions("您好@eva您好"), [Mention(vec!["eva您好".into(), "eva".into()])]);
        assert_eq!(mentions("@eva님이"), [Mention(vec!["eva님이".into(), "eva".into()])]);
        assert_eq!(mentions("@田中ok"), [Mention(vec!["田中ok".into(), "田中".into()])]);
        assert_eq!(mentions("@eva.Please"), [Mention(vec!["eva.please".into(), "eva".into()])]);
        assert_eq!(mentions("@eva.b"), [Mention(vec!["eva.b".into()])]);
    }

    #[test]
    fn addresses_and_packages_mention_nobody() {
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
    fn code_mentions_nobody() {
        for text in ["`@zoe`", "``a ` @zoe``", "```\n@zoe\n```", "see\n```js\n@zoe", "a `x` b `@zoe` c"] {
            assert_eq!(mentions(text), [], "{text}");
        }
        for text in ["` @zoe", "\\`@zoe`", "`x` @zoe", "``x` @zoe", "a ``` @zoe"] {
            assert_eq!(first(text), ["zoe"], "{text}");
        }
    }

    #[test]
    fn hostile_texts_are_read_in_time() {
        let runs: String = (1..280).map(|length| format!("{} ", "`".repeat(length))).collect();
        assert_eq!(first(&format!("{runs}@zoe")), ["zoe"]);
        assert_eq!(mentions(&"@".repeat(40_000)), []);
        assert_eq!(mentions(&"@a".repeat(20_000)), []);
        assert_eq!(mentions(&"``` ".repeat(10_000)), []);
        assert_eq!(mentions(&"@.".repeat(20_000)), []);
    }
}
