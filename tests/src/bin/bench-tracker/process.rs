//! What processes used, from Linux's `/proc`.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// The CPU time, of the user and of the system, that a process has used.
pub(crate) fn cpu(pid: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name stands in parentheses and may contain anything.
    let (_, rest) = stat.rsplit_once(") ").context("no name")?;
    let fields: Vec<_> = rest.split(' ').collect();
    let field = |number: usize| fields.get(number).copied().unwrap_or_default().parse::<u64>();
    // Counted from the state, the third field of proc(5): utime 14, stime 15, in hundredths of a second.
    Ok(Duration::from_millis(10 * (field(11)? + field(12)?)))
}

/// Resident memory of a process in bytes.
pub(crate) fn resident(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: u64 = line.context("no VmRSS")?.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1024)
}

/// Every connection takes a file.
pub(crate) fn raise_open_files() -> Result<()> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    Ok(setrlimit(Resource::Nofile, limit)?)
}
