//! One file, with its code alone beside its text.

/// A file of the tree.
#[derive(Debug)]
pub(crate) struct Source {
    /// From the root of the checkout, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
    /// The text with comments and the contents of strings blanked, for Rust only: the same lines
    /// and columns, so that a rule about code does not trip over prose.
    pub(crate) code: String,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Source {
        let code = if path.ends_with(".rs") { code_of(text) } else { String::new() };
        Source { path: path.to_owned(), text: text.to_owned(), code }
    }

    /// The crate this file belongs to: its directory at the root, or the binary's.
    pub(crate) fn krate(&self) -> &str {
        match self.path.split_once('/') {
            Some(("src" | "tests" | "examples" | "benches", _)) | None => "toroid",
            Some((directory, _)) => directory,
        }
    }
}

/// Blanks comments, string contents and character literals, keeping every newline in its place.
fn code_of(text: &str) -> String {
    let input: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < input.len() {
        let end = match blank_until(&input, at) {
            Some(end) => end,
            None => {
                code.push(input[at]);
                at += 1;
                continue;
            }
        };
        code.extend(input[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
        at = end;
    }
    code
}

/// The end of the comment or literal that starts at `at`, if one does.
fn blank_until(input: &[char], at: usize) -> Option<usize> {
    let next = |distance: usize| input.get(at + distance).copied().unwrap_or('\0');
    match (input[at], next(1)) {
        ('/', '/') => Some(find(input, at, '\n')),
        ('/', '*') => Some(block_comment_end(input, at)),
        ('"', _) => Some(string_end(input, at + 1)),
        ('r', '"' | '#') | ('b', 'r') if !is_word(input, at) => raw_string_end(input, at),
        // A lifetime has no quote after its name; a character has one at most ten places on
        // (`'\u{10ffff}'` is twelve).
        ('\'', '\\') => Some((find(input, at + 3, '\'') + 1).min(input.len())),
        ('\'', _) if next(2) == '\'' => Some(at + 3),
        _ => None,
    }
}

fn find(input: &[char], from: usize, wanted: char) -> usize {
    (from..input.len()).find(|at| input[*at] == wanted).unwrap_or(input.len())
}

/// Whether the character at `at` continues a word.
fn is_word(input: &[char], at: usize) -> bool {
    0 < at && (input[at - 1].is_alphanumeric() || input[at - 1] == '_')
}

fn block_comment_end(input: &[char], start: usize) -> usize {
    let mut depth = 0;
    let mut at = start;
    while at + 1 < input.len() {
        match (input[at], input[at + 1]) {
            ('/', '*') => (depth, at) = (depth + 1, at + 2),
            ('*', '/') => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    input.len()
}

fn string_end(input: &[char], from: usize) -> usize {
    let mut at = from;
    while at < input.len() {
        match input[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    input.len()
}

/// The end of `r"…"`, `r#"…"#`, `br#"…"#`; none if this is a raw identifier or a plain word.
fn raw_string_end(input: &[char], start: usize) -> Option<usize> {
    let mut at = start + if input[start] == 'b' { 2 } else { 1 };
    let hashes_start = at;
    while input.get(at) == Some(&'#') {
        at += 1;
    }
    let hashes = at - hashes_start;
    if input.get(at) != Some(&'"') {
        return None;
    }
    at += 1;
    while at < input.len() {
        let closing = &input[at + 1..input.len().min(at + 1 + hashes)];
        if input[at] == '"' && closing.len() == hashes && closing.iter().all(|c| *c == '#') {
            return Some(at + 1 + hashes);
        }
        at += 1;
    }
    Some(input.len())
}

#[cfg(test)]
mod tests {
    //! Prose is blanked, code stays, and nothing moves.

    use super::*;

    #[test]
    fn comments_and_literals_are_blank_and_code_stays() {
        for (text, code) in [
            ("a // b\nc", "a     \nc"),
            ("a /* b /* c */ d */ e", "a                   e"),
            ("f(\"x\\\"y\") z", "f(      ) z"),
            ("f(r#\"x\"y\"#) z", "f(        ) z"),
            ("f(br\"x\") z", "f(     ) z"),
            ("let r#type = for_x;", "let r#type = for_x;"),
            ("let c = '\"'; d", "let c =    ; d"),
            ("let c = '\\''; d", "let c =     ; d"),
            ("let c = '\\u{41}'; d", "let c =         ; d"),
            ("fn f<'a>(x: &'a str) {}", "fn f<'a>(x: &'a str) {}"),
            ("var\"x\" y", "var    y"),
        ] {
            assert_eq!(code_of(text), code, "{text}");
        }
    }

    #[test]
    fn a_file_belongs_to_the_crate_of_its_directory() {
        let krate = |path| Source::new(path, "").krate().to_owned();
        assert_eq!(krate("engine/src/lib.rs"), "engine");
        assert_eq!(krate("src/main.rs"), "toroid");
        assert_eq!(krate("tests/kill9.rs"), "toroid");
        assert_eq!(krate("build.rs"), "toroid");
    }
}
