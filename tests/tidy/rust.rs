//! Reads Rust as far as the rules of `tidy` need it: what is a test, what is code, what is a name.

/// What stands before the file's inline test modules.
pub fn product_of(text: &str) -> &str {
    &text[..start_of_tests(text)]
}

/// The rest, with empty lines for the product, so that lines keep their numbers.
pub fn tests_of(text: &str) -> String {
    let product = product_of(text);
    "\n".repeat(product.lines().count()) + &text[product.len()..]
}

/// Where the first `#[cfg(test)] mod name {` or bare `#[test]` at the margin begins, or else the end.
/// A lone `#[cfg(test)]` item or `mod tests;` in the middle ends nothing.
fn start_of_tests(text: &str) -> usize {
    let mut place = 0;
    let mut attributes = None;
    for line in text.split_inclusive('\n') {
        if line.starts_with("#[test]") {
            return place;
        } else if line.starts_with("#[cfg(") && words(line).any(|word| word.text == "test") {
            attributes = Some(place);
        } else if !line.starts_with("#[") {
            let opens = line.starts_with("mod ") && line.trim_end().ends_with('{');
            if let (true, Some(start)) = (opens, attributes.take()) {
                return start;
            }
        }
        place += line.len();
    }
    place
}

/// The text with comments and the insides of strings and characters blanked; lines keep their numbers.
pub fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let follows_a_word = code.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let blanked = if follows_a_word { quoted(rest) } else { prefixed(rest).or_else(|| quoted(rest)) };
        let (kept, length) = (blanked.is_none(), blanked.unwrap_or(first.len_utf8()));
        let (token, after) = rest.split_at(length);
        code.extend(token.chars().map(|c| if kept || c == '\n' { c } else { ' ' }));
        rest = after;
    }
    code
}

/// The length of a comment, string or character at the beginning, if there is one.
fn quoted(rest: &str) -> Option<usize> {
    match rest.as_bytes() {
        [b'/', b'/', ..] => Some(rest.find('\n').unwrap_or(rest.len())),
        [b'/', b'*', ..] => Some(block_comment(rest)),
        [b'"', ..] => Some(string(rest)),
        [b'\'', ..] => character(rest),
        _ => None,
    }
}

/// The length of a raw, byte or C string at the beginning, if there is one.
fn prefixed(rest: &str) -> Option<usize> {
    let unprefixed = rest.strip_prefix(['b', 'c']).unwrap_or(rest);
    let prefix = rest.len() - unprefixed.len();
    if let Some(raw) = unprefixed.strip_prefix('r') {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        let end = format!("\"{}", &raw[..hashes]);
        let inside = raw[hashes..].strip_prefix('"')?;
        let length = inside.find(&end).map_or(inside.len(), |at| at + end.len());
        return Some(prefix + 1 + hashes + 1 + length);
    }
    (prefix == 1)
        .then(|| quoted(unprefixed).filter(|_| unprefixed.starts_with(['"', '\''])))
        .flatten()
        .map(|n| n + 1)
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match &rest.as_bytes()[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

fn string(rest: &str) -> usize {
    let mut escaped = true;
    for (at, byte) in rest.bytes().enumerate() {
        match byte {
            b'"' if !escaped => return at + 1,
            b'\\' if !escaped => escaped = true,
            _ => escaped = false,
        }
    }
    rest.len()
}

/// A lifetime begins like a character and has no second quote.
fn character(rest: &str) -> Option<usize> {
    let inside = rest.chars().nth(1)?;
    if inside == '\\' {
        return rest[3..].find('\'').map(|at| at + 4);
    }
    let end = 1 + inside.len_utf8();
    rest[end..].starts_with('\'').then_some(end + 1)
}

/// A word of a line, the word before it, and what follows.
pub struct Word<'a> {
    pub before: &'a str,
    pub text: &'a str,
    pub after: &'a str,
}

impl Word<'_> {
    /// Whether the word is given its meaning here: by a keyword, or as a field or parameter before its type.
    pub fn is_declared(&self) -> bool {
        let keywords = ["fn", "struct", "enum", "trait", "mod", "type", "const", "static", "let", "mut"];
        let after = self.after.trim_start();
        keywords.contains(&self.before) || after.starts_with(':') && !after.starts_with("::")
    }
}

pub fn words(line: &str) -> impl Iterator<Item = Word<'_>> {
    let mut rest = line;
    let mut before = "";
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(|c| !in_word(c));
        let end = rest.find(|c| !in_word(c)).unwrap_or(rest.len());
        let (text, after) = rest.split_at(end);
        let word = Word { before, text, after };
        (before, rest) = (text, after);
        (!text.is_empty()).then_some(word)
    })
}

fn in_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// `KeyGroup` and `key_group` are `key` and `group`.
pub fn parts_of(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    for c in name.chars() {
        if c == '_' || c.is_uppercase() {
            parts.push(String::new());
        }
        parts.last_mut().expect("begins with one part").extend(c.to_lowercase().filter(|c| *c != '_'));
    }
    parts
}

#[test]
fn product_ends_where_the_test_module_begins() {
    assert_eq!(product_of("a\n#[cfg(test)]\nmod tests {\n"), "a\n");
    assert_eq!(product_of("a\n#[cfg(all(test, loom))]\n#[path = \"x\"]\nmod loom_park {\n"), "a\n");
    assert_eq!(product_of("a\n#[test]\nfn b() {}\n"), "a\n");
    assert_eq!(tests_of("a\n#[test]\nfn b() {}\n"), "\n#[test]\nfn b() {}\n");
    let whole = "#[cfg(test)]\nmod fixture;\n#[cfg(test)]\nuse b;\nfn c() {}\n";
    assert_eq!(product_of(whole), whole, "a declared module or a lone item ends nothing");
}

#[test]
fn code_is_what_is_neither_comment_nor_string() {
    let kept = |text: &str| code_of(text).split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(kept("a // b\nc /* d /* e */ f */ g"), "a c g");
    assert_eq!(kept(r#"a("b \" c \\") d"#), "a( ) d");
    assert_eq!(kept(r###"a(r#"b " c"#, br"d\", b"e", c"f") g"###), "a( , , , ) g");
    assert_eq!(kept(r"f::<'a>('b', '\'', b'\n', '\u{e9}', 'é') c"), "f::<'a>( , , , , ) c");
    assert_eq!(code_of("\"a\nb\"\nc").lines().count(), 3, "lines keep their numbers");
}
