//! Where things lie: the project's folder, what is built, and what the lock file says.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::{env, fs};

use anyhow::{Context, Result};

/// The project's folder.
pub(crate) fn root() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        // Cargo says where this package lies now. What was compiled in may be another clone that shares the
        // build cache.
        let package = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
        package.join("../..").canonicalize().unwrap_or(package)
    })
}

/// The folder that cargo builds in.
pub(crate) fn target() -> PathBuf {
    root().join(env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}

/// The version of a package in `Cargo.lock`.
///
/// # Errors
/// The file can't be read or doesn't have that package.
pub(crate) fn locked_version(package: &str) -> Result<String> {
    let path = root().join("Cargo.lock");
    let lock = fs::read_to_string(&path).with_context(|| format!("can't read {}", path.display()))?;
    version_in_lock(&lock, package)
        .map(str::to_owned)
        .with_context(|| {
            format!(
                "{} has no package `{package}`: run `cargo update -p {package}`",
                path.display()
            )
        })
}

fn version_in_lock<'a>(lock: &'a str, package: &str) -> Option<&'a str> {
    let name = format!("name = \"{package}\"");
    let mut lines = lock.lines();
    lines.find(|line| *line == name)?;
    lines.next()?.strip_prefix("version = \"")?.strip_suffix('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_file_tells_a_version_by_the_whole_name() {
        let lock = "[[package]]\nname = \"wasm-bindgen-futures\"\nversion = \"0.4.1\"\n\n\
                    [[package]]\nname = \"wasm-bindgen\"\nversion = \"0.2.100\"\n";
        assert_eq!(version_in_lock(lock, "wasm-bindgen"), Some("0.2.100"));
        assert_eq!(version_in_lock(lock, "trunk"), None);
    }

    #[test]
    fn the_root_is_the_folder_of_the_lock_file() {
        assert!(root().join("Cargo.lock").is_file(), "{}", root().display());
    }
}
