//! What the end-to-end tests use as the other side beside browsers: classic BitTorrent clients, and a relay for WebRTC.

use std::fs;

use anyhow::Result;

use super::{doing, done, program_from_debian, tools};
use crate::{process, workspace};

/// aria2, Transmission's daemon, qBittorrent without its window, rqbit, libtorrent for Python, and coturn.
pub(super) fn all() -> Result<()> {
    for (program, package) in [
        ("aria2c", "aria2"),
        ("transmission-daemon", "transmission-daemon"),
        ("qbittorrent-nox", "qbittorrent-nox"),
        ("turnserver", "coturn"),
    ] {
        let by_hand = format!(
            "the end-to-end tests need {program}: install it with the package manager of this system"
        );
        program_from_debian(program, &[package], &by_hand)?;
        done(program);
    }
    tools::rqbit()?;
    libtorrent()
}

/// Exactly what `tests/python/requirements.txt` names, in an environment of its own.
fn libtorrent() -> Result<()> {
    let folder = workspace::root().join("tests");
    let list = folder.join("python/requirements.txt");
    let wanted = fs::read(&list)?;
    let (environment, name) = (folder.join(".venv"), "libtorrent for Python");
    let record = environment.join("installed-requirements.txt");
    if fs::read(&record).is_ok_and(|installed| installed == wanted) {
        done(name);
        return Ok(());
    }
    let by_hand =
        "the end-to-end tests need Python 3 with venv and pip: install it, from python.org for example";
    program_from_debian("python3", &["python3-venv", "python3-pip"], by_hand)?;
    doing(name, "less than a minute");
    process::run(process::program("python3", ["-m", "venv"]).arg(&environment))?;
    let pip = environment.join("bin/pip");
    let install = [
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--requirement",
    ];
    process::run(process::program(&pip.display().to_string(), install).arg(&list))?;
    fs::write(record, wanted)?;
    Ok(())
}
