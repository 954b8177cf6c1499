//! `cargo xtask layers`: the pure rooms name no I/O, clock or randomness.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::project::Project;

/// Rooms whose code decides and never acts; each is a file or a folder.
const PURE_ROOMS: [&str; 18] = [
    "server/src/ids",
    "server/src/ensemble",
    "server/src/properties",
    "server/src/jute",
    "server/src/proto",
    "server/src/quorum_proto",
    "server/src/auth",
    "server/src/zab",
    "server/src/tree",
    "server/src/txn",
    "server/src/departures",
    "server/src/sessions",
    "server/src/room",
    "src/crd",
    "src/valid",
    "src/objects",
    "src/plan",
    "src/status",
];

/// Paths that no pure room may name.
const FORBIDDEN: [&[&str]; 4] = [&["tokio"], &["rand"], &["std", "fs"], &["std", "net"]];

/// Clocks, however they were imported.
const FORBIDDEN_NAMES: [&str; 2] = ["Instant", "SystemTime"];

/// Fails with one line for each thing that a pure room names but may not.
pub(crate) fn layers(project: &Project) -> Result<()> {
    let mut faults = Vec::new();
    for room in PURE_ROOMS {
        let files = files_of(&project.root, room)?;
        if files.is_empty() {
            // A room that moved would otherwise never be looked at again.
            faults.push(format!(
                "{room} has no Rust file: a room that moved is renamed in xtask/src/layers.rs"
            ));
        }
        for file in files {
            let text =
                fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
            let shown = file
                .strip_prefix(&project.root)
                .unwrap_or(&file)
                .display()
                .to_string();
            faults.extend(
                named(&text)
                    .into_iter()
                    .map(|(line, name)| format!("{shown}:{line}: a pure room names {name}")),
            );
        }
    }
    if !faults.is_empty() {
        bail!("{}", faults.join("\n"));
    }
    Ok(())
}

/// The room's files, but for those that only tests use.
fn files_of(root: &Path, room: &str) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let file = root.join(format!("{room}.rs"));
    if file.is_file() {
        files.push(file);
    }
    let mut folders = vec![root.join(room)];
    while let Some(folder) = folders.pop() {
        if !folder.is_dir() {
            continue;
        }
        for entry in fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))? {
            let path = entry
                .with_context(|| format!("list {}", folder.display()))?
                .path();
            let stem = path
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let for_tests = stem == "tests" || stem.ends_with("_tests");
            if for_tests {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// A word or `::`, `{`, `}`, `,`, `;` of a source, with its line.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Token {
    line: usize,
    text: String,
}

/// The forbidden things that a source names outside its tests, with their lines.
fn named(source: &str) -> Vec<(usize, String)> {
    let tokens = without_tests(&tokens(source));
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        if FORBIDDEN_NAMES.contains(&token.text.as_str()) {
            found.push((token.line, token.text.clone()));
        }
        let inside_path =
            at > 0 && tokens[at - 1].text == "::" && at > 1 && is_word(&tokens[at - 2].text);
        if inside_path {
            continue;
        }
        let mut paths = Vec::new();
        expand(&tokens, at, &mut Vec::new(), &mut paths);
        for path in paths {
            let names_one = FORBIDDEN.iter().any(|forbidden| {
                // A lone word is a local name, unless it is imported or followed by a path.
                path.len() >= forbidden.len().max(2)
                    && forbidden.iter().zip(&path).all(|(want, have)| want == have)
                    || (forbidden.len() == 1
                        && path.len() == 1
                        && path[0] == forbidden[0]
                        && at > 0
                        && tokens[at - 1].text == "use")
            });
            if names_one {
                found.push((token.line, path.join("::")));
            }
        }
    }
    found
}

/// Adds every path that starts at `at`; `a::{b, c::d}` is `a::b` and `a::c::d`. Returns the index
/// after it.
fn expand(
    tokens: &[Token],
    at: usize,
    prefix: &mut Vec<String>,
    paths: &mut Vec<Vec<String>>,
) -> usize {
    let text = |index: usize| {
        tokens
            .get(index)
            .map_or("", |token: &Token| token.text.as_str())
    };
    let depth = prefix.len();
    let mut next = at;
    if !is_word(text(next)) {
        return next + 1;
    }
    loop {
        prefix.push(text(next).to_owned());
        next += 1;
        if text(next) != "::" {
            break;
        }
        next += 1;
        if text(next) == "{" {
            next += 1;
            while next < tokens.len() && text(next) != "}" {
                next = match text(next) {
                    "," => next + 1,
                    _ => expand(tokens, next, prefix, paths),
                };
            }
            prefix.truncate(depth);
            return next + 1;
        }
        if !is_word(text(next)) {
            break;
        }
    }
    paths.push(prefix.clone());
    prefix.truncate(depth);
    next
}

fn is_word(text: &str) -> bool {
    text.starts_with(|first: char| first == '_' || first.is_alphabetic())
}

/// Drops each `#[cfg(test)]` item, from its attribute to the end of its block or statement.
fn without_tests(tokens: &[Token]) -> Vec<Token> {
    const ATTRIBUTE: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let is_attribute = ATTRIBUTE.iter().enumerate().all(|(offset, want)| {
            tokens
                .get(at + offset)
                .is_some_and(|token| token.text == *want)
        });
        if !is_attribute {
            kept.push(tokens[at].clone());
            at += 1;
            continue;
        }
        let mut depth = 0_usize;
        at += ATTRIBUTE.len();
        while at < tokens.len() {
            let text = tokens[at].text.as_str();
            at += 1;
            match text {
                "{" => depth += 1,
                "}" if depth <= 1 => break,
                "}" => depth -= 1,
                ";" if depth == 0 => break,
                _ => {}
            }
        }
    }
    kept
}

