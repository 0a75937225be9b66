// The reference tracker of classic clients, over HTTP and UDP, on free ports of this machine.
import Server from 'bittorrent-tracker/server'

const server = new Server({ http: true, udp: true, ws: false, stats: false })
server.on('error', error => { throw error })
server.listen(0, { http: '127.0.0.1', udp: '127.0.0.1', udp6: '::1' }, () => {
  console.log(`listening on http://127.0.0.1:${server.http.address().port}/announce udp://127.0.0.1:${server.udp.address().port}/announce`)
})
