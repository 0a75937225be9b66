// npm's webtorrent in Node: `webtorrent.mjs TORRENT FOLDER LINKS` has or gets in FOLDER what a torrent file or magnet link names,
// until it is killed. LINKS is the one kind that it may have: tcp, enciphered (and over TCP), utp or webrtc.
// Says `listening on ADDRESS:PORT`, then `complete` when it has everything.
import net from 'node:net'
import WebTorrent from 'webtorrent'

const HERE = '127.0.0.1'
const [torrent, folder, links] = process.argv.slice(2)

// They would listen to all networks.
const servers = [net.Server]
if (links === 'utp') servers.push((await import('utp-native')).default)
for (const { prototype } of servers) {
  const { listen } = prototype
  prototype.listen = function (port, done) { return listen.call(this, port, HERE, done) }
}

// Nobody beyond this machine is asked for anything.
const client = new WebTorrent({
  dht: false, lsd: false, natUpnp: false, natPmp: false, utPex: false,
  tracker: links === 'webrtc' && { rtcConfig: { iceServers: [] } },
  utp: links === 'utp',
  secure: links === 'enciphered' ? 2 : 1
})
const fail = error => { console.error(error); process.exit(1) }
client.on('error', fail)
const listening = new Promise(resolve => client.once('listening', resolve))

const added = client.add(torrent, { path: folder })
// It knows by then what it has, but of a magnet link not what there is.
const ready = torrent.startsWith('magnet:') || new Promise(resolve => added.once('ready', resolve))
added.on('wire', ({ type }) => {
  if (!type.startsWith(links === 'enciphered' ? 'tcp' : links)) fail(`it has a link of the kind ${type}`)
})
added.on('warning', warning => console.error(warning.message))
const done = new Promise(resolve => added.once('done', resolve))

await Promise.all([listening, ready])
if (links === 'utp') client._connPool.tcpServer.close()
console.log(`listening on ${HERE}:${client.torrentPort}`)
await done
console.log('complete')
