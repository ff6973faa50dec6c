//! Patterns that codes are made by, and how hard such codes are to guess.

use std::fmt;

use rand::{Rng, RngExt};

use crate::error::{Error, Result};
use crate::ids::Code;

/// Digits are not mistaken for each other.
const DIGITS: &str = "0123456789";
/// Of those that look alike (0 O Q D, 1 I L, 2 Z, 5 S, 6 G, 8 B, U V) one at most, and no vowels, which make words.
const MARKS: &str = "34679CDFHJKMNPRTVWXY";
/// The most places that differ: nobody types so many.
const MOST: usize = 100;
/// The modulus of the check character: ISO/IEC 7064, MOD 37-2.
const MODULUS: usize = 37;

/// What codes look like: `TM-????-####`.
///
/// | in a pattern | stands for |
/// |---|---|
/// | `#` | a digit: `0` to `9` |
/// | `?` | one of the 20 letters and digits `34679CDFHJKMNPRTVWXY`: none looks like another, and without vowels they make no words |
/// | `{8}` behind one of these | as many of it |
/// | `\` before a character | that character |
/// | anything else | itself |
///
/// ```
/// use code_service::{Code, Pattern};
///
/// let pattern = Pattern::parse("TM-?{4}-##")?;
/// assert!(pattern.matches(&Code::parse("TM-C3PY-07").expect("valid")));
/// assert_eq!(pattern.to_string(), "TM-????-##");
/// assert_eq!(pattern.strength(160).space, 16_000_000.0);
/// assert_eq!(pattern.strength(160).guess, 0.00001);
/// # Ok::<(), code_service::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    places: Vec<Place>,
    check: bool,
}

/// One character of a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Literal(char),
    Digit,
    Mark,
}

