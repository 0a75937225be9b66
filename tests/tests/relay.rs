//! WebRTC through a relay (TURN): the only way between two peers that don't reach each other.

use std::time::Duration;

use anyhow::ensure;
use causeway_tests::files::assert_same;
use causeway_tests::native::get;
use causeway_tests::stage;

/// How long a small transfer may take on a busy machine.
const TRANSFER: Duration = Duration::from_mins(1);

#[test]
fn our_page_gets_a_file_from_a_native_peer_that_only_a_relay_reaches() {
    stage::run(async |stage| {
        let (server, turn) = (stage.server(&[]).await?, stage.turn().await?);
        let file = stage.file("holiday.mp4", 20_000_003)?;
        let relayed = ["--turn", &turn.account(), "--turn-only"];
        let seed = stage.seed(&file, &server.tracker(), &relayed).await?;

        let receiver = stage.page("receiver", server.origin()).await?;
        receiver.open_link(&seed.magnet).await?;
        let torrent = receiver.torrent(&seed.info_hash);
        torrent.complete(TRANSFER).await?;
        assert_same(&file, &torrent.save("holiday.mp4").await?)
    });
}

#[test]
fn native_peers_meet_between_two_relayed_addresses() {
    stage::run(async |stage| {
        let (server, turn) = (stage.server(&[]).await?, stage.turn().await?);
        let file = stage.file("holiday.mp4", 9_000_003)?;
        let account = turn.account();
        let relayed = ["--turn", &account, "--turn-only"];
        let seed = stage.seed(&file, &server.tracker(), &relayed).await?;
        let folder = get(&seed.magnet, &stage.folder().join("got"), &relayed, TRANSFER).await?;
        assert_same(&file, &folder.join("holiday.mp4"))
    });
}

#[test]
fn a_page_that_is_told_of_a_relay_uses_it_beside_its_own_addresses() {
    stage::run(async |stage| {
        let turn = stage.turn().await?;
        let ice_server = format!("turn:{}", turn.account());
        let server = stage.server_with_ice(&["--ice-server", &ice_server]).await?;
        let (sender, receiver) = tokio::try_join!(
            stage.page("sender", server.origin()),
            stage.page("receiver", server.origin())
        )?;
        let file = stage.file("holiday.mp4", 3_000_003)?;
        let shared = sender.share(&[&file]).await?;
        receiver.open_link(&shared.link).await?;
        let torrent = receiver.torrent(&shared.info_hash);
        torrent.complete(TRANSFER).await?;
        assert_same(&file, &torrent.save("holiday.mp4").await?)?;
        let log = turn.log().to_string();
        ensure!(
            log.contains("ALLOCATE processed, success"),
            "nobody asked the relay:\n{log}"
        );
        Ok(())
    });
}

#[test]
fn a_relay_that_refuses_is_named_and_keeps_nobody_from_the_direct_way() {
    stage::run(async |stage| {
        let (server, turn) = (stage.server(&[]).await?, stage.turn().await?);
        let file = stage.file("holiday.mp4", 3_000_003)?;
        let seed = stage
            .seed(&file, &server.tracker(), &["--turn", &turn.wrong_account()])
            .await?;
        let folder = get(&seed.magnet, &stage.folder().join("got"), &[], TRANSFER).await?;
        assert_same(&file, &folder.join("holiday.mp4"))?;
        let log = seed.log().to_string();
        let sentence = "does not accept the user or the password";
        ensure!(log.contains(sentence), "it says nothing of the relay:\n{log}");
        Ok(())
    });
}
