//! The configuration files of Java's login modules, as far as they hold names and passwords.
//!
//! ```text
//! Server {
//!     org.apache.zookeeper.server.auth.DigestLoginModule required
//!     user_alice="her password";
//! };
//! ```
//!
//! Source of the grammar: the documentation of `javax.security.auth.login.Configuration`.

use super::{Credentials, Users};
use std::iter::Peekable;
use std::str::CharIndices;

/// What is wrong with a file, and on which line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct JaasError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub problem: String,
}

/// A login module with its options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// Its Java class.
    pub class: String,
    /// Its options in the order of the file.
    pub options: Vec<(String, String)>,
}

impl Module {
    fn is_kerberos(&self) -> bool {
        self.class.rsplit('.').next() == Some("Krb5LoginModule")
    }

    fn option(&self, name: &str) -> Option<&str> {
        let found = self.options.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// A named list of modules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Its name, `Server` for instance.
    pub name: String,
    /// Its modules.
    pub modules: Vec<Module>,
}

impl Section {
    /// Whether it asks for Kerberos, which is not there.
    #[must_use]
    pub fn wants_kerberos(&self) -> bool {
        self.modules.iter().any(Module::is_kerberos)
    }

    /// Those who may log in: the options `user_NAME="password"` of all modules.
    /// Source: `ServerCnxnFactory.java` getDigestMd5Credentials.
    #[must_use]
    pub fn users(&self) -> Users {
        let mut users = Users::default();
        for (key, value) in self.modules.iter().flat_map(|module| &module.options) {
            if let Some(name) = key.strip_prefix("user_") {
                users.insert(name, value);
            }
        }
        users
    }

    /// Who logs in by this section: the options `username` and `password`.
    /// Source: `DigestLoginModule.java` initialize.
    #[must_use]
    pub fn login(&self) -> Option<Credentials> {
        self.modules.iter().find_map(|module| {
            Some(Credentials {
                name: module.option("username")?.to_owned(),
                password: module.option("password")?.to_owned(),
            })
        })
    }
}

/// A word, a quoted text, or one of `{`, `}`, `;`, `=`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Quoted(String),
    Mark(char),
}

impl Token {
    fn shown(&self) -> String {
        match self {
            Token::Word(text) => text.clone(),
            // It may be a password.
            Token::Quoted(_) => "a quoted text".to_owned(),
            Token::Mark(mark) => mark.to_string(),
        }
    }
}

/// Reads all sections of a file.
///
/// # Errors
/// [`JaasError`] with the line where the file is not of that grammar.
pub fn parse(text: &str) -> Result<Vec<Section>, JaasError> {
    let mut parser = Parser {
        tokens: tokens(text)?.into_iter().peekable(),
        line: 1,
    };
    let mut sections: Vec<Section> = Vec::new();
    while parser.tokens.peek().is_some() {
        let section = parser.section()?;
        if sections.iter().any(|known| known.name == section.name) {
            return Err(parser.wrong(format!("section {} stands twice", section.name)));
        }
        sections.push(section);
    }
    Ok(sections)
}

struct Parser<I: Iterator<Item = (usize, Token)>> {
    tokens: Peekable<I>,
    line: usize,
}

impl<I: Iterator<Item = (usize, Token)>> Parser<I> {
    fn wrong(&self, problem: impl Into<String>) -> JaasError {
        JaasError {
            line: self.line,
            problem: problem.into(),
        }
    }

    fn next(&mut self, wanted: &str) -> Result<Token, JaasError> {
        match self.tokens.next() {
            Some((line, token)) => {
                self.line = line;
                Ok(token)
            }
            None => Err(self.wrong(format!("the file ends where {wanted} should stand"))),
        }
    }

    fn text(&mut self, wanted: &str) -> Result<String, JaasError> {
        match self.next(wanted)? {
            Token::Word(text) | Token::Quoted(text) => Ok(text),
            Token::Mark(mark) => {
                Err(self.wrong(format!("`{mark}` stands where {wanted} should stand")))
            }
        }
    }

