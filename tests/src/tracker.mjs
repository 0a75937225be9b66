// The reference tracker of WebTorrent with one of its doors, by default that for browsers, on a free port of this machine.
import Server from 'bittorrent-tracker/server'

const door = process.argv[3] ?? 'ws'
const server = new Server({
  http: door === 'http', udp: door === 'udp', ws: door === 'ws', stats: false, trustProxy: false
})
server.on('error', error => { throw error })
// Bad requests are its clients' business.
server.on('warning', () => {})
const hosts = { http: '127.0.0.1', udp: '127.0.0.1', udp6: '::1' }
server.listen(Number(process.argv[2] ?? 0), hosts, () => {
  const address = door === 'udp' ? server.udp.address() : server[door].address()
  console.log(`listening on ${door}://127.0.0.1:${address.port}`)
})