/// Splits a source into words and marks; comments, strings and characters are left out.
fn tokens(source: &str) -> Vec<Token> {
    let chars: Vec<char> = source.chars().collect();
    let mut tokens = Vec::new();
    let (mut at, mut line) = (0, 1);
    while at < chars.len() {
        let rest = &chars[at..];
        let length = match rest {
            ['/', '/', ..] => rest.iter().position(|c| *c == '\n').unwrap_or(rest.len()),
            ['/', '*', ..] => block_comment(rest),
            ['"', ..] => string(rest, 1),
            ['r' | 'b', ..] if raw_hashes(rest).is_some() && !follows_word(&chars, at) => {
                raw_string(rest)
            }
            ['\'', ..] => character(rest),
            [':', ':', ..] => {
                tokens.push(Token {
                    line,
                    text: "::".into(),
                });
                2
            }
            [first, ..] if first.is_alphanumeric() || *first == '_' => {
                let length = rest
                    .iter()
                    .take_while(|c| c.is_alphanumeric() || **c == '_')
                    .count();
                tokens.push(Token {
                    line,
                    text: rest[..length].iter().collect(),
                });
                length
            }
            [first, ..] => {
                if !first.is_whitespace() {
                    tokens.push(Token {
                        line,
                        text: first.to_string(),
                    });
                }
                1
            }
            [] => break,
        };
        line += rest[..length].iter().filter(|c| **c == '\n').count();
        at += length;
    }
    tokens
}

fn follows_word(chars: &[char], at: usize) -> bool {
    at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_')
}

/// Block comments nest in Rust.
fn block_comment(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        match rest[at..] {
            ['/', '*', ..] => {
                depth += 1;
                at += 2;
            }
            ['*', '/', ..] => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    at
}

/// The length of a string whose content starts at `from`.
fn string(rest: &[char], from: usize) -> usize {
    let mut at = from;
    while at < rest.len() {
        match rest[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// For `r"`, `r#"`, `br##"`: how many `#` there are, and where the quote is.
fn raw_hashes(rest: &[char]) -> Option<(usize, usize)> {
    let start = match rest {
        ['b', 'r', ..] => 2,
        ['r', ..] => 1,
        _ => return None,
    };
    let hashes = rest[start..].iter().take_while(|c| **c == '#').count();
    (rest.get(start + hashes) == Some(&'"')).then_some((hashes, start + hashes))
}

fn raw_string(rest: &[char]) -> usize {
    let Some((hashes, quote)) = raw_hashes(rest) else {
        return 1;
    };
    let mut at = quote + 1;
    while at < rest.len() {
        let closed =
            rest[at] == '"' && rest[at + 1..].iter().take_while(|c| **c == '#').count() >= hashes;
        if closed {
            return at + 1 + hashes;
        }
        at += 1;
    }
    rest.len()
}

/// `'a'` and `'\n'` are characters; `'a` is a lifetime.
fn character(rest: &[char]) -> usize {
    match rest {
        ['\'', '\\', _, tail @ ..] => {
            3 + tail
                .iter()
                .position(|c| *c == '\'')
                .map_or(tail.len(), |end| end + 1)
        }
        ['\'', _, '\'', ..] => 3,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(source: &str) -> Vec<String> {
        named(source).into_iter().map(|(_, name)| name).collect()
    }

    #[test]
    fn every_way_to_name_i_o_is_seen() {
        for (source, name) in [
            ("use std::fs;", "std::fs"),
            ("use std::{fmt, fs::File};", "std::fs::File"),
            (
                "use std::{\n io::{self, Read},\n net::TcpStream,\n};",
                "std::net::TcpStream",
            ),
            ("fn a() { ::std::fs::read(\"x\"); }", "std::fs::read"),
            ("fn a() { tokio::spawn(b); }", "tokio::spawn"),
            ("use tokio;", "tokio"),
            ("fn a() -> Instant { Instant::now() }", "Instant"),
            ("use std::time::SystemTime as Now;", "SystemTime"),
            ("let x = rand::random();", "rand::random"),
        ] {
            assert!(
                names(source).contains(&name.to_owned()),
                "{source}: {:?}",
                names(source)
            );
        }
    }

    #[test]
    fn words_that_only_look_alike_are_no_fault() {
        for source in [
            "// uses tokio::spawn\nfn a() {}",
            "/* std::fs /* nested */ tokio::x */ fn a() {}",
            "const A: &str = \"std::fs::read\";",
            "const A: &str = r#\"tokio::\"spawn\"#; fn b<'a>(c: &'a str) {}",
            "use std::time::Duration; use std::fmt;",
            "let rand = 3; let fs = rand;",
            "use crate::tree::net::Thing;",
            "const Q: char = '\"'; fn a() {} // \" std::fs",
        ] {
            assert_eq!(names(source), Vec::<String>::new(), "{source}");
        }
    }

    #[test]
    fn tests_may_do_what_they_like_but_code_after_them_may_not() {
        let source = "#[cfg(test)]\nmod tests { fn a() { std::fs::read(\"x\"); } }\nuse std::net::TcpStream;";
        assert_eq!(named(source), [(3, "std::net::TcpStream".to_owned())]);
        assert_eq!(
            named("#[cfg(test)]\nuse std::fs;\nuse tokio::net;"),
            [(3, "tokio::net".to_owned())]
        );
    }

    #[test]
    fn a_room_that_is_gone_is_a_fault() {
        let dir = tempfile::tempdir().expect("a folder");
        let project = Project {
            root: dir.path().into(),
            target: dir.path().into(),
            cache: dir.path().into(),
            state: dir.path().into(),
        };
        let text = layers(&project).expect_err("nothing is there").to_string();
        assert_eq!(text.lines().count(), PURE_ROOMS.len());
    }
}
