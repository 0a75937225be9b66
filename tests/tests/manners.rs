//! What the page does besides its job: whom it talks to, what it asks the server, how the server ends.

use std::time::Duration;

use causeway_tests::stage;

const TRANSFER: Duration = Duration::from_mins(1);

#[test]
fn the_page_asks_nobody_but_its_own_server_for_anything() {
    stage::run(async |stage| {
        let server = stage.server(&[]).await?;
        let file = stage.file("private.bin", 1_000_000)?;
        let sender = stage.page("sender", server.origin()).await?;
        let shared = sender.share(&[&file]).await?;
        let receiver = stage.page("receiver", &shared.link).await?;
        let torrent = receiver.torrent(&shared.info_hash);
        torrent.complete(TRANSFER).await?;
        torrent.save("private.bin").await?;

        let origin = server.origin().to_owned();
        let own = [format!("{origin}/"), format!("blob:{origin}/"), server.tracker()];
        for page in [&sender, &receiver] {
            let requests = page.tab().browser().watch().requests();
            let foreign: Vec<_> = requests
                .iter()
                .filter(|url| !own.iter().any(|own| url.starts_with(own)))
                .collect();
            assert!(foreign.is_empty(), "asked for {foreign:?}");
            assert!(
                requests.contains(&server.tracker()),
                "the tracker is among {requests:?}"
            );
        }
        Ok(())
    });
}

#[test]
fn the_page_runs_under_a_policy_without_inline_or_evaluated_scripts() {
    stage::run(async |stage| {
        let server = stage.server(&[]).await?;
        let page = stage.page("page", server.origin()).await?;
        let script = "const policy = (await fetch('/')).headers.get('content-security-policy');
                      return policy ?? '';";
        let policy = page.tab().run_async(script, vec![]).await?;
        let policy = policy.as_str().unwrap_or_default();
        assert!(policy.contains("default-src"), "{policy}");
        assert!(
            !policy.contains("'unsafe-inline'") && !policy.contains("'unsafe-eval'"),
            "{policy}"
        );
        assert!(!policy.contains('*'), "{policy}");
        // And it is enforced, which any violation by the page itself would show on the console.
        page.tab()
            .browser()
            .watch()
            .expect_error("Content Security Policy");
        let script = "const script = document.createElement('script');
                      script.textContent = 'window.intruder = true';
                      document.body.append(script);
                      return window.intruder === true;";
        assert_eq!(page.tab().run(script, vec![]).await?, false);
        Ok(())
    });
}

#[test]
fn the_configuration_names_the_trackers_and_no_ice_server_where_none_is_wanted() {
    stage::run(async |stage| {
        let server = stage
            .server(&["--tracker", "wss://tracker.example/announce"])
            .await?;
        let page = stage.page("page", server.origin()).await?;
        page.tab().browser().watch().expect_error("tracker.example");
        let config = page
            .tab()
            .run_async("return await (await fetch('/config.json')).json()", vec![])
            .await?;
        let trackers = config["trackers"].to_string();
        assert!(trackers.contains("wss://tracker.example/announce"), "{config}");
        assert_eq!(config["iceServers"], serde_json::json!([]), "{config}");
        Ok(())
    });
}

#[test]
fn the_server_ends_in_time_and_with_success_while_pages_are_open() {
    stage::run(async |stage| {
        let server = stage.server(&[]).await?;
        let file = stage.file("open.bin", 1_000_000)?;
        let sender = stage.page("sender", server.origin()).await?;
        sender.tab().browser().watch().expect_error("WebSocket");
        let shared = sender.share(&[&file]).await?;
        sender
            .torrent(&shared.info_hash)
            .state("seeding", TRANSFER)
            .await?;
        let (_, status) = server.stop().await?;
        assert!(status.success(), "{status}");
        Ok(())
    });
}
