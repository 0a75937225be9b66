//! Debian's packages, for what can't be had by cargo; among them a Rust compiler whose standard library can
//! be built for wasm32 without rustup's server.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};

use super::doing;
use crate::process;
use crate::toolchain::{DEBIAN, TARGET};

/// Whether this is a Debian system that we may install packages on.
pub(super) fn is_ours() -> bool {
    Path::new("/etc/debian_version").exists()
        && process::find(&["apt-get"]).is_some()
        && process::answer(Command::new("id").arg("-u")).is_some_and(|id| id.trim() == "0")
}

/// Installs packages; fails rather than remove another one for them.
pub(super) fn install(packages: &[&str]) -> Result<()> {
    static LISTS_ARE_FRESH: AtomicBool = AtomicBool::new(false);
    if !LISTS_ARE_FRESH.swap(true, Ordering::Relaxed) {
        process::run(&mut apt_get(&["update", "-qq"]))?;
    }
    process::run(apt_get(&["install", "-qq", "-y", "--no-install-recommends", "--no-remove"]).args(packages))
        .with_context(|| format!("Debian's packages {} could not be installed", packages.join(" ")))
}

fn apt_get(arguments: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    // Another one may be at work just now, at the start of a machine for example.
    command
        .args(["-o", "DPkg::Lock::Timeout=300"])
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive");
    command
}

/// Links Debian's compiler into rustup and builds its standard library for wasm32.
pub(super) fn wasm_toolchain() -> Result<()> {
    doing(
        "Debian's Rust, which can build WebAssembly without rustup's server",
        "two to three minutes",
    );
    install(&["rustc-web", "cargo-web", "rust-web-src", "rust-web-clippy"])?;
    process::run(&mut process::program(
        "rustup",
        ["toolchain", "link", DEBIAN, "/usr"],
    ))?;

    let folder = std::env::temp_dir().join(format!("causeway-std-{}", std::process::id()));
    let result = build_standard_library(&folder).and_then(|()| {
        let built = folder.join("target").join(TARGET).join("release/deps");
        copy_libraries(&built, &Path::new("/usr/lib/rustlib").join(TARGET).join("lib"))
    });
    // Only room on the disk is at stake.
    fs::remove_dir_all(&folder).ok();
    result
}

/// Builds an empty crate together with the standard library in `folder`.
fn build_standard_library(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder.join("src"))?;
    fs::write(folder.join("src/lib.rs"), "")?;
    fs::write(
        folder.join("Cargo.toml"),
        format!("[package]\nname = \"{EMPTY_CRATE}\"\nedition = \"2024\"\n\n[workspace]\n"),
    )?;
    process::run(
        Command::new("cargo")
            .args(["build", "--release", "--target", TARGET])
            // `test` is what wasm-bindgen-test builds on.
            .args(["-Z", "build-std=std,panic_abort,test"])
            .current_dir(folder)
            .env_remove("CARGO_TARGET_DIR")
            .env("RUSTUP_TOOLCHAIN", DEBIAN)
            .env("RUSTC_BOOTSTRAP", "1")
            // Without its bitcode a crate with `lto = "fat"` can't be linked against it.
            .env("RUSTFLAGS", "-Cembed-bitcode=yes"),
    )
}

/// Replaces the libraries in `to` by those in `from`, the empty crate's own aside.
fn copy_libraries(from: &Path, to: &Path) -> Result<()> {
    let is_library = |path: &Path| path.extension() == Some(OsStr::new("rlib"));
    fs::create_dir_all(to)?;
    for old in fs::read_dir(to)? {
        let old = old?.path();
        if is_library(&old) {
            fs::remove_file(old)?;
        }
    }
    for new in fs::read_dir(from)? {
        let new = new?;
        let name = new.file_name();
        if is_library(&new.path()) && !name.to_string_lossy().contains(EMPTY_CRATE) {
            fs::copy(new.path(), to.join(name))?;
        }
    }
    Ok(())
}

const EMPTY_CRATE: &str = "causeway_std";
