//! Files to share: reproducible bytes of any size, and the comparison of what arrived with what was sent.

use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// Bytes that are made, or compared, at a time.
const PART: usize = 1 << 16;

/// Writes a file of `length` bytes that depend on `seed` alone and don't compress, with its folders.
///
/// # Errors
/// When it can't be written.
pub fn generate(path: &Path, length: u64, seed: u64) -> Result<PathBuf> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut random = fastrand::Rng::with_seed(seed);
    let mut file =
        BufWriter::new(File::create(path).with_context(|| format!("creating {}", path.display()))?);
    let mut part = vec![0; PART];
    let mut left = length;
    while left > 0 {
        let now = usize::try_from(left).unwrap_or(PART).min(PART);
        random.fill(&mut part[..now]);
        file.write_all(&part[..now])?;
        left -= now as u64;
    }
    file.flush()?;
    Ok(path.to_owned())
}

/// Checks that two files have the same bytes.
///
/// # Errors
/// When one can't be read, or they differ: where.
pub fn assert_same(sent: &Path, arrived: &Path) -> Result<()> {
    let open = |path: &Path| File::open(path).with_context(|| format!("opening {}", path.display()));
    let (mut left, mut right) = (open(sent)?, open(arrived)?);
    let (mut ours, mut theirs) = (vec![0; PART], vec![0; PART]);
    let mut offset = 0;
    loop {
        let (a, b) = (fill(&mut left, &mut ours)?, fill(&mut right, &mut theirs)?);
        let same = ours[..a]
            .iter()
            .zip(&theirs[..b])
            .take_while(|(ours, theirs)| ours == theirs)
            .count();
        ensure!(
            a == b && same == a,
            "{} arrived as {} with other bytes from offset {} on ({} and {} bytes long)",
            sent.display(),
            arrived.display(),
            offset + same,
            fs::metadata(sent)?.len(),
            fs::metadata(arrived)?.len(),
        );
        if a == 0 {
            return Ok(());
        }
        offset += a;
    }
}

/// Reads until the buffer is full or the file ends; returns how much there was.
fn fill(file: &mut impl Read, buffer: &mut [u8]) -> Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..])? {
            0 => break,
            n => filled += n,
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_bytes_and_another_seed_others() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let [a, b, c] = [("a", 1), ("b", 1), ("c", 2)]
            .map(|(name, seed)| generate(&folder.path().join(name), 200_001, seed));
        let (a, b, c) = (a?, b?, c?);
        assert_eq!(fs::metadata(&a)?.len(), 200_001);
        assert_same(&a, &b)?;
        assert!(assert_same(&a, &c).is_err());
        Ok(())
    }

    #[test]
    fn a_difference_is_found_wherever_it_is() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let sent = generate(&folder.path().join("sent"), 100_000, 7)?;
        let bytes = fs::read(&sent)?;
        let mut last = bytes.clone();
        last[99_999] ^= 1;
        for (wrong, at) in [
            (last, "offset 99999"),
            (bytes[..99_999].to_vec(), "offset 99999"),
            (Vec::new(), "offset 0"),
        ] {
            let arrived = folder.path().join("arrived");
            fs::write(&arrived, wrong)?;
            let error = assert_same(&sent, &arrived).expect_err("they differ").to_string();
            assert!(error.contains(at), "{error}");
        }
        Ok(())
    }
}
