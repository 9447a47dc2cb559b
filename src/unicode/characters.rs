//! Classes of characters, for the rules of names and mentions.

use unicode_normalization::char::canonical_combining_class;
use unicode_properties::{GeneralCategoryGroup, UnicodeEmoji as _, UnicodeGeneralCategory as _};
use unicode_script::{Script, UnicodeScript as _};

const ZERO_WIDTH_NON_JOINER: char = '\u{200C}';
const ZERO_WIDTH_JOINER: char = '\u{200D}';
const EMOJI_PRESENTATION: char = '\u{FE0F}';
/// The canonical combining class of a virama. A virama suppresses a vowel in Indic scripts.
const VIRAMA: u8 = 9;

/// Whether the character is a letter, a mark or a digit of any script.
pub fn is_word(c: char) -> bool {
    use GeneralCategoryGroup as Group;
    matches!(c.general_category_group(), Group::Letter | Group::Mark | Group::Number) && !is_blank(c)
}

/// Whether the character is a letter or a digit of any script. Unlike a mark, it can stand alone.
pub fn is_letter_or_digit(c: char) -> bool {
    use GeneralCategoryGroup as Group;
    matches!(c.general_category_group(), Group::Letter | Group::Number) && !is_blank(c)
}

/// Whether the character is a mark, which is drawn on the character before it.
pub fn is_mark(c: char) -> bool {
    c.general_category_group() == GeneralCategoryGroup::Mark
}

/// Whether the character is visible by itself.
pub fn is_visible(c: char) -> bool {
    use GeneralCategoryGroup as Group;
    let group = c.general_category_group();
    matches!(group, Group::Letter | Group::Number | Group::Punctuation | Group::Symbol) && !is_blank(c)
}

/// Whether the character draws nothing although its category is letter, mark or symbol. These are the characters with
/// the property `Default_Ignorable_Code_Point`, and the empty Braille pattern.
pub fn is_blank(c: char) -> bool {
    matches!(
        c,
        '\u{034F}'
            | '\u{115F}'..='\u{1160}'
            | '\u{17B4}'..='\u{17B5}'
            | '\u{180B}'..='\u{180F}'
            | '\u{2800}'
            | '\u{3164}'
            | '\u{FE00}'..='\u{FE0F}'
            | '\u{FFA0}'
            | '\u{E0000}'..='\u{E0FFF}'
    )
}

/// Whether the character draws nothing, or changes how other characters are drawn. These are format and direction
/// controls, and private and unassigned characters.
pub fn is_invisible(c: char) -> bool {
    use unicode_properties::GeneralCategory as Category;
    is_blank(c)
        || c.general_category_group() == GeneralCategoryGroup::Other
        || matches!(c.general_category(), Category::LineSeparator | Category::ParagraphSeparator)
}

/// Whether the character changes the writing direction of the text around it.
pub fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// Whether an invisible character has a legitimate effect where it stands: joiners in Indic scripts and in Arabic
/// script (the rules CONTEXTJ of RFC 5892), and characters that join an emoji.
pub fn is_in_context(before: Option<char>, c: char, after: Option<char>) -> bool {
    let Some(before) = before else { return false };
    let is_arabic = |c: char| c.script() == Script::Arabic && is_letter_or_digit(c);
    let is_emoji = |c: char| c.is_emoji_char() && !c.is_ascii();
    match c {
        ZERO_WIDTH_JOINER if canonical_combining_class(before) == VIRAMA => true,
        ZERO_WIDTH_NON_JOINER if canonical_combining_class(before) == VIRAMA => true,
        ZERO_WIDTH_NON_JOINER => is_arabic(before) && after.is_some_and(is_arabic),
        ZERO_WIDTH_JOINER => (is_emoji(before) || before == EMOJI_PRESENTATION) && after.is_some_and(is_emoji),
        EMOJI_PRESENTATION => is_emoji(before),
        _ => false,
    }
}

/// Whether the character joins or separates its neighbours and can be part of a name.
pub fn is_joiner(c: char) -> bool {
    matches!(c, ZERO_WIDTH_JOINER | ZERO_WIDTH_NON_JOINER)
}

/// Whether the character belongs to a script in which a name is not separated from the next word or suffix by a blank.
pub fn is_unspaced(c: char) -> bool {
    matches!(
        c.script(),
        Script::Han
            | Script::Hiragana
            | Script::Katakana
            | Script::Hangul
            | Script::Bopomofo
            | Script::Thai
            | Script::Lao
            | Script::Khmer
            | Script::Myanmar
    )
}
