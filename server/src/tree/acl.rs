//! Who may do what. Source: `ZooKeeperServer.java` checkACL and the authentication providers.

use crate::auth::x509;
use crate::proto::{Acl, Id, Perms};

/// Whether a connection with the identities `ids` may do any of `wanted` to a node with this
/// list. An empty list lets everyone in, as does the identity of scheme `super`.
#[must_use]
pub fn allows(list: &[Acl], wanted: Perms, ids: &[Id]) -> bool {
    if list.is_empty() {
        return true;
    }
    // The list of nearly every node: nothing else has to be looked at.
    let open =
        |acl: &Acl| acl.perms.allows(wanted) && acl.id.scheme == "world" && acl.id.id == "anyone";
    if list.iter().any(open) || ids.iter().any(|id| id.scheme == "super") {
        return true;
    }
    list.iter()
        .filter(|acl| acl.perms.allows(wanted))
        .any(|acl| ids.iter().any(|id| matches(id, &acl.id)))
}

/// Whether an identity is the one that a list names.
fn matches(id: &Id, named: &Id) -> bool {
    if id.scheme != named.scheme {
        return false;
    }
    match id.scheme.as_str() {
        "ip" => ip_matches(&id.id, &named.id),
        // Source: `SASLAuthenticationProvider.java` matches.
        "sasl" => id.id == "super" || id.id == named.id,
        "digest" | "x509" => id.id == named.id,
        _ => false,
    }
}

/// Which schemes a list may name, and which of them prove who someone is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schemes {
    /// Java's `authProvider.sasl`; off by default there.
    pub sasl: bool,
    /// On where there is a secure port.
    pub x509: bool,
    /// On unless `DigestAuthenticationProvider.enabled` is false.
    pub digest: bool,
}

impl Default for Schemes {
    fn default() -> Self {
        Schemes {
            sasl: false,
            x509: false,
            digest: true,
        }
    }
}

impl Schemes {
    /// Whether identities of the scheme are proven, so that `auth` stands for them.
    /// Source: isAuthenticated of the providers.
    #[must_use]
    pub fn proves(self, scheme: &str) -> bool {
        match scheme {
            "sasl" => self.sasl,
            "x509" => self.x509,
            "digest" => self.digest,
            _ => false,
        }
    }

    /// Whether the identity has its scheme's form. Source: isValid of the providers.
    #[must_use]
    pub fn is_valid(self, id: &Id) -> bool {
        match id.scheme.as_str() {
            "ip" => ip_expression(&id.id).is_some(),
            "digest" => self.digest && java_split_count(&id.id, ':') == 2,
            "sasl" => self.sasl && is_principal(&id.id),
            "x509" => self.x509 && x509::is_name(&id.id),
            _ => false,
        }
    }
}

/// Whether Kerberos could name someone so: at most one `@`, and one `/` in front of it. Names without
/// `@` may have any form. Source: `KerberosName.java`.
fn is_principal(id: &str) -> bool {
    match id.split_once('@') {
        None => true,
        Some((name, realm)) => !realm.contains(['/', '@']) && name.matches('/').count() <= 1,
    }
}

/// How many parts `String.split` gives: empty ones at the end don't count.
fn java_split_count(text: &str, separator: char) -> usize {
    let trimmed = text.trim_end_matches(separator);
    if trimmed.is_empty() {
        // "" splits into one empty part, ":" into none.
        return usize::from(text.is_empty());
    }
    trimmed.split(separator).count()
}

/// The list with doubles removed and `auth` replaced by the connection's own identities; `None`
/// where it is empty or names what can't be. Source: `PrepRequestProcessor.java` fixupACL.
#[must_use]
pub fn fix_up(list: &[Acl], ids: &[Id], schemes: Schemes) -> Option<Vec<Acl>> {
    let mut unique: Vec<&Acl> = Vec::with_capacity(list.len());
    for acl in list {
        if !unique.contains(&acl) {
            unique.push(acl);
        }
    }
    if unique.is_empty() {
        return None;
    }
    let mut fixed = Vec::with_capacity(unique.len());
    for acl in unique {
        if acl.id.scheme == "world" && acl.id.id == "anyone" {
            fixed.push(acl.clone());
        } else if acl.id.scheme == "auth" {
            let before = fixed.len();
            let proven = ids.iter().filter(|id| schemes.proves(&id.scheme));
            fixed.extend(proven.map(|id| Acl {
                perms: acl.perms,
                id: id.clone(),
            }));
            if fixed.len() == before {
                return None;
            }
        } else if schemes.is_valid(&acl.id) {
            fixed.push(acl.clone());
        } else {
            return None;
        }
    }
    Some(fixed)
}

