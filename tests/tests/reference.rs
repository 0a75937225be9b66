//! The ground that the other tests stand on: two real WebTorrent pages and the reference tracker, without us. Where
//! this fails, the machine or the harness is at fault.

use std::time::Duration;

use causeway_tests::files::assert_same;
use causeway_tests::stage;
use causeway_tests::webtorrent::WebTorrentPage;

#[test]
fn webtorrent_gets_a_file_from_webtorrent_in_another_browser() {
    stage::run(async |stage| {
        let (tracker, site) = (stage.reference_tracker().await?, stage.site().await?);
        let (sender, receiver) = tokio::try_join!(stage.browser("sender"), stage.browser("receiver"))?;
        let file = stage.file("video.mp4", 3_000_001)?;
        let (_page, shared) =
            WebTorrentPage::share(sender.tab().await?, &site, tracker.url(), &[&file]).await?;
        let page = WebTorrentPage::open(receiver.tab().await?, &site, &shared.magnet).await?;
        page.complete(Duration::from_mins(1)).await?;
        assert_same(&file, &page.save("video.mp4").await?)
    });
}
