//! What processes used, from Linux's `/proc`: CPU time and resident memory of a browser's renderers and of the rest.

use std::collections::BTreeMap;
use std::fs;

use crate::browser::Browser;
use crate::tab::Tab;
use anyhow::{Context, Result, bail};

/// A clock tick of `/proc/PID/stat` in milliseconds: 1/100 s on every Linux of today.
const TICK: u64 = 10;

/// How long a page is kept busy so that its process shows itself, in milliseconds.
const BUSY: u64 = 150;

/// How often that is done at most, on a machine that has other things to do.
const TRIES: usize = 40;

/// The CPU time, in milliseconds, that each process of a browser has used.
pub type CpuTimes = BTreeMap<u32, u64>;

/// The CPU time of each process of a browser.
///
/// # Errors
/// When that has ended.
pub fn cpu_times(browser: &Browser) -> Result<CpuTimes> {
    let mut family = vec![browser.pid()?];
    let stats: Vec<Stat> = fs::read_dir("/proc")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        // A process may end while this looks.
        .filter_map(|pid| Stat::read(pid).ok())
        .collect();
    // Children come after their parents in the family, whatever their numbers.
    let mut next = 0;
    while let Some(&parent) = family.get(next) {
        family.extend(
            stats
                .iter()
                .filter(|stat| stat.parent == parent)
                .map(|stat| stat.pid),
        );
        next += 1;
    }
    Ok(stats
        .iter()
        .filter(|stat| family.contains(&stat.pid))
        .map(|stat| (stat.pid, stat.cpu))
        .collect())
}

/// The process that runs a page: the one that works when the page is kept busy, far more than any other.
///
/// # Errors
/// When none is found.
pub async fn renderer(tab: &Tab) -> Result<u32> {
    let before = cpu_times(tab.browser())?;
    let busy = format!("const end = performance.now() + {BUSY}; while (performance.now() < end);");
    for _ in 0..TRIES {
        tab.run(&busy, vec![]).await?;
        let after = cpu_times(tab.browser())?;
        let used = |pid: u32| after[&pid].saturating_sub(before.get(&pid).copied().unwrap_or(0));
        let mut busiest: Vec<_> = after.keys().map(|&pid| (used(pid), pid)).collect();
        busiest.sort_unstable_by(|a, b| b.cmp(a));
        if let [(most, pid), (next, _), ..] = busiest[..]
            && most >= BUSY
            && most >= 4 * next
        {
            return Ok(pid);
        }
    }
    bail!(
        "no process of {} works when its page is busy",
        tab.browser().name()
    )
}

/// Resident memory of a process in MiB.
///
/// # Errors
/// When it has ended.
pub fn resident(pid: u32) -> Result<f64> {
    memory(pid, "VmRSS:")
}

/// The most resident memory that a process has had, in MiB.
///
/// # Errors
/// When it has ended.
pub fn most_resident(pid: u32) -> Result<f64> {
    memory(pid, "VmHWM:")
}

/// User and system time of a process in seconds.
///
/// # Errors
/// When it has ended.
pub fn cpu_seconds(pid: u32) -> Result<f64> {
    let milliseconds = u32::try_from(Stat::read(pid)?.cpu)?;
    Ok(f64::from(milliseconds) / 1000.0)
}

fn memory(pid: u32, what: &str) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(what))
        .with_context(|| format!("no {what}"))?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib / 1024.0)
}

struct Stat {
    pid: u32,
    parent: u32,
    cpu: u64,
}

impl Stat {
    fn read(pid: u32) -> Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The name stands in parentheses and may contain anything.
        let (_, rest) = stat.rsplit_once(") ").context("no name")?;
        let fields: Vec<_> = rest.split(' ').collect();
        let field = |number: usize| fields.get(number).copied().unwrap_or_default().parse::<u64>();
        // Counted from the state, the third field of proc(5): parent 4, utime 14, stime 15.
        Ok(Self {
            pid,
            parent: u32::try_from(field(1)?)?,
            cpu: (field(11)? + field(12)?) * TICK,
        })
    }
}
