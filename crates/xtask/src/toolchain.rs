//! The toolchain that builds WebAssembly.
//!
//! Nearly always it is the one that runs this program, once `rustup target add` has given it the standard
//! library for wasm32. Where rustup's server can't be reached, a Debian system has another way (see
//! `setup::debian`): its compiler, linked into rustup as a second toolchain that builds nothing but
//! WebAssembly. Every command that builds for wasm32 is prepared here, so that all of them take the same one.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;

/// The one target that the browser peer is built for.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// What Debian's compiler is called in rustup.
pub(crate) const DEBIAN: &str = "debian";

/// A toolchain that has a standard library for wasm32 which it can read.
#[derive(Debug)]
pub(crate) struct WasmToolchain {
    /// Its name in rustup; `None` for the one that runs this program.
    name: Option<&'static str>,
    /// The linker for WebAssembly of the toolchain that runs this program, where this one brings none.
    borrowed_linker: Option<PathBuf>,
}

impl WasmToolchain {
    /// Looks for one; the toolchain that runs this program comes first.
    pub(crate) fn find() -> Option<WasmToolchain> {
        [None, Some(DEBIAN)]
            .into_iter()
            .find(|name| builds_wasm(*name))
            .map(|name| WasmToolchain {
                name,
                borrowed_linker: if linker(name).is_some() {
                    None
                } else {
                    linker(None)
                },
            })
    }

    /// The same, for commands that can't do without.
    ///
    /// # Errors
    /// There is none: the sentence says how to get one.
    pub(crate) fn require() -> Result<WasmToolchain> {
        Self::find().with_context(|| {
            format!("no toolchain here has a standard library for {TARGET}: run `cargo xtask setup`")
        })
    }

    /// A `cargo` command of this toolchain.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = process::cargo(arguments);
        self.prepare(&mut command);
        command
    }

    /// Makes a command that calls cargo use this toolchain.
    pub(crate) fn prepare(&self, command: &mut Command) {
        if let Some(name) = self.name {
            command.env("RUSTUP_TOOLCHAIN", name);
        }
        if let Some(linker) = &self.borrowed_linker {
            command.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
        }
    }

    /// What a person calls it.
    pub(crate) fn describe(&self) -> &'static str {
        self.name.unwrap_or("the toolchain in use")
    }
}

/// Whether a toolchain compiles an empty crate for wasm32. Files in its folder would not tell: a standard
/// library that another version of the compiler built is no use.
fn builds_wasm(toolchain: Option<&str>) -> bool {
    let folder = env::temp_dir();
    let arguments = [
        "--target",
        TARGET,
        "--crate-type=lib",
        "--crate-name=causeway_probe",
        "--emit=metadata",
        "-",
    ];
    process::answer(rustc(toolchain, &arguments).arg("--out-dir").arg(folder)).is_some()
}

fn rustc(toolchain: Option<&str>, arguments: &[&str]) -> Command {
    let mut command = process::program("rustc", arguments);
    if let Some(name) = toolchain {
        command.env("RUSTUP_TOOLCHAIN", name);
    }
    command
}

/// A toolchain's `rust-lld`, which lies in the folder of its host's name.
fn linker(toolchain: Option<&str>) -> Option<PathBuf> {
    let sysroot = process::answer(&mut rustc(toolchain, &["--print", "sysroot"]))?;
    let hosts = Path::new(sysroot.trim()).join("lib/rustlib").read_dir().ok()?;
    let name = format!("bin/rust-lld{}", env::consts::EXE_SUFFIX);
    hosts
        .flatten()
        .map(|host| host.path().join(&name))
        .find(|linker| linker.is_file())
}
