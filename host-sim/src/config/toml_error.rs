//! What is wrong with a TOML file, in one line.

/// What is wrong with `text`, with the line in which it stands.
pub fn one_line(text: &str, error: &toml::de::Error) -> String {
    let start = error.span().map_or(0, |span| span.start);
    let before = text.bytes().take(start);
    let line = 1 + before.filter(|&byte| byte == b'\n').count();
    format!("line {line}: {}", error.message().replace('\n', ", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line_and_names_its_place() {
        let text = "a = 1\nroot:x:0\n";
        let error = toml::from_str::<toml::Table>(text).expect_err("no TOML");
        let said = one_line(text, &error);
        assert!(
            said.starts_with("line 2: ") && !said.contains('\n'),
            "{said}"
        );
    }
}
