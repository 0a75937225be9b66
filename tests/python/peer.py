"""A real libtorrent peer: `peer.py TORRENT FOLDER [SETTING=VALUE]... [connect=ADDRESS:PORT]...` downloads into or shares FOLDER
until it is killed.

Each NAME is a setting of libtorrent's, or `peer`, whose value is an address that it connects to.
Says `listening on ADDRESS:PORT`, then `complete` when it has everything.
"""

import sys
import time

import libtorrent

torrent, folder = sys.argv[1:3]
settings = {
    "listen_interfaces": "127.0.0.1:0",
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "webtorrent_stun_server": "",
    "allow_multiple_connections_per_ip": True,
    "announce_to_all_tiers": True,
    "alert_mask": libtorrent.alert.category_t.status_notification
    | libtorrent.alert.category_t.error_notification
    | libtorrent.alert.category_t.storage_notification,
}
peers = []
for option in sys.argv[3:]:
    name, value = option.split("=", 1)
    if name == "connect":
        address, _, number = value.rpartition(":")
        peers.append((address.strip("[]"), int(number)))
        continue
    settings[name] = int(value) if value.lstrip("-").isdigit() else value
session = libtorrent.session(settings)
if torrent.startswith("magnet:"):
    parameters = libtorrent.parse_magnet_uri(torrent)
else:
    parameters = libtorrent.load_torrent_file(torrent)
parameters.save_path = folder
handle = session.add_torrent(parameters)
for peer in peers:
    handle.connect_peer(peer)

port = None
flushing = complete = False
while True:
    session.wait_for_alert(1000)
    for alert in session.pop_alerts():
        if "error" in type(alert).__name__:
            print(f"{type(alert).__name__}: {alert.message()}", flush=True)
        if flushing and not complete and isinstance(alert, libtorrent.cache_flushed_alert):
            complete = True
            print("complete", flush=True)
    if port is None and session.is_listening():
        port = session.listen_port()
        interface = settings["listen_interfaces"].rsplit(":", 1)[0]
        print(f"listening on {interface.replace('0.0.0.0', '127.0.0.1')}:{port}", flush=True)
    if not flushing and handle.status().is_seeding:
        # It verifies from memory: what is complete need not be in its files yet.
        flushing = True
        handle.flush_cache()
