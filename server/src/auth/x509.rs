//! Names in certificates as Java writes them: the ids of the scheme `x509`.

use std::fmt::Write as _;
use x509_parser::der_parser::asn1_rs::{Any, Oid, Tag, ToDer as _};
use x509_parser::x509::X509Name;

/// The attributes that have a word in RFC 2253; the others are written by their numbers.
/// Source: section 2.3 there.
const WORDS: [(&str, &str); 9] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "STREET"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("0.9.2342.19200300.100.1.1", "UID"),
];

/// The words that Java reads in a name, besides the ones it writes.
/// Source: `AVAKeyword` of the JDK (measured, Java 17).
const OTHER_WORDS: [&str; 12] = [
    "S",
    "T",
    "IP",
    "SURNAME",
    "GIVENNAME",
    "INITIALS",
    "GENERATION",
    "DNQ",
    "DNQUALIFIER",
    "EMAIL",
    "EMAILADDRESS",
    "SERIALNUMBER",
];

/// A name as `X500Principal.getName()` gives it, the id that a certificate with this subject proves:
/// RFC 2253, the last part first, and its own choices where that leaves one.
#[must_use]
pub fn rfc2253(name: &X509Name<'_>) -> String {
    let parts: Vec<String> = name
        .iter_rdn()
        .map(|part| {
            let attributes: Vec<String> = part
                .iter()
                .map(|attribute| attribute_text(attribute.attr_type(), attribute.attr_value()))
                .collect();
            attributes.join("+")
        })
        .collect();
    let reversed: Vec<String> = parts.into_iter().rev().collect();
    reversed.join(",")
}

fn attribute_text(kind: &Oid<'_>, value: &Any<'_>) -> String {
    let number = kind.to_id_string();
    let word = WORDS.iter().find(|(known, _)| *known == number);
    // Java takes the bytes of each of these for UTF-8, which they are in all but odd old names.
    let is_text = matches!(
        value.header.tag(),
        Tag::Utf8String
            | Tag::PrintableString
            | Tag::T61String
            | Tag::Ia5String
            | Tag::GeneralString
            | Tag::BmpString
    );
    match word {
        Some((_, word)) if is_text => {
            format!("{word}={}", escaped(&String::from_utf8_lossy(value.data)))
        }
        _ => {
            let mut text = match word {
                Some((_, word)) => format!("{word}=#"),
                None => format!("{number}=#"),
            };
            for byte in value.to_der_vec().unwrap_or_default() {
                let _infallible = write!(text, "{byte:02x}");
            }
            text
        }
    }
}

fn escaped(value: &str) -> String {
    let is_space = |c: char| c == ' ' || c == '\r';
    let inner = value.trim_matches(is_space);
    let lead = value.len() - value.trim_start_matches(is_space).len();
    let trail = lead + inner.len();
    let mut text = String::with_capacity(value.len());
    for (at, c) in value.char_indices() {
        match c {
            ',' | '=' | '+' | '<' | '>' | ';' | '"' | '\\' => text.extend(['\\', c]),
            '#' if at == 0 => text.push_str("\\#"),
            '\0' => text.push_str("\\00"),
            c if at < lead || at >= trail => text.extend(['\\', c]),
            c => text.push(c),
        }
    }
    text
}

/// Whether Java could read `text` as a name, and so takes it for an id of scheme `x509` in a list.
/// Source: `X509AuthenticationProvider.java` isValid.
#[must_use]
pub fn is_name(text: &str) -> bool {
    if text.is_empty() {
        return true;
    }
    parts(text).is_some_and(|parts| parts.iter().all(|part| is_part(part)))
}

/// The parts between `,`, `;` and `+`, quotes and escapes left as they are; `None` where a quote or
/// an escape has no end.
fn parts(text: &str) -> Option<Vec<&str>> {
    let mut parts = Vec::new();
    let mut start = 0;
    let mut quoted = false;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => {
                chars.next()?;
            }
            '"' => quoted = !quoted,
            ',' | ';' | '+' if !quoted => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    (!quoted).then_some(parts)
}

fn is_part(part: &str) -> bool {
    let Some((kind, value)) = part.split_once('=') else {
        return false;
    };
    is_kind(kind.trim()) && is_value(value.trim_matches([' ', '\n']))
}

fn is_kind(kind: &str) -> bool {
    let upper = kind.to_ascii_uppercase();
    let known = WORDS.iter().any(|(_, word)| *word == upper);
    known || OTHER_WORDS.contains(&upper.as_str()) || {
        is_number(upper.strip_prefix("OID.").unwrap_or(&upper))
    }
}

/// Whether it is an object identifier: the first of its numbers is below 3, and the second below
/// 40 unless the first is 2.
fn is_number(text: &str) -> bool {
    let numbers: Option<Vec<u64>> = text
        .split('.')
        .map(|number| {
            let digits = number.bytes().all(|b| b.is_ascii_digit());
            digits.then(|| number.parse().ok()).flatten()
        })
        .collect();
    match numbers.as_deref() {
        Some([first, second, ..]) => *first < 2 && *second < 40 || *first == 2,
        _ => false,
    }
}

fn is_value(value: &str) -> bool {
    if let Some(hex) = value.strip_prefix('#') {
        return is_der_in_hex(hex);
    }
    if let Some(rest) = value.strip_prefix('"') {
        // Nothing but space may stand behind the closing quote.
        let mut escape = false;
        let end = rest.find(|c| {
            let closes = c == '"' && !escape;
            escape = c == '\\' && !escape;
            closes
        });
        return end.is_some_and(|end| rest[end + 1..].trim().is_empty());
    }
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '<' | '>' | '"' => return false,
            '\\' => match chars.next() {
                Some(first) if first.is_ascii_hexdigit() => {
                    if !chars
                        .next()
                        .is_some_and(|second| second.is_ascii_hexdigit())
                    {
                        return false;
                    }
                }
                Some(',' | '=' | '+' | '<' | '>' | '#' | ';' | '"' | '\\' | ' ') => {}
                _ => return false,
            },
            _ => {}
        }
    }
    true
}