    fn mark(&mut self, mark: char) -> Result<(), JaasError> {
        let token = self.next(&format!("`{mark}`"))?;
        if token == Token::Mark(mark) {
            Ok(())
        } else {
            Err(self.wrong(format!(
                "`{}` stands where `{mark}` should stand",
                token.shown()
            )))
        }
    }

    fn at(&mut self, mark: char) -> bool {
        let wanted = |(_, token): &(usize, Token)| *token == Token::Mark(mark);
        match self.tokens.next_if(wanted) {
            Some((line, _)) => {
                self.line = line;
                true
            }
            None => false,
        }
    }

    fn section(&mut self) -> Result<Section, JaasError> {
        let name = self.text("a section's name")?;
        self.mark('{')?;
        let mut modules = Vec::new();
        while !self.at('}') {
            modules.push(self.module()?);
        }
        self.mark(';')?;
        Ok(Section { name, modules })
    }

    fn module(&mut self) -> Result<Module, JaasError> {
        let class = self.text("a login module's class")?;
        let flag = self.text("required, requisite, sufficient or optional")?;
        let known = ["required", "requisite", "sufficient", "optional"];
        if !known.contains(&flag.to_ascii_lowercase().as_str()) {
            return Err(self.wrong(format!("`{flag}` must be one of {}", known.join(", "))));
        }
        let mut options = Vec::new();
        while !self.at(';') {
            let key = self.text("an option or `;`")?;
            self.mark('=')?;
            let value = self.text("an option's value")?;
            // Java puts a system property there; here there are none.
            if value.contains("${") {
                return Err(self.wrong(format!(
                    "{key}: a system property in a value (`${{…}}`) can't be filled in here"
                )));
            }
            options.push((key, value));
        }
        Ok(Module { class, options })
    }
}

/// What may stand in a word without quotes. Source: `ConfigFile.java` of the JDK.
fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '$' | '_' | '-' | '*' | '.') || u32::from(c) >= 160
}

fn tokens(text: &str) -> Result<Vec<(usize, Token)>, JaasError> {
    let mut tokens = Vec::new();
    let mut line = 1;
    let mut chars = text.char_indices().peekable();
    while let Some((start, c)) = chars.next() {
        match c {
            '\n' => line += 1,
            c if c.is_whitespace() || c.is_control() => {}
            '{' | '}' | ';' | '=' => tokens.push((line, Token::Mark(c))),
            '/' => skip_comment(&mut chars, &mut line)?,
            '"' | '\'' => tokens.push((line, Token::Quoted(quoted(&mut chars, c, line)?))),
            c if is_word(c) => {
                let mut end = start + c.len_utf8();
                while let Some((at, next)) = chars.next_if(|(_, next)| is_word(*next)) {
                    end = at + next.len_utf8();
                }
                tokens.push((line, Token::Word(text[start..end].to_owned())));
            }
            other => {
                return Err(JaasError {
                    line,
                    problem: format!("`{other}` has no meaning here; a value may need quotes"),
                });
            }
        }
    }
    Ok(tokens)
}

/// `// …` and a lone `/ …` to the line's end, or `/* … */`.
fn skip_comment(chars: &mut Peekable<CharIndices<'_>>, line: &mut usize) -> Result<(), JaasError> {
    if chars.next_if(|(_, c)| *c == '*').is_none() {
        while chars.next_if(|(_, c)| *c != '\n').is_some() {}
        return Ok(());
    }
    let began = *line;
    let mut star = false;
    for (_, c) in chars.by_ref() {
        if star && c == '/' {
            return Ok(());
        }
        star = c == '*';
        *line += usize::from(c == '\n');
    }
    Err(JaasError {
        line: began,
        problem: "the comment that starts here has no end".to_owned(),
    })
}

