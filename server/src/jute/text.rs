//! Bytes to text as Java does it.

use std::borrow::Cow;

const UNKNOWN: char = char::REPLACEMENT_CHARACTER;

/// Bytes as text. What is no UTF-8 becomes U+FFFD, by Java's count: a surrogate that was encoded
/// on its own is one, where Rust's own conversion makes it three.
/// Source: `java.lang.String` of OpenJDK 17, UTF-8 decoding; `BinaryInputArchive.java` readString.
#[must_use]
pub fn text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(replaced(bytes)),
    }
}

fn replaced(mut rest: &[u8]) -> String {
    let mut text = String::with_capacity(rest.len());
    while !rest.is_empty() {
        let (character, taken) = first(rest);
        text.push(character.unwrap_or(UNKNOWN));
        rest = rest.get(taken..).unwrap_or_default();
    }
    text
}

fn is_more(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

/// The first character, `None` for one that can't be told, and the bytes it takes.
fn first(rest: &[u8]) -> (Option<char>, usize) {
    let whole = |length: usize| {
        let text = rest.get(..length).and_then(|b| std::str::from_utf8(b).ok());
        text.and_then(|text| text.chars().next())
    };
    match rest {
        [0..=0x7f, ..] => (whole(1), 1),
        [0xc2..=0xdf, more, ..] if is_more(*more) => (whole(2), 2),
        [lead @ 0xe0..=0xef, more @ ..] => {
            let second_fits = |b: u8| is_more(b) && !(*lead == 0xe0 && b & 0xe0 == 0x80);
            match more {
                [second, ..] if !second_fits(*second) => (None, 1),
                [_, third, ..] if !is_more(*third) => (None, 2),
                // A surrogate is no character, and takes its three bytes along.
                _ => (whole(3), 3),
            }
        }
        [lead @ 0xf0..=0xf4, more @ ..] => {
            let second_fits =
                |b: u8| is_more(b) && !(*lead == 0xf0 && b < 0x90) && !(*lead == 0xf4 && b >= 0x90);
            match more {
                [second, ..] if !second_fits(*second) => (None, 1),
                [_, third, ..] if !is_more(*third) => (None, 2),
                [_, _, fourth, ..] if !is_more(*fourth) => (None, 3),
                _ => (whole(4), 4),
            }
        }
        _ => (None, 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_utf_8_is_replaced_by_java_s_count() {
        for (bytes, expected) in [
            (&b"a\xffb"[..], "a\u{fffd}b"),
            (b"\xed\xa0\x80x", "\u{fffd}x"),
            (b"\xed\xa0\xbd\xed\xb8\x80", "\u{fffd}\u{fffd}"),
            (b"\xed\xa0", "\u{fffd}"),
            (b"\xed\xa0x", "\u{fffd}x"),
            (b"\xc0\x80", "\u{fffd}\u{fffd}"),
            (b"\xc3", "\u{fffd}"),
            (b"\xc3x", "\u{fffd}x"),
            (b"\xe0\x80\x80", "\u{fffd}\u{fffd}\u{fffd}"),
            (b"\xe2\x82", "\u{fffd}"),
            (b"\xe2\x82x", "\u{fffd}x"),
            (b"\xf0\x9f\x98", "\u{fffd}"),
            (b"\xf0\x9f\x98x", "\u{fffd}x"),
            (b"\xf0\x80\x80\x80", "\u{fffd}\u{fffd}\u{fffd}\u{fffd}"),
            (b"\xf5\x80\x80\x80", "\u{fffd}\u{fffd}\u{fffd}\u{fffd}"),
            (b"\xf4\x90\x80\x80", "\u{fffd}\u{fffd}\u{fffd}\u{fffd}"),
        ] {
            assert_eq!(text(bytes), expected, "{}", bytes.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn good_text_stays_as_it_is_between_bad_bytes(good in ".*", more in ".*") {
            let bytes = [good.as_bytes(), b"\xff", more.as_bytes()].concat();
            prop_assert_eq!(text(&bytes), format!("{good}\u{fffd}{more}"));
        }
    }
}