/// An address and how many of its bits count. Source: `IPAuthenticationProvider.java` isValid.
fn ip_expression(text: &str) -> Option<(Address, u32)> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(java_int(bits)?)),
        None => (text, None),
    };
    let address = Address::parse(address)?;
    let bits = match bits {
        None => address.bits,
        Some(bits) => u32::try_from(bits).ok().filter(|b| *b <= address.bits)?,
    };
    Some((address, bits))
}

/// `Integer.parseInt`: a sign may stand in front.
fn java_int(text: &str) -> Option<i32> {
    text.parse().ok()
}

fn ip_matches(id: &str, expression: &str) -> bool {
    let (Some((named, bits)), Some(remote)) = (ip_expression(expression), Address::parse(id))
    else {
        return false;
    };
    named.bits == remote.bits && named.masked(bits) == remote.masked(bits)
}

/// An IP address; an IPv4 one mapped into IPv6 stays IPv6, as in Java.
#[derive(Clone, Copy)]
struct Address {
    value: u128,
    bits: u32,
}

impl Address {
    fn parse(text: &str) -> Option<Self> {
        if text.contains(':') {
            Self::parse_v6(text)
        } else if text.contains('.') {
            Self::parse_v4(text)
        } else {
            None
        }
    }

    /// Four decimal numbers, more leniently than most: leading zeros and plus signs are numbers
    /// to `Integer.parseInt`. Source: `IPAuthenticationProvider.java` v4addr2Bytes.
    fn parse_v4(text: &str) -> Option<Self> {
        let mut value = 0;
        let mut count = 0;
        for part in text.split('.') {
            let byte = u8::try_from(java_int(part)?).ok()?;
            value = value << 8 | u128::from(byte);
            count += 1;
        }
        (count == 4).then_some(Address { value, bits: 32 })
    }

    /// Hexadecimal groups with at most one `::`; no embedded IPv4, no zone.
    /// Source: `IPAuthenticationProvider.java` parseV6addr.
    fn parse_v6(text: &str) -> Option<Self> {
        let (front, back) = match text.split_once("::") {
            None => (groups(text)?, Vec::new()),
            Some((front, back)) => {
                if back.contains("::") {
                    return None;
                }
                let part = |text: &str| match text {
                    "" => Some(Vec::new()),
                    text => groups(text),
                };
                let (front, back) = (part(front)?, part(back)?);
                if front.len() + back.len() >= 8 {
                    return None;
                }
                (front, back)
            }
        };
        if !text.contains("::") && front.len() != 8 {
            return None;
        }
        let mut all = [0; 8];
        for (at, group) in front.iter().enumerate() {
            *all.get_mut(at)? = *group;
        }
        for (at, group) in back.iter().rev().enumerate() {
            all[7 - at] = *group;
        }
        let value = all.iter().fold(0, |sum, g| sum << 16 | u128::from(*g));
        Some(Address { value, bits: 128 })
    }

    fn masked(self, bits: u32) -> u128 {
        self.value.checked_shr(self.bits - bits).unwrap_or(0)
    }
}