/// Whether it is one value of DER: a tag, a length, and as many bytes. Long lengths are for none of
/// the values that names have.
fn is_der_in_hex(hex: &str) -> bool {
    let bytes: Option<Vec<u8>> = hex
        .as_bytes()
        .chunks(2)
        .map(|pair| {
            let pair = std::str::from_utf8(pair).ok()?;
            (pair.len() == 2)
                .then(|| u8::from_str_radix(pair, 16).ok())
                .flatten()
        })
        .collect();
    match bytes.as_deref() {
        Some([_, len, content @ ..]) => usize::from(*len) == content.len(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use x509_parser::prelude::FromDer as _;

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal"))
            .collect()
    }

    /// Names in DER, and what `X500Principal.getName()` of Java 17 makes of them.
    #[test]
    fn names_are_written_as_java_writes_them() {
        for (der, expected) in [
            ("3011310f300d06035504031306636c69656e74", "CN=client"),
            (
                "3049310b3009060355040613024445310a30080603550408130165310a30080603550407130164\
                 310a3008060355040a130163310a3008060355040b130162310a30080603550403130161",
                "CN=a,OU=b,O=c,L=d,ST=e,C=DE",
            ),
            (
                "301e311c301a06035504030c13612c622b6322645c653c663e673b683d69236a",
                "CN=a\\,b\\+c\\\"d\\\\e\\<f\\>g\\;h\\=i#j",
            ),
            ("300e310c300a06035504031303206120", "CN=\\ a\\ "),
            (
                "3019310a3008060355040a130179310b300906035504030c022378",
                "CN=\\#x,O=y",
            ),
            (
                "30433111300f060a0992268993f22c6401191601793111300f060a0992268993f22c640119160178\
                 311b30080603550403130163300f060a0992268993f22c640101130175",
                "CN=c+UID=u,DC=x,DC=y",
            ),
            (
                "3020310a300806035504031301633112301006092a864886f70d0109011603614062",
                "1.2.840.113549.1.9.1=#1603614062,CN=c",
            ),
            (
                "3034310e300c06035504030c05c3a9e4b8ad310a30080603550409130178310a30080603550408130173\
                 310a3008060355040c130174",
                "2.5.4.12=#130174,ST=s,STREET=x,CN=\u{e9}\u{4e2d}",
            ),
            ("300f310d300b0603550403130461202062", "CN=a  b"),
            (
                "3018310a30080603550403130161310a300806032a030413017a",
                "1.2.3.4=#13017a,CN=a",
            ),
            ("300b3109300706035504031300", "CN="),
            ("300c310a30080603550403140161", "CN=a"),
            ("300d310b3009060355040a1e020061", "O=\\00a"),
            ("300f310d300b060355040a1c0400000061", "O=#1c0400000061"),
            ("300c310a3008060355040a1b0161", "O=a"),
            ("300c310a3008060355040a040161", "O=#040161"),
            ("300e310c300a06035504030c032161c3", "CN=!a\u{fffd}"),
            ("3000", ""),
        ] {
            let der = bytes(der);
            let (_, name) = X509Name::from_der(&der).expect(expected);
            assert_eq!(rfc2253(&name), expected);
        }
    }

    /// Each as `new X500Principal(…)` of Java 17 decides.
    #[test]
    fn a_name_is_what_java_reads_as_one() {
        for text in [
            "",
            "CN=a",
            "cn=a",
            "CN=",
            "CN=a,O=b",
            "CN=a; O=b",
            "CN=a+OU=b,O=c",
            "1.2.3=a",
            "OID.1.2.3=a",
            "oid.1.2.3=#0c0161",
            "CN=\"a,b\"",
            "CN=a\\,b",
            "CN=#0c0161",
            "EMAILADDRESS=a@b",
            "EMAIL=a@b",
            "S=x",
            "DC=a",
            "UID=a",
            "DNQ=1",
            "IP=1",
            "CN=a=b",
            "CN=a#b",
            "CN= a ",
            "CN=a\\41",
            " CN=a",
            "CN =a",
            "CN=\u{e9}",
            "CN=a\nb",
            "2.5.4.3=a",
            "C=Germany",
            "CN=a/b",
        ] {
            assert!(is_name(text), "{text:?} is a name");
        }
        for text in [
            "a",
            "=a",
            "CN",
            "CN=a,",
            ",CN=a",
            "CN=a,,O=b",
            "FOO=a",
            "CN=a\\",
            "CN=\"a",
            "CN=#0c01",
            "CN=#zz",
            "E=a@b",
            "TITLE=a",
            "SN=a",
            "NAME=a",
            "CN=a<b",
            "CN=a>b",
            "CN=a\\4",
            "CN=a\\g",
            "CN=a+",
            "CN=a,O",
            "CN=\"a\"b",
            "CN=a\"b",
            "1=a",
            "1.=a",
            "3.1=a",
            "1.2.x=a",
            "1.40=a",
            "CN=a+b",
            "user@REALM",
        ] {
            assert!(!is_name(text), "{text:?} is no name");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[A-Z=,;+\"\\\\#<> a-f0-9.é]{0,40}") {
            let _ = is_name(&text);
        }
    }
}
