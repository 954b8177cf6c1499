//! `name=value` lists, with or without quotes. Source: RFC 2831 section 7.2.

/// The directives of one message by their lower-case names. Values are bytes: their character set
/// is itself a directive.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Directives {
    found: Vec<(String, Vec<u8>)>,
}

/// What was said is no list of directives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    #[error("is no list of directives")]
    Syntax,
    #[error("has a directive twice")]
    Twice,
}

impl Directives {
    /// Reads a message; empty elements between commas are skipped.
    pub(super) fn parse(mut input: &[u8]) -> Result<Self, Malformed> {
        let mut directives = Directives::default();
        loop {
            input = after_space(input);
            let Some(first) = input.first() else {
                return Ok(directives);
            };
            if *first == b',' {
                input = &input[1..];
                continue;
            }
            let name_end = input.iter().position(|b| !is_token(*b));
            let (name, rest) = input.split_at(name_end.ok_or(Malformed::Syntax)?);
            let rest = after_space(rest)
                .strip_prefix(b"=")
                .ok_or(Malformed::Syntax)?;
            if name.is_empty() {
                return Err(Malformed::Syntax);
            }
            let (value, rest) = value(after_space(rest))?;
            let rest = after_space(rest);
            if !(rest.is_empty() || rest.starts_with(b",")) {
                return Err(Malformed::Syntax);
            }
            let name = String::from_utf8_lossy(name).to_ascii_lowercase();
            if directives.get(&name).is_some() {
                return Err(Malformed::Twice);
            }
            directives.found.push((name, value));
            input = rest;
        }
    }

    /// A directive's value.
    pub(super) fn get(&self, name: &str) -> Option<&[u8]> {
        let found = self.found.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_slice())
    }
}

fn value(input: &[u8]) -> Result<(Vec<u8>, &[u8]), Malformed> {
    let Some(quoted) = input.strip_prefix(b"\"") else {
        let end = input.iter().position(|b| !is_token(*b));
        let (value, rest) = input.split_at(end.unwrap_or(input.len()));
        return Ok((value.to_vec(), rest));
    };
    let mut value = Vec::new();
    let mut bytes = quoted.iter().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => return Ok((value, &quoted[at + 1..])),
            b'\\' => match bytes.next() {
                Some((_, escaped)) => value.push(*escaped),
                None => break,
            },
            byte => value.push(*byte),
        }
    }
    Err(Malformed::Syntax)
}

fn after_space(input: &[u8]) -> &[u8] {
    let space = |b: &u8| matches!(b, b' ' | b'\t' | b'\r' | b'\n');
    let end = input.iter().position(|b| !space(b));
    &input[end.unwrap_or(input.len())..]
}

/// A character of a name, or of a value without quotes. Anything that neither ends a value nor
/// begins a quote is let pass, as a base-64 value without quotes.
fn is_token(byte: u8) -> bool {
    !matches!(byte, b',' | b'"' | b' ' | b'\t' | b'\r' | b'\n') && (byte != b'=')
}

/// Appends `,name="value"` with what needs it escaped.
pub(super) fn quoted(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    bare(out, name, b"\"");
    for byte in value {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out.push(b'"');
}

/// Appends `,name=value`.
pub(super) fn bare(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    if !out.is_empty() {
        out.push(b',');
    }
    out.extend_from_slice(name.as_bytes());
    out.push(b'=');
    out.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_spaces_and_empty_elements_are_understood() {
        let read =
            Directives::parse(b",  realm = \"a, \\\"b\\\"\" ,qop=auth,,NC=00000001,").unwrap();
        assert_eq!(read.get("realm"), Some(&b"a, \"b\""[..]));
        assert_eq!(read.get("qop"), Some(&b"auth"[..]));
        assert_eq!(read.get("nc"), Some(&b"00000001"[..]));
        assert_eq!(read.get("nonce"), None);
        assert_eq!(Directives::parse(b""), Ok(Directives::default()));
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for message in [
            &b"realm"[..],
            b"=x",
            b"a=\"b",
            b"a=\"b\\",
            b"a=b c",
            b"a=\"b\"c",
            b"\xff",
        ] {
            assert_eq!(
                Directives::parse(message),
                Err(Malformed::Syntax),
                "{message:?}"
            );
        }
        assert_eq!(Directives::parse(b"a=1,A=2"), Err(Malformed::Twice));
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut out = Vec::new();
        quoted(&mut out, "username", b"a\"\\,b");
        bare(&mut out, "qop", b"auth");
        let read = Directives::parse(&out).unwrap();
        assert_eq!(read.get("username"), Some(&b"a\"\\,b"[..]));
        assert_eq!(read.get("qop"), Some(&b"auth"[..]));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..100)) {
            let _ = Directives::parse(&bytes);
        }
    }
}
