// The reference tracker of WebTorrent, for browsers only, on a free port of this machine.
import Server from 'bittorrent-tracker/server'

const server = new Server({ http: false, udp: false, ws: true, stats: false })
server.on('error', error => { throw error })
server.listen(Number(process.argv[2] ?? 0), '127.0.0.1', () => {
  console.log(`listening on ws://127.0.0.1:${server.ws.address().port}`)
})