/// How hard it is to guess a code.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Strength {
    /// How many codes there are to be guessed.
    pub codes: u64,
    /// How many different codes the pattern can make.
    pub space: f64,
    /// The same in bits.
    pub bits: f64,
    /// The probability that one guess, by somebody who knows the pattern, hits one of the codes.
    pub guess: f64,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// `invalid_argument` with the field `pattern` if it breaks a rule, has no `#` and no `?`, begins or ends with
    /// white space, which an upload would cut off, or makes codes that are longer than 256 bytes; or if more than 100
    /// places are one of these two.
    pub fn parse(text: &str) -> Result<Self> {
        let mut places: Vec<Place> = Vec::new();
        // Whether braces can stand here.
        let mut repeatable = false;
        let mut rest = text.chars();
        while let Some(next) = rest.next() {
            let place = match next {
                '#' => Place::Digit,
                '?' => Place::Mark,
                '\\' => Place::Literal(rest.next().ok_or_else(|| invalid("ends with a single \\"))?),
                '{' => {
                    let (number, behind) = rest.as_str().split_once('}').unwrap_or_default();
                    let times = number.parse().ok().filter(|times| (1..=MOST).contains(times));
                    let (Some(times), Some(last), true) = (times, places.last().copied(), repeatable) else {
                        return Err(invalid(
                            "has braces that do not repeat anything: {n} stands behind # or ?, with n from 1 to 100; \
                             write \\{ for the character",
                        ));
                    };
                    places.extend(std::iter::repeat_n(last, times - 1));
                    (rest, repeatable) = (behind.chars(), false);
                    continue;
                }
                '}' => return Err(invalid("has a } without a {: write \\} for the character")),
                literal => Place::Literal(literal),
            };
            repeatable = !matches!(place, Place::Literal(_));
            places.push(place);
        }
        let pattern = Pattern { places, check: false };
        pattern.check_rules().map(|()| pattern)
    }

    fn check_rules(&self) -> Result<()> {
        let differing = self.places.iter().filter(|place| !matches!(place, Place::Literal(_))).count();
        if differing > MOST {
            return Err(invalid("has more than 100 of # and ?"));
        }
        if differing == 0 {
            return Err(invalid("makes one code only: put # or ? where they shall differ"));
        }
        let is_white = |place: Option<&Place>| matches!(place, Some(Place::Literal(c)) if c.is_whitespace());
        if is_white(self.places.first()) || is_white(self.places.last()) {
            return Err(invalid("begins or ends with white space, which an upload would cut off"));
        }
        // With one character more for a check character.
        let longest: String = self.places.iter().map(|place| place.any()).chain(['0']).collect();
        Code::parse(longest).map(|_| ()).map_err(|e| invalid(&format!("makes a code that {e}")))
    }

    /// The same with one more character at the end of each code, which tells a mistyped code from a right one
    /// without asking the database.
    ///
    /// It is the check character of ISO/IEC 7064, MOD 37-2, over all digits and letters A to Z of the code; other
    /// characters do not count, and small letters count as capital ones. It tells every single wrong character, and
    /// every two neighbours that have changed places. Only codes are made whose check character is a digit (in
    /// a pattern of digits) or one of the characters of `?`: about a quarter or a half of all.
    pub fn with_check_character(mut self) -> Self {
        self.check = true;
        self
    }

    /// Whether a code is one that this pattern can make, check character included.
    pub fn matches(&self, code: &Code) -> bool {
        let (body, check) = match (self.check, code.as_str().char_indices().next_back()) {
            (true, Some((last, check))) => (&code.as_str()[..last], Some(check)),
            _ => (code.as_str(), None),
        };
        let mut texts = body.chars();
        self.places.iter().all(|place| texts.next().is_some_and(|text| place.allows(text)))
            && texts.next().is_none()
            && check.is_none_or(|check| self.check_character(residue(body)) == Some(check))
    }

    /// How hard it is to guess one of so many codes.
    pub fn strength(&self, codes: u64) -> Strength {
        let space = self.space();
        let guess = if codes == 0 { 0.0 } else { codes as f64 / space };
        Strength { codes, space, bits: space.log2(), guess }
    }

    /// How many different codes there are: for each residue of a code without its check character, how many have it.
    fn space(&self) -> f64 {
        let mut having = [0.0; MODULUS];
        having[0] = 1.0;
        for place in &self.places {
            let mut next = [0.0; MODULUS];
            for (before, number) in having.iter().enumerate() {
                for text in place.characters() {
                    next[with(before, text)] += number;
                }
            }
            having = next;
        }
        let can_be = |residue: &usize| !self.check || self.check_character(*residue).is_some();
        (0..MODULUS).filter(can_be).map(|residue| having[residue]).sum()
    }

    /// A code, each with the same probability. `random` must be one that nobody can foresee.
    pub(crate) fn draw(&self, random: &mut impl Rng) -> Code {
        loop {
            let body = self.places.iter().map(|place| match place {
                Place::Literal(text) => *text,
                Place::Digit => one_of(DIGITS, random),
                Place::Mark => one_of(MARKS, random),
            });
            let mut text: String = body.collect();
            if self.check {
                match self.check_character(residue(&text)) {
                    Some(check) => text.push(check),
                    None => continue,
                }
            }
            return Code::parse(text).expect("the rules of a code were checked when the pattern was read");
        }
    }

    /// The check character behind a text of this residue; None if the pattern has no such character.
    fn check_character(&self, residue: usize) -> Option<char> {
        let value = (MODULUS + 1 - residue) % MODULUS;
        self.last().chars().find(|text| value_of(*text) == Some(value))
    }

    /// What a check character can be.
    fn last(&self) -> &'static str {
        if self.places.contains(&Place::Mark) { MARKS } else { DIGITS }
    }

    /// What is to be added to make the space so many times larger, in the kind of place that the pattern has.
    pub(crate) fn missing(&self, times: f64) -> String {
        let (text, kind) = if self.places.contains(&Place::Mark) { (MARKS, '?') } else { (DIGITS, '#') };
        let places = (times.ln() / (text.len() as f64).ln()).ceil().max(1.0);
        format!("add {places} of {kind}")
    }

    pub(crate) fn has_check_character(&self) -> bool {
        self.check
    }

    /// A regular expression for what looks like codes of this pattern, whether or not their check character is right.
    pub(crate) fn expression(&self) -> String {
        let mut expression = String::from("^");
        for place in &self.places {
            match place {
                Place::Literal(text) if text.is_ascii_punctuation() => {
                    expression.extend(['\\', *text]);
                }
                Place::Literal(text) => expression.push(*text),
                Place::Digit => expression.push_str(&format!("[{DIGITS}]")),
                Place::Mark => expression.push_str(&format!("[{MARKS}]")),
            }
        }
        if self.check {
            expression.push_str(&format!("[{}]", self.last()));
        }
        expression.push('$');
        expression
    }
}

