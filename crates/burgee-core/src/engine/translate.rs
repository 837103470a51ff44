//! Translates a pattern from Python's syntax into that of the crates `regex` and `fancy-regex`.

use std::iter::Peekable;
use std::str::Chars;

/// What `$` means outside of multi-line mode.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The end of the text: enough for texts that do not end with a line feed.
    OfText,
    /// The end of the text, or before a line feed that ends it.
    OfTextOrBeforeFinalLineFeed,
}

/// Rewrites what means something else here than in Python:
///
/// - `\Z` is the end of the text: `\z`;
/// - `$` also matches before a final line feed, if `end` asks for it;
/// - a `{` that begins no repetition is a brace, and `{,3}` is `{0,3}`;
/// - a character class does not nest and has no operators: in `[[a&&b]`, `[` and `&` are characters;
/// - a backslash before punctuation is that character: `\<` is no start of a word;
/// - `\0` and three octal digits are a character.
///
/// Fails on `{2,1}`, which the crates would understand as something else.
pub(super) fn translate(pattern: &str, end: End) -> Result<String, String> {
    let mut output = String::with_capacity(pattern.len() + 8);
    let mut input = pattern.chars().peekable();
    while let Some(character) = input.next() {
        match character {
            '\\' => translate_escape(&mut input, &mut output, Place::Outside),
            '[' => translate_class(&mut input, &mut output),
            '$' if end == End::OfTextOrBeforeFinalLineFeed => output.push_str(r"(?:$|(?=\n\z))"),
            '{' => translate_brace(&mut input, &mut output)?,
            '}' | ']' => push_literal(character, &mut output),
            _ => output.push(character),
        }
    }
    Ok(output)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Outside,
    InClass,
}

fn translate_escape(input: &mut Peekable<Chars<'_>>, output: &mut String, place: Place) {
    let Some(character) = input.next() else {
        output.push('\\'); // an error here as there
        return;
    };
    match (character, place) {
        ('Z', Place::Outside) => output.push_str(r"\z"),
        ('b', Place::InClass) => output.push_str(r"\x08"),
        ('a', _) => output.push_str(r"\x07"),
        ('v', _) => output.push_str(r"\x0b"),
        ('0'..='7', _) => translate_octal(character, input, output, place),
        (letter, _) if letter.is_ascii_alphanumeric() => {
            output.push('\\');
            output.push(letter);
            // These braces, of `\p{L}`, repeat nothing.
            if letter.eq_ignore_ascii_case(&'p') && input.peek() == Some(&'{') {
                output.extend(input.by_ref().take_while(|inside| *inside != '}'));
                output.push('}');
            }
        }
        (other, _) => push_literal(other, output),
    }
}

/// `\0` and up to two octal digits, and three octal digits, are a character; else it refers to a group.
fn translate_octal(first: char, input: &mut Peekable<Chars<'_>>, output: &mut String, place: Place) {
    let rest = input.clone().take(2).take_while(|digit| ('0'..='7').contains(digit)).collect::<String>();
    let is_octal = first == '0' || place == Place::InClass || (rest.len() == 2 && first <= '3');
    if !is_octal {
        output.push('\\');
        output.push(first);
        return;
    }
    let code = rest.chars().fold(first.to_digit(8), |code, digit| {
        input.next();
        Some(code? * 8 + digit.to_digit(8)?)
    });
    output.push_str(&format!(r"\x{{{:x}}}", code.unwrap_or_default()));
}

/// Rewrites the inside of a character class, after its `[`.
fn translate_class(input: &mut Peekable<Chars<'_>>, output: &mut String) {
    output.push('[');
    if input.next_if_eq(&'^').is_some() {
        output.push('^');
    }
    let mut is_first = true;
    while let Some(character) = input.next() {
        match character {
            ']' if !is_first => {
                output.push(']');
                return;
            }
            '\\' => translate_escape(input, output, Place::InClass),
            _ => push_literal(character, output),
        }
        is_first = false;
        // A `-` between two items is a range; elsewhere it is a character.
        let mut ahead = input.clone();
        if ahead.next() == Some('-') && ahead.peek().is_some_and(|next| *next != ']') {
            input.next();
            output.push('-');
            match input.next() {
                Some('\\') => translate_escape(input, output, Place::InClass),
                Some(other) => push_literal(other, output),
                None => return,
            }
        }
    }
}

/// Rewrites what begins with `{`: a repetition, or just a brace.
fn translate_brace(input: &mut Peekable<Chars<'_>>, output: &mut String) -> Result<(), String> {
    let inside: String = input.clone().take_while(|character| *character != '}').collect();
    let is_closed = input.clone().nth(inside.chars().count()) == Some('}');
    let (least, most) = inside.split_once(',').unwrap_or((&inside, &inside));
    let are_digits = [least, most].iter().all(|number| number.bytes().all(|byte| byte.is_ascii_digit()));
    if !is_closed || !are_digits || inside.is_empty() {
        push_literal('{', output);
        return Ok(());
    }
    if let (Ok(least), Ok(most)) = (least.parse::<u64>(), most.parse::<u64>())
        && least > most
    {
        return Err(format!("`{{{inside}}}` repeats at least {least} and at most {most} times"));
    }
    for _ in 0..=inside.chars().count() {
        input.next();
    }
    output.push('{');
    output.push_str(if least.is_empty() { "0" } else { least });
    if inside.contains(',') {
        output.push(',');
        output.push_str(most);
    }
    output.push('}');
    Ok(())
}

/// Writes a character that stands for itself, whatever the mode: in verbose mode a blank does not.
fn push_literal(character: char, output: &mut String) {
    if character.is_ascii_punctuation() || character.is_ascii_whitespace() {
        output.push_str(&format!(r"\x{:02x}", u32::from(character)));
    } else {
        output.push(character);
    }
}
