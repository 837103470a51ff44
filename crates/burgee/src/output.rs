//! What commands say to whoever called them. Logs go elsewhere: to standard error.

use std::io::Write;

/// Prints a line to standard output. A reader that has gone away is not an error.
pub fn print(text: &str) {
    let mut output = std::io::stdout().lock();
    let _ = writeln!(output, "{text}");
    let _ = output.flush();
}