/// As it is read, without braces and without the check character.
impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.places.iter().try_for_each(|place| match place {
            Place::Literal(text @ ('#' | '?' | '\\' | '{' | '}')) => write!(f, "\\{text}"),
            Place::Literal(text) => write!(f, "{text}"),
            Place::Digit => f.write_str("#"),
            Place::Mark => f.write_str("?"),
        })
    }
}

impl Place {
    /// All that can stand here.
    fn characters(&self) -> impl Iterator<Item = char> {
        let (literal, some) = match self {
            Place::Literal(text) => (Some(*text), ""),
            Place::Digit => (None, DIGITS),
            Place::Mark => (None, MARKS),
        };
        literal.into_iter().chain(some.chars())
    }

    fn allows(&self, text: char) -> bool {
        self.characters().any(|allowed| allowed == text)
    }

    fn any(&self) -> char {
        self.characters().next().expect("no place allows nothing")
    }
}

/// One character of a text of ASCII, each with the same probability.
fn one_of(texts: &str, random: &mut impl Rng) -> char {
    char::from(texts.as_bytes()[random.random_range(0..texts.len())])
}

/// What MOD 37-2 counts a character as; None for those that it passes over.
fn value_of(text: char) -> Option<usize> {
    text.to_digit(36).map(|value| value as usize)
}

/// The residue of a text without its check character.
fn residue(text: &str) -> usize {
    text.chars().fold(0, with)
}

/// The residue of a text with one more character.
fn with(residue: usize, text: char) -> usize {
    value_of(text).map_or(residue, |value| (residue + value) * 2 % MODULUS)
}

