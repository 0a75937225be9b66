//! What a classic peer takes in memory.

use anyhow::Result;
use futures_util::future::try_join_all;

use crate::Arguments;
use crate::classic::Udp;
use crate::contender::start_causeway;

/// Two peers in each of a million swarms, over UDP.
pub(crate) async fn measure(arguments: &Arguments) -> Result<()> {
    let server = start_causeway(arguments, &["--max-members", "3000000"]).await?;
    let before = server.resident()?;
    let clients = (0..CLIENTS).map(|number| {
        let address = server.address;
        async move {
            tokio::spawn(async move {
                let mut udp = Udp::connect(address).await?;
                for swarm in (number..SWARMS).step_by(CLIENTS) {
                    // As info-hashes are: all over the place.
                    let mut random = fastrand::Rng::with_seed(swarm as u64);
                    let info_hash = core::array::from_fn(|_| random.u8(..));
                    for peer in 0..2 {
                        udp.announce_to(2 * swarm + peer, info_hash, 0).await?;
                    }
                    // A connection id is good for a minute.
                    if swarm / CLIENTS % 1000 == 999 {
                        udp = Udp::connect(address).await?;
                    }
                }
                anyhow::Ok(())
            })
            .await?
        }
    });
    try_join_all(clients).await?;
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let each = (server.resident()? - before) as f64 / (2 * SWARMS) as f64;
    println!(
        "\n{SWARMS} swarms with two UDP peers each: {each:.1} bytes a peer, {:.0} s of CPU",
        server.cpu()?.as_secs_f64()
    );
    Ok(())
}

const CLIENTS: usize = 64;
const SWARMS: usize = 1_000_000;
