//! Paths: what is one, and its parts. Source: `PathUtils.java`.

/// Why a text is no path of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Nothing at all.
    #[error("the path is empty")]
    Empty,
    /// Not from the root.
    #[error("the path does not start with /")]
    Relative,
    /// A slash at the end.
    #[error("the path ends with /")]
    TrailingSlash,
    /// Two slashes in a row.
    #[error("the path has an empty name in it")]
    EmptyName,
    /// `.` or `..`.
    #[error("the path has . or .. in it")]
    Dots,
    /// A control character, a surrogate, or a character of a private or special area.
    #[error("the path has a character that is not allowed")]
    Character,
}

/// Whether `path` may name a node.
///
/// Characters beyond the basic plane are refused, because Java sees them as two surrogates.
/// Source: `PathUtils.java` validatePath.
///
/// # Errors
/// [`PathError`] with the first rule that is broken.
pub fn validate(path: &str) -> Result<(), PathError> {
    let Some(rest) = path.strip_prefix('/') else {
        return Err(if path.is_empty() {
            PathError::Empty
        } else {
            PathError::Relative
        });
    };
    if rest.is_empty() {
        return Ok(());
    }
    if rest.ends_with('/') {
        return Err(PathError::TrailingSlash);
    }
    for name in rest.split('/') {
        match name {
            "" => return Err(PathError::EmptyName),
            "." | ".." => return Err(PathError::Dots),
            _ => {}
        }
    }
    let refused = |c: char| matches!(u32::from(c), 0..=0x1f | 0x7f..=0x9f | 0xd800..=0xf8ff | 0xfff0..=0x0010_ffff);
    if path.chars().any(refused) {
        return Err(PathError::Character);
    }
    Ok(())
}

/// The parent's path ("" for the root's children) and the name behind the last slash; `None`
/// where there is no slash.
#[must_use]
pub fn split(path: &str) -> Option<(&str, &str)> {
    path.rsplit_once('/')
}

/// Java's `String.length()`: UTF-16 units.
#[must_use]
pub(crate) fn java_length(text: &str) -> usize {
    if text.is_ascii() {
        text.len()
    } else {
        text.encode_utf16().count()
    }
}

/// "" and "/" are the root; it is kept as "".
#[must_use]
pub(crate) fn canonical(path: &str) -> &str {
    if path == "/" { "" } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_refused_for_the_reasons_of_java() {
        for good in [
            "/",
            "/a",
            "/a/b",
            "/a..b",
            "/...",
            "/.a",
            "/a.",
            "/a b",
            "/é",
            "/\u{f900}",
        ] {
            assert_eq!(validate(good), Ok(()), "{good:?}");
        }
        for (bad, why) in [
            ("", PathError::Empty),
            ("a", PathError::Relative),
            ("/a/", PathError::TrailingSlash),
            ("//", PathError::TrailingSlash),
            ("//a", PathError::EmptyName),
            ("/a//b", PathError::EmptyName),
            ("/.", PathError::Dots),
            ("/..", PathError::Dots),
            ("/a/../b", PathError::Dots),
            ("/a/./b", PathError::Dots),
            ("/a\0", PathError::Character),
            ("/\u{1}", PathError::Character),
            ("/\u{1f}", PathError::Character),
            ("/\u{7f}", PathError::Character),
            ("/\u{9f}", PathError::Character),
            ("/\u{f8ff}", PathError::Character),
            ("/\u{fff0}", PathError::Character),
            ("/😀", PathError::Character),
        ] {
            assert_eq!(validate(bad), Err(why), "{bad:?}");
        }
    }

    #[test]
    fn a_child_of_the_root_has_the_empty_parent() {
        assert_eq!(split("/a"), Some(("", "a")));
        assert_eq!(split("/a/b"), Some(("/a", "b")));
        assert_eq!(split("a"), None);
    }
}
