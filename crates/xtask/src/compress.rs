//! The page's files as browsers load them: beside each that gets smaller there is one packed by Brotli, and one for whoever reads gzip
//! alone. Both take seconds, which a server has not, and are made once.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use brotli::enc::BrotliEncoderParams;

/// Packs what is in this folder and those below it.
///
/// # Errors
/// A file can't be read or written.
pub(crate) fn folder(folder: &Path) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("can't read {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            self::folder(&path)?;
        } else if path
            .extension()
            .and_then(OsStr::to_str)
            .is_some_and(|kind| KINDS.contains(&kind))
        {
            file(&path)?;
        }
    }
    Ok(())
}

fn file(path: &Path) -> Result<()> {
    let plain = fs::read(path).with_context(|| format!("can't read {}", path.display()))?;
    for (extension, packed) in [("br", brotli(&plain)?), ("gz", gzip(&plain)?)] {
        if packed.len() < plain.len() {
            let target = with(path, extension);
            fs::write(&target, packed).with_context(|| format!("can't write {}", target.display()))?;
        }
    }
    Ok(())
}

fn brotli(mut plain: &[u8]) -> Result<Vec<u8>> {
    let parameters = BrotliEncoderParams {
        size_hint: plain.len(),
        ..BrotliEncoderParams::default()
    };
    let mut packed = Vec::new();
    brotli::BrotliCompress(&mut plain, &mut packed, &parameters)?;
    Ok(packed)
}

fn gzip(plain: &[u8]) -> Result<Vec<u8>> {
    let mut packed = Vec::new();
    zopfli::compress(
        zopfli::Options::default(),
        zopfli::Format::Gzip,
        plain,
        &mut packed,
    )?;
    Ok(packed)
}

/// The path with a further extension.
fn with(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    name.into()
}

const KINDS: [&str; 6] = ["css", "html", "js", "svg", "wasm", "webmanifest"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_gets_smaller_has_two_packed_files_beside_it() -> Result<()> {
        let place = tempfile::tempdir()?;
        let below = place.path().join("below");
        fs::create_dir(&below)?;
        let text = "body { color: black }\n".repeat(100);
        fs::write(below.join("style.css"), &text)?;
        fs::write(place.path().join("x.js"), "x")?;
        fs::write(place.path().join("icon.png"), &text)?;
        folder(place.path())?;

        let mut plain = Vec::new();
        let packed = fs::read(below.join("style.css.br"))?;
        brotli::BrotliDecompress(&mut &packed[..], &mut plain)?;
        assert_eq!(plain, text.as_bytes());
        let packed = fs::read(below.join("style.css.gz"))?;
        assert!(packed.starts_with(&[0x1f, 0x8b]) && packed.len() < text.len());
        for other in ["x.js.br", "x.js.gz", "icon.png.br", "icon.png.gz"] {
            assert!(!place.path().join(other).exists(), "{other}");
        }
        Ok(())
    }
}
