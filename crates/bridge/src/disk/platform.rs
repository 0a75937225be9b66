//! What the standard library does not have for every system.

use std::fs::{self, File};
use std::io::{self, ErrorKind, IoSlice};
use std::path::Path;

#[cfg(unix)]
pub(super) fn read_exact_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, at)
}

#[cfg(unix)]
pub(super) fn write_all_at(file: &File, parts: &[IoSlice<'_>], mut at: u64) -> io::Result<()> {
    let mut parts = parts.to_vec();
    let mut rest = parts.as_mut_slice();
    IoSlice::advance_slices(&mut rest, 0);
    while !rest.is_empty() {
        let count = rest.len().min(MOST_PARTS);
        match rustix::io::pwritev(file, &rest[..count], at) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => {
                at += written as u64;
                IoSlice::advance_slices(&mut rest, written);
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(target_os = "linux")]
pub(super) fn preallocate(file: &File, length: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    match fallocate(file, FallocateFlags::empty(), 0, length) {
        // Not every file system can: then the file is sparse.
        Err(rustix::io::Errno::OPNOTSUPP) => file.set_len(length),
        result => Ok(result?),
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn preallocate(file: &File, length: u64) -> io::Result<()> {
    file.set_len(length)
}

#[cfg(unix)]
pub(super) fn make_executable(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mut permissions = path.metadata()?.permissions();
    // Whoever may read it may run it.
    let mode = permissions.mode();
    permissions.set_mode(mode | (mode & 0o444) >> 2);
    fs::set_permissions(path, permissions)
}

#[cfg(not(unix))]
pub(super) fn make_executable(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(windows)]
pub(super) fn read_exact_at(file: &File, buffer: &mut [u8], mut at: u64) -> io::Result<()> {
    let mut rest = buffer;
    while !rest.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, rest, at)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            read => {
                at += read as u64;
                rest = &mut rest[read..];
            }
        }
    }
    Ok(())
}

#[cfg(windows)]
pub(super) fn write_all_at(file: &File, parts: &[IoSlice<'_>], mut at: u64) -> io::Result<()> {
    for part in parts {
        let mut rest: &[u8] = part;
        while !rest.is_empty() {
            match std::os::windows::fs::FileExt::seek_write(file, rest, at)? {
                0 => return Err(ErrorKind::WriteZero.into()),
                written => {
                    at += written as u64;
                    rest = &rest[written..];
                }
            }
        }
    }
    Ok(())
}

/// Parts that one call takes everywhere.
#[cfg(unix)]
const MOST_PARTS: usize = 1024;