fn groups(text: &str) -> Option<Vec<u16>> {
    text.split(':')
        .map(|group| {
            let fits = !group.is_empty() && group.len() <= 4;
            fits.then(|| u16::from_str_radix(group, 16).ok()).flatten()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acl(perms: Perms, scheme: &str, id: &str) -> Acl {
        Acl {
            perms,
            id: Id::new(scheme, id),
        }
    }

    #[test]
    fn super_passes_every_list_and_an_empty_list_stops_nobody() {
        let nobody = [acl(Perms(0), "digest", "a:b")];
        assert!(allows(&nobody, Perms::ADMIN, &[Id::new("super", "")]));
        assert!(!allows(&nobody, Perms::ADMIN, &[Id::new("digest", "a:b")]));
        assert!(allows(&[], Perms::ADMIN, &[]));
    }

    #[test]
    fn one_of_the_wanted_permissions_is_enough() {
        let admin = [acl(Perms::ADMIN, "digest", "a:b")];
        let me = [Id::new("digest", "a:b")];
        assert!(allows(&admin, Perms(Perms::READ.0 | Perms::ADMIN.0), &me));
        assert!(!allows(&admin, Perms::READ, &me));
    }

    #[test]
    fn addresses_match_under_their_mask_and_only_in_their_family() {
        for (id, named, expected) in [
            ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.3", "10.1.2.4", false),
            ("10.1.2.3", "10.1.0.0/16", true),
            ("10.2.2.3", "10.1.0.0/16", false),
            ("10.1.2.3", "10.1.2.2/31", true),
            ("10.1.2.3", "0.0.0.0/0", true),
            ("10.1.2.3", "10.1.2.3/33", false),
            ("10.1.2.3", "10.1.2.3/-1", false),
            ("10.1.2.3", "10.1.2.3/x", false),
            ("0:0:0:0:0:0:0:1", "::1", true),
            ("fe80:0:0:0:1:2:3:4", "fe80::/10", true),
            ("fe80::1", "fe80::2/127", false),
            ("::1", "0.0.0.1", false),
            ("::1", "::/0", true),
        ] {
            assert_eq!(ip_matches(id, named), expected, "{id} {named}");
        }
    }

    #[test]
    fn identities_have_the_form_of_their_scheme() {
        let schemes = Schemes::default();
        let valid = |scheme: &str, id: &str| schemes.is_valid(&Id::new(scheme, id));
        assert!(valid("digest", "user:hash"));
        assert!(valid("digest", "user:hash:"));
        assert!(!valid("digest", "user:"));
        assert!(!valid("digest", "user"));
        assert!(!valid("digest", "a:b:c"));
        assert!(valid("digest", ":b"));
        assert!(valid("ip", "1.2.3.4/32"));
        assert!(!valid("ip", "1.2.3"));
        assert!(!valid("ip", "1::2::3"));
        assert!(!valid("ip", "1:2:3:4:5:6:7"));
        assert!(!valid("ip", "1:2:3:4:5:6:7::8"));
        assert!(!valid("world", "someone"));
        assert!(!valid("sasl", "me"));
        assert!(!valid("x509", "CN=me"));
        let schemes = Schemes {
            sasl: true,
            x509: true,
            digest: false,
        };
        let valid = |scheme: &str, id: &str| schemes.is_valid(&Id::new(scheme, id));
        for id in ["me", "a/b", "a/b/c", "me@REALM", "me/host@REALM", ""] {
            assert!(valid("sasl", id), "{id}");
        }
        for id in ["a@b@c", "a/b/c@d", "a@b/c"] {
            assert!(!valid("sasl", id), "{id}");
        }
        assert!(valid("x509", "CN=me,O=us"));
        assert!(!valid("x509", "me"));
        assert!(!valid("digest", "user:hash"));
    }

    #[test]
    fn auth_stands_for_the_proven_identities_and_needs_one() {
        let schemes = Schemes::default();
        let auth = [acl(Perms::ALL, "auth", "")];
        let ids = [Id::new("ip", "1.2.3.4"), Id::new("digest", "a:b")];
        assert_eq!(
            fix_up(&auth, &ids, schemes),
            Some(vec![acl(Perms::ALL, "digest", "a:b")])
        );
        assert_eq!(fix_up(&auth, &ids[..1], schemes), None);
        assert_eq!(fix_up(&auth, &[Id::new("super", "")], schemes), None);
        assert_eq!(fix_up(&[], &ids, schemes), None);
        let double = [acl(Perms::ALL, "ip", "::1"), acl(Perms::ALL, "ip", "::1")];
        assert_eq!(fix_up(&double, &[], schemes).map(|l| l.len()), Some(1));
    }
}
