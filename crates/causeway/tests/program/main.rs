//! The real program, run as a person or a script runs it.

mod serve;
mod server;
mod torrents;
mod tracker;

use std::path::Path;
use std::process::{Command, Output};

/// The program, in the folder `folder`.
fn causeway(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_causeway"));
    command.current_dir(folder).args(arguments);
    command
}

/// Runs it to its end: status, standard output, standard error.
fn run(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = causeway(folder, arguments)
        .output()
        .expect("the program was built");
    let text = |bytes| String::from_utf8(bytes).expect("it writes UTF-8");
    (
        status.code().expect("it ends by itself"),
        text(stdout),
        text(stderr),
    )
}
