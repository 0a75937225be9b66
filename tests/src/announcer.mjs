// The classic client of npm's bittorrent-tracker: announces to each URL in turn, scrapes, and leaves; what it hears is a line of
// JSON each.
import Client from 'bittorrent-tracker'

const say = (...words) => console.log(JSON.stringify(words))
for (const [index, url] of process.argv.slice(2).entries()) {
  await new Promise(resolve => {
    const client = new Client({
      infoHash: Buffer.alloc(20, 'h'), peerId: Buffer.alloc(20, String(index)), announce: [url], port: 7000 + index
    })
    for (const event of ['error', 'warning']) client.on(event, error => { say(event, error.message); process.exit(1) })
    client.on('peer', peer => say('peer', peer))
    client.once('update', ({ complete, incomplete }) => { say('update', complete, incomplete); client.scrape() })
    client.on('scrape', ({ complete, incomplete, downloaded }) => {
      say('scrape', complete, incomplete, downloaded)
      // It stays in the swarm, for the next one to find.
      client.destroy(resolve)
    })
    client.start({ left: index })
  })
}
process.exit(0)
