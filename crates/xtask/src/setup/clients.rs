//! What the end-to-end tests use as the other side beside browsers: classic BitTorrent clients, a peer on WebRTC in Go, and a relay for WebRTC.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::{debian, doing, done, program_from_debian, tools};
use crate::{process, workspace};

/// aria2, Transmission's daemon, qBittorrent without its window, rqbit, libtorrent for Python, a peer on pion, and coturn.
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
    libtorrent()?;
    pion()
}

/// The peer of `tests/pion`, of Debian's packages: what is in them was released before pion took longer packets.
fn pion() -> Result<()> {
    let folder = workspace::root().join("tests");
    let (source, name) = (folder.join("pion/main.go"), "the peer on pion");
    let wanted = fs::read(&source)?;
    let (program, record) = (folder.join(".pion-peer"), folder.join(".pion-peer.go"));
    if program.is_file() && fs::read(&record).is_ok_and(|built| built == wanted) {
        done(name);
        return Ok(());
    }
    let packages = [
        "golang-go",
        "golang-github-pion-webrtc.v3-dev",
        "golang-github-gorilla-websocket-dev",
    ];
    let libraries = Path::new("/usr/share/gocode");
    let has_library = |name| libraries.join("src/github.com").join(name).is_dir();
    let is_there =
        process::find(&["go"]).is_some() && ["pion/webrtc", "gorilla/websocket"].into_iter().all(has_library);
    if !is_there && debian::is_ours() {
        doing("Go and pion from Debian's packages", "about a minute");
        debian::install(&packages)?;
    }
    doing(name, "half a minute the first time");
    let mut build = process::program("go", ["build", "-o"]);
    build
        .arg(&program)
        .arg(&source)
        .envs([("GO111MODULE", "off"), ("CGO_ENABLED", "0")])
        .env("GOPATH", libraries);
    process::run(&mut build).with_context(|| {
        format!(
            "the end-to-end tests need Go and pion, as Debian's packages {} have them",
            packages.join(", ")
        )
    })?;
    fs::write(record, wanted)?;
    Ok(())
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