/// The rest of a quoted text. It ends on its line, and knows C's escapes.
/// Source: `StreamTokenizer.java` of the JDK.
fn quoted(
    chars: &mut Peekable<CharIndices<'_>>,
    quote: char,
    line: usize,
) -> Result<String, JaasError> {
    let mut text = String::new();
    while let Some((_, c)) = chars.next_if(|(_, c)| *c != '\n') {
        match c {
            c if c == quote => return Ok(text),
            '\\' => match chars.next_if(|(_, c)| *c != '\n') {
                Some((_, first @ '0'..='7')) => text.push(octal(chars, first)),
                Some((_, 'n')) => text.push('\n'),
                Some((_, 't')) => text.push('\t'),
                Some((_, 'r')) => text.push('\r'),
                Some((_, 'f')) => text.push('\u{c}'),
                Some((_, 'a')) => text.push('\u{7}'),
                Some((_, 'b')) => text.push('\u{8}'),
                Some((_, 'v')) => text.push('\u{b}'),
                Some((_, other)) => text.push(other),
                None => break,
            },
            c => text.push(c),
        }
    }
    Err(JaasError {
        line,
        problem: "the quoted text that starts here has no end".to_owned(),
    })
}

/// Up to three octal digits, the first of which is read; three only below 256.
fn octal(chars: &mut Peekable<CharIndices<'_>>, first: char) -> char {
    let mut value = first.to_digit(8).unwrap_or(0);
    let most = if first <= '3' { 2 } else { 1 };
    for _ in 0..most {
        match chars.next_if(|(_, c)| c.is_digit(8)) {
            Some((_, digit)) => value = value * 8 + digit.to_digit(8).unwrap_or(0),
            None => break,
        }
    }
    char::from_u32(value).unwrap_or(char::REPLACEMENT_CHARACTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Section {
        let mut sections = parse(text).expect("a good file");
        assert_eq!(sections.len(), 1);
        sections.remove(0)
    }

    #[test]
    fn users_stand_behind_their_prefix() {
        let section = one(
            "Server {\n  org.apache.zookeeper.server.auth.DigestLoginModule required\n\
             user_super=\"adminsecret\"\n user_a.b-c=plain2;\n};\n",
        );
        let users = section.users();
        assert_eq!(section.name, "Server");
        assert_eq!(users.password("super"), Some("adminsecret"));
        assert_eq!(users.password("a.b-c"), Some("plain2"));
        assert_eq!(users.len(), 2);
        assert_eq!(section.login(), None);
        assert!(!section.wants_kerberos());
        assert!(!format!("{users:?}").contains("adminsecret"));
    }

    #[test]
    fn a_login_is_a_name_and_a_password() {
        let text = "// two\nQuorumServer { a.DigestLoginModule required user_x=\"y\"; };\n\
             /* and\n one */ QuorumLearner { a.DigestLoginModule Required username=\"x\" password=\"y\"; };";
        let sections = parse(text).expect("a good file");
        let login = sections[1].login().expect("a login");
        assert_eq!((login.name.as_str(), login.password.as_str()), ("x", "y"));
        assert_eq!(sections[0].users().password("x"), Some("y"));
    }

    #[test]
    fn quoted_values_know_escapes_and_both_quotes() {
        let section = one(r#"S { m required user_a="q\"\\\101\t" user_b='it is "so"'; };"#);
        assert_eq!(section.users().password("a"), Some("q\"\\A\t"));
        assert_eq!(section.users().password("b"), Some("it is \"so\""));
    }

    #[test]
    fn kerberos_is_seen() {
        let text =
            "Server { com.sun.security.auth.module.Krb5LoginModule required useKeyTab=true; };";
        assert!(one(text).wants_kerberos());
    }

    #[test]
    fn an_empty_file_has_no_sections() {
        assert_eq!(parse(""), Ok(Vec::new()));
        assert_eq!(parse(" \n// nothing\n"), Ok(Vec::new()));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, line, word) in [
            ("Server {\n m required a=b\n}", 3, "}"),
            ("Server {\n m mandatory;\n};", 2, "mandatory"),
            ("Server {\n m required a=\"b;\n};", 2, "no end"),
            ("Server {\n m required a=b;\n}", 3, "ends"),
            ("/* a\n", 1, "comment"),
            ("S { m required a=\"${x}\"; };", 1, "property"),
            ("S { };\nS { };", 2, "twice"),
            ("S { m required a=b@c; };", 1, "@"),
        ] {
            let error = parse(text).expect_err(text);
            assert_eq!(error.line, line, "{text}: {error}");
            assert!(error.problem.contains(word), "{text}: {error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[ -~\n{};='\"\\\\/*]{0,80}") {
            let _ = parse(&text);
        }
    }
}
