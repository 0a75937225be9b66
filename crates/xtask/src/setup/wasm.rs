//! The standard library for wasm32.

use std::fs;

use anyhow::{Result, bail};

use super::{debian, doing, done};
use crate::toolchain::{TARGET, WasmToolchain};
use crate::{process, workspace};

/// Sees to it that a toolchain can build for wasm32: rustup's own way first, then Debian's.
pub(super) fn standard_library() -> Result<()> {
    if let Some(toolchain) = WasmToolchain::find() {
        done(&format!("{TARGET} in {}", toolchain.describe()));
        return Ok(());
    }
    doing(
        &format!("the standard library for {TARGET} by rustup"),
        "less than a minute",
    );
    let by_rustup = process::run(&mut process::program("rustup", ["target", "add", TARGET]));
    if WasmToolchain::find().is_none() && debian::is_ours() {
        debian::wasm_toolchain()?;
    }
    if WasmToolchain::find().is_none() {
        let why = by_rustup
            .err()
            .map_or_else(String::new, |error| format!(" ({error:#})"));
        bail!(
            "there is no standard library for {TARGET}{why}: run `rustup target add {TARGET}`, \
             or install it with the package manager that your Rust came from"
        );
    }
    // Cargo does not notice that the standard library below its artifacts is another one now.
    let artifacts = workspace::target().join(TARGET);
    if artifacts.exists() {
        fs::remove_dir_all(artifacts)?;
    }
    Ok(())
}
