//! Makes a new migration file rebuild the crate that embeds it.

#[allow(clippy::print_stdout, reason = "this is how a build script talks to cargo")]
fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
