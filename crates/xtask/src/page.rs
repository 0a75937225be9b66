//! The built page, in `dist/`: what `causeway serve` carries and `cargo xtask dist` gives away.

use std::path::Path;

use anyhow::Result;

use crate::toolchain::WasmToolchain;
use crate::{compress, process, workspace};

/// Builds the page as it is released, into `folder` where one is named, else into `dist/`, with packed files for our own server.
///
/// # Errors
/// There is no toolchain for it, or the build failed.
pub(crate) fn build(folder: Option<&Path>) -> Result<()> {
    let mut command = process::program("trunk", ["build", "--release", "--skip-version-check"]);
    if let Some(folder) = folder {
        command.arg("--dist").arg(folder);
    }
    WasmToolchain::require()?.prepare(&mut command);
    process::run(&mut command)?;
    match folder {
        // Other servers pack themselves, and its owner may change what is there.
        Some(_) => Ok(()),
        None => compress::folder(&workspace::root().join("dist")),
    }
}
