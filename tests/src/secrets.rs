//! Secrets in what servers write: there must be none. Every server of a test is watched.

use std::io::Write as _;
use std::sync::{Mutex, PoisonError};

use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};

/// Secrets that cannot be told by their form: client-side keys, passwords.
static NOTED: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// The form of secrets: what they begin with, and how many letters and digits follow.
const FORMS: [(&str, usize); 6] =
    [("bgu_", 50), ("bgo_", 50), ("bgx_", 50), ("bgi_", 50), ("bgt_", 40), ("ser.", 40)];
/// What a signed token begins with: `{"` in base 64.
const SIGNED: &str = "eyJ";

/// Looks for a secret from now on, whatever its form.
pub fn note(secret: &str) {
    NOTED.lock().unwrap_or_else(PoisonError::into_inner).push(secret.to_owned());
}

/// Returns a secret that a text holds.
#[must_use]
pub fn find(text: &str) -> Option<String> {
    let noted = NOTED.lock().unwrap_or_else(PoisonError::into_inner);
    let known = noted.iter().find(|secret| text.contains(secret.as_str())).cloned();
    drop(noted);
    known.or_else(|| by_form(text)).or_else(|| signed(text))
}

fn by_form(text: &str) -> Option<String> {
    FORMS.iter().find_map(|(prefix, characters)| {
        text.match_indices(prefix).find_map(|(start, _)| {
            let rest = &text[start + prefix.len()..];
            let is_random = |byte: &u8| byte.is_ascii_alphanumeric();
            let length = rest.bytes().take_while(is_random).count();
            (length >= *characters).then(|| text[start..start + prefix.len() + length].to_owned())
        })
    })
}

fn signed(text: &str) -> Option<String> {
    text.match_indices(SIGNED).find_map(|(start, _)| {
        let of_token = |symbol: char| symbol.is_ascii_alphanumeric() || "-_.".contains(symbol);
        let token = text[start..].split(|symbol| !of_token(symbol)).next()?;
        (token.split('.').filter(|part| part.len() > 10).count() == 3).then(|| token.to_owned())
    })
}

/// Reads what a server writes until it ends. The test ends at once if there is a secret in it.
pub async fn watch(output: impl AsyncRead + Unpin) {
    let mut lines = BufReader::new(output).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let mut here = std::io::stderr().lock();
        if let Some(secret) = find(&line) {
            let _ = writeln!(here, "a server wrote the secret `{secret}`: {line}");
            std::process::exit(1);
        }
        let _ = writeln!(here, "{line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_told_by_their_form() {
        let random = "a1".repeat(25);
        for text in [
            format!("x bgu_{random} y"),
            format!("\"bgx_{random}\""),
            format!("ser.{}", "Zz9".repeat(14)),
            "authorization: Bearer eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJlLWlz".to_owned(),
        ] {
            assert!(find(&text).is_some(), "{text}");
        }
        for text in ["bgu_abcdefghijkl", "users.servers.ser.x", "eyJ.a.b", "key client-1"] {
            assert_eq!(find(text), None, "{text}");
        }
        note("hunter2hunter2");
        assert_eq!(find("password hunter2hunter2!").as_deref(), Some("hunter2hunter2"));
    }
}
