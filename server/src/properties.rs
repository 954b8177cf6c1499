//! The syntax of `java.util.Properties`, in which zoo.cfg and its dynamic part are written:
//! comments, continued lines, three separators, escapes.

/// One setting as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property {
    /// The line it starts on, from 1.
    pub line: usize,
    /// The key, without escapes and outer whitespace.
    pub key: String,
    /// The value, likewise.
    pub value: String,
}

/// Reads all settings of a file in their order, duplicates included. Any bytes are valid: the
/// syntax has no errors. Bytes that are not UTF-8 are taken as Latin-1, as Java takes them.
#[must_use]
pub fn parse(bytes: &[u8]) -> Vec<Property> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.trim_start_matches('\u{feff}').to_owned(),
        Err(_) => bytes.iter().copied().map(char::from).collect(),
    };
    let mut properties = Vec::new();
    let mut lines = NaturalLines { rest: &text }.enumerate();
    while let Some((index, first)) = lines.next() {
        let first = first.trim_start_matches(is_space);
        if first.is_empty() || first.starts_with(['#', '!']) {
            continue;
        }
        let mut logical = first.to_owned();
        while ends_in_continuation(&logical) {
            logical.pop();
            match lines.next() {
                Some((_, next)) => logical.push_str(next.trim_start_matches(is_space)),
                None => break,
            }
        }
        let (key, value) = split(&logical);
        properties.push(Property {
            line: index + 1,
            key: unescape(key).trim().to_owned(),
            value: unescape(value).trim().to_owned(),
        });
    }
    properties
}

/// Whitespace in this syntax: not every Unicode space, and not the line's end.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{c}')
}

/// Lines ended by `\n`, `\r` or `\r\n`.
struct NaturalLines<'a> {
    rest: &'a str,
}

impl<'a> Iterator for NaturalLines<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        if self.rest.is_empty() {
            return None;
        }
        let Some(end) = self.rest.find(['\n', '\r']) else {
            return Some(std::mem::take(&mut self.rest));
        };
        let line = &self.rest[..end];
        let behind = &self.rest[end..];
        let terminator = if behind.starts_with("\r\n") { 2 } else { 1 };
        self.rest = &behind[terminator..];
        Some(line)
    }
}

/// Whether a line goes on in the next one: it ends in an odd number of backslashes.
fn ends_in_continuation(line: &str) -> bool {
    line.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

/// Key and value of a logical line. The key ends at the first `=`, `:` or space that is not
/// escaped; spaces and at most one `=` or `:` stand between.
fn split(line: &str) -> (&str, &str) {
    let mut escaped = false;
    let mut key_end = line.len();
    for (at, c) in line.char_indices() {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == '=' || c == ':' || is_space(c) {
            key_end = at;
            break;
        }
    }
    let (key, rest) = line.split_at(key_end);
    let rest = rest.trim_start_matches(is_space);
    let value = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (key, value.trim_start_matches(is_space))
}

fn unescape(text: &str) -> String {
    if !text.contains('\\') {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('t') => out.push('\t'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('f') => out.push('\u{c}'),
            Some('u') => {
                let digits: String = chars.clone().take(4).collect();
                let code = (digits.len() == 4)
                    .then(|| u32::from_str_radix(&digits, 16).ok())
                    .flatten();
                match code {
                    Some(code) => {
                        out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
                        chars.nth(3);
                    }
                    // Java throws here; a stray `\u` in a Windows path is better kept as it is.
                    None => out.push('u'),
                }
            }
            Some(other) => out.push(other),
            None => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(usize, String, String)> {
        parse(text.as_bytes())
            .into_iter()
            .map(|p| (p.line, p.key, p.value))
            .collect()
    }

    fn one(text: &str) -> (String, String) {
        let mut all = pairs(text);
        assert_eq!(all.len(), 1, "{text:?}");
        let (_, key, value) = all.remove(0);
        (key, value)
    }

    #[test]
    fn the_three_separators_and_spaces_around_them_are_equal() {
        for text in [
            "a=b",
            "a:b",
            "a b",
            "  a = b  ",
            "a\t:\tb",
            "a   b",
            "a= b \r\n",
        ] {
            assert_eq!(one(text), ("a".into(), "b".into()), "{text:?}");
        }
    }

    #[test]
    fn only_the_first_separator_splits() {
        assert_eq!(
            one("server.1=host:2888:3888;2181"),
            ("server.1".into(), "host:2888:3888;2181".into())
        );
        assert_eq!(one("a==b"), ("a".into(), "=b".into()));
        assert_eq!(one("a = : b"), ("a".into(), ": b".into()));
    }

    #[test]
    fn comments_and_empty_lines_count_as_lines_but_set_nothing() {
        assert_eq!(
            pairs("# one\n\n! three\n  # four\nkey=value # not a comment\n"),
            vec![(5, "key".into(), "value # not a comment".into())]
        );
    }

    #[test]
    fn a_backslash_at_the_end_continues_the_line() {
        assert_eq!(
            pairs("a=b\\\n   c\nd=e"),
            vec![(1, "a".into(), "bc".into()), (3, "d".into(), "e".into())]
        );
        assert_eq!(one("a=b\\\\"), ("a".into(), "b\\".into()));
        assert_eq!(one("a=b\\"), ("a".into(), "b".into()));
    }

    #[test]
    fn escapes_are_undone_in_keys_and_values() {
        assert_eq!(one(r"a\=b\:c=d\te\u0041"), ("a=b:c".into(), "d\teA".into()));
        assert_eq!(one(r"a=\u00e9\q"), ("a".into(), "éq".into()));
    }

    #[test]
    fn a_key_without_a_value_has_an_empty_one() {
        assert_eq!(one("syncEnabled"), ("syncEnabled".into(), String::new()));
    }

    #[test]
    fn bytes_that_are_not_utf8_are_latin_1() {
        assert_eq!(parse(b"a=\xe9")[0].value, "é");
        assert_eq!(parse("a=é".as_bytes())[0].value, "é");
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _ = parse(&bytes);
        }
    }
}