fn invalid(reason: &str) -> Error {
    Error::invalid("pattern", reason)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).expect("valid")
    }

    fn matches(pattern: &Pattern, text: &str) -> bool {
        pattern.matches(&Code::parse(text).expect("valid"))
    }

    /// The same codes in every run.
    fn draws(pattern: &Pattern, count: usize) -> Vec<String> {
        let mut random = StdRng::seed_from_u64(7);
        (0..count).map(|_| pattern.draw(&mut random).into_string()).collect()
    }

    #[test]
    fn a_pattern_reads_as_it_is_written() {
        assert_eq!(pattern("TM-??-##").to_string(), "TM-??-##");
        assert_eq!(pattern("?{3}#{2}x?{1}").to_string(), "???##x?");
        assert_eq!(pattern(r"\#\?\{\}\\#").to_string(), r"\#\?\{\}\\#");
        assert!(matches(&pattern(r"\#\?\{\}\\#"), r"#?{}\7"));
        assert!(matches(&pattern("größe ####"), "größe 0815"));
    }

    #[test]
    fn what_is_no_pattern_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", "one code only"),
            ("SUMMER", "one code only"),
            (r"A#\", "single \\"),
            ("{3}#", "do not repeat"),
            ("A{3}#", "do not repeat"),
            ("#{0}", "do not repeat"),
            ("#{101}", "do not repeat"),
            ("#{x}", "do not repeat"),
            ("#{3", "do not repeat"),
            ("#{2}{2}", "do not repeat"),
            ("#}", "without a {"),
            (" #", "white space"),
            ("#\u{3000}", "white space"),
            ("#\n#", "control character"),
            ("#{60}?{41}", "more than 100"),
            (&format!("{}#", "x".repeat(255)), "too long"),
            ("ü{3}#", "do not repeat"),
        ] {
            let error = Pattern::parse(text).expect_err(text).to_string();
            assert!(error.starts_with("pattern: ") && error.contains(reason), "{text}: {error}");
        }
        assert!(Pattern::parse(&format!("{}#", "x".repeat(254))).is_ok());
    }

    #[test]
    fn no_character_of_the_unambiguous_ones_looks_like_another_or_makes_a_word() {
        for company in ["0OQ", "1IL", "2Z", "5S", "6G", "8B", "UV", "AEIOU"] {
            let in_it = company.chars().filter(|text| MARKS.contains(*text)).count();
            assert!(in_it <= 1, "{company}");
        }
        assert_eq!(MARKS.chars().collect::<BTreeSet<_>>().len(), 20);
        assert!(!MARKS.contains(['A', 'E', 'I', 'O', 'U']));
    }

    #[test]
    fn every_code_of_a_pattern_matches_it_and_what_differs_does_not() {
        for plain in ["TM-????-####", r"\?#{9}", "??"] {
            for pattern in [pattern(plain), pattern(plain).with_check_character()] {
                for text in draws(&pattern, 500) {
                    assert!(matches(&pattern, &text), "{plain}: {text}");
                    assert!(!matches(&pattern, &format!("{text}3")));
                    assert!(!matches(&pattern, &text[1..]));
                    assert!(!matches(&pattern, &text.replace(char::is_alphanumeric, "é")));
                }
            }
        }
    }

    /// A donation number of ISBT 128, which has this check character.
    #[test]
    fn the_check_character_is_that_of_the_standard() {
        let value = |text: &str| (MODULUS + 1 - residue(text)) % MODULUS;
        assert_eq!(value("G123489654321"), value_of('Y').expect("a letter"));
        assert_eq!(value("g1234-8965.4321"), value_of('Y').expect("a letter"));
    }

    #[test]
    fn a_check_character_tells_every_wrong_character_and_every_swap_of_neighbours() {
        let right_by_itself = |text: &[char]| {
            let (check, body) = text.split_last().expect("a code");
            value_of(*check) == Some((MODULUS + 1 - residue(&String::from_iter(body))) % MODULUS)
        };
        let pattern = pattern("??##??").with_check_character();
        for text in draws(&pattern, 300) {
            let right: Vec<char> = text.chars().collect();
            assert!(right_by_itself(&right), "{text}");
            for place in 0..right.len() {
                for other in ('0'..='9').chain('A'..='Z').filter(|other| *other != right[place]) {
                    let mut wrong = right.clone();
                    wrong[place] = other;
                    assert!(!right_by_itself(&wrong), "{text} and {wrong:?}");
                    assert!(!matches(&pattern, &String::from_iter(wrong)));
                }
                if place > 0 && right[place] != right[place - 1] {
                    let mut wrong = right.clone();
                    wrong.swap(place, place - 1);
                    assert!(!right_by_itself(&wrong), "{text} and {wrong:?}");
                }
            }
        }
    }

    #[test]
    fn the_space_is_the_number_of_different_codes() {
        assert_eq!(pattern("A#?").strength(0).space, 200.0);
        assert_eq!(pattern("?{8}").strength(0).bits, 8.0 * 20_f64.log2());
        // A small space with check characters, all of which come up in so many draws.
        for text in ["##", "A#-?", "?#"] {
            let pattern = pattern(text).with_check_character();
            let all: BTreeSet<String> = draws(&pattern, 20_000).into_iter().collect();
            assert_eq!(pattern.strength(0).space, all.len() as f64, "{text}");
        }
    }

    #[test]
    fn a_guess_hits_as_often_as_codes_fill_the_space() {
        assert_eq!(pattern("#{6}").strength(1_000).guess, 0.001);
        assert_eq!(pattern("#").strength(0).guess, 0.0);
    }

    /// Chi squared, with a seed that never changes: 19 degrees of freedom are above 73.7 once in ten million.
    #[test]
    fn every_character_comes_up_equally_often_at_every_place() {
        const DRAWS: usize = 40_000;
        let drawn = draws(&pattern("?{8}"), DRAWS);
        for place in 0..8 {
            let often = |mark: char| drawn.iter().filter(|text| text[place..].starts_with(mark)).count();
            let expected = DRAWS as f64 / 20.0;
            let chi: f64 = MARKS.chars().map(|mark| (often(mark) as f64 - expected).powi(2) / expected).sum();
            assert!(chi < 73.7, "place {place}: {chi}");
        }
    }

    #[test]
    fn an_expression_has_the_characters_of_the_pattern() {
        assert_eq!(pattern(r"TM-\?#?").expression(), format!(r"^TM\-\?[{DIGITS}][{MARKS}]$"));
        let with_check = pattern("#").with_check_character();
        assert_eq!(with_check.expression(), format!("^[{DIGITS}][{DIGITS}]$"));
    }

    #[test]
    fn what_is_missing_is_said_in_places_of_the_patterns_kind() {
        assert_eq!(pattern("?#").missing(400.0), "add 2 of ?");
        assert_eq!(pattern("##").missing(401.0), "add 3 of #");
        assert_eq!(pattern("##").missing(1.0001), "add 1 of #");
    }
}
