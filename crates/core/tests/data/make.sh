#!/bin/sh
# Makes the torrents of this folder anew, each with the client that its name starts with, and notes in info-hashes.txt
# and magnets.txt what this client says of them. README.md says which versions to install; $PYTHON has libtorrent, $NODE_MODULES has the npm packages.
set -eu
out=$(cd "$(dirname "$0")" && pwd)
PYTHON=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
cd "$work"
rm -f "$out"/*.torrent
: > "$out/info-hashes.txt"
: > "$out/magnets.txt"

"$PYTHON" - <<'PY'
import os

def put(path, length, seed):
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "wb") as file:
        file.write(bytes((i * 31 + (i >> 8) * 17 + (i >> 16) * 7 + seed) & 255 for i in range(length)))

put("single.bin", 100_000, 1)
put("album/disc 2/tëst – 日本.bin", 20_000, 2)
put("album/empty.txt", 0, 0)
put("album/track one.bin", 40_000, 3)
put("album/z.sh", 70_000, 4)
os.chmod("album/z.sh", 0o755)
put("links/target.bin", 20_000, 5)
os.symlink("target.bin", "links/link.bin")
PY

ln -s "$NODE_MODULES" node_modules
cat > create-torrent.mjs <<'JS'
import { appendFileSync, writeFileSync } from 'fs'
import createTorrent from 'create-torrent'
import parseTorrent, { toMagnetURI } from 'parse-torrent'
const out = process.argv[2]
async function make (name, input, options) {
  const torrent = await new Promise((resolve, reject) =>
    createTorrent(input, options, (error, torrent) => error ? reject(error) : resolve(torrent)))
  const parsed = await parseTorrent(torrent)
  writeFileSync(`${out}/create-torrent-${name}.torrent`, torrent)
  appendFileSync(`${out}/info-hashes.txt`, `create-torrent-${name} ${parsed.infoHash}\n`)
  appendFileSync(`${out}/magnets.txt`, `create-torrent-${name} ${toMagnetURI(parsed)}\n`)
}
await make('single', 'single.bin', {
  pieceLength: 16384,
  announceList: [['wss://a.example/announce', 'udp://b.example:6969'], ['http://c.example/announce']],
  urlList: ['https://seed.example/single.bin', 'https://mirror.example/single.bin'],
  comment: 'A comment – naïve',
  createdBy: 'create-torrent',
  creationDate: 1700000000000,
  private: true
})
await make('folder', 'album', { pieceLength: 32768, announce: 'wss://a.example', creationDate: 1700000000000 })
await make('default', 'single.bin', { announceList: [] })
JS
node create-torrent.mjs "$out"

transmission-create -o "$out/transmission-single.torrent" -s 32 -p -c 'A comment' -t udp://b.example:6969/announce \
    -t http://c.example/announce single.bin >/dev/null
transmission-create -o "$out/transmission-folder.torrent" -s 32 album >/dev/null
mktorrent -l 15 -a wss://a.example,udp://b.example:6969 -a http://c.example -w https://seed.example/single.bin \
    -c 'A comment' -o "$out/mktorrent-single.torrent" single.bin >/dev/null
mktorrent -l 15 -d -p -a wss://a.example -o "$out/mktorrent-folder.torrent" album >/dev/null
chmod 644 "$out"/*.torrent
for torrent in transmission-single transmission-folder; do
    echo "$torrent $(transmission-show "$out/$torrent.torrent" | sed -n 's/^ *Hash: //p')" >> "$out/info-hashes.txt"
    echo "$torrent $(transmission-show -m "$out/$torrent.torrent")" >> "$out/magnets.txt"
done

"$PYTHON" - "$out" <<'PY'
import sys
import libtorrent as lt

out = sys.argv[1]
ct = lt.create_torrent

def make(name, path, flags, trackers=(), web_seeds=(), piece_length=32768):
    files = lt.file_storage()
    lt.add_files(files, path, lambda _: True, flags)
    torrent = ct(files, piece_length, flags)
    for tier, url in enumerate(trackers):
        torrent.add_tracker(url, tier)
    for url in web_seeds:
        torrent.add_url_seed(url)
    torrent.set_creator("libtorrent")
    torrent.set_creation_date(1700000000)
    lt.set_piece_hashes(torrent, ".")
    content = lt.bencode(torrent.generate())
    with open(f"{out}/libtorrent-{name}.torrent", "wb") as file:
        file.write(content)
    report(f"libtorrent-{name}")

def report(name):
    info = lt.torrent_info(f"{out}/{name}.torrent")
    hashes = info.info_hashes()
    with open(f"{out}/info-hashes.txt", "a") as file:
        file.write(f"{name} {hashes.v1 if hashes.has_v1() else hashes.v2}\n")
    with open(f"{out}/magnets.txt", "a") as file:
        file.write(f"{name} {lt.make_magnet_uri(info)}\n")

# mktorrent says nothing of the torrents that it makes, and transmission 3.00 leaves wss trackers out of links.
report("mktorrent-single")
report("mktorrent-folder")
make("single", "single.bin", ct.v1_only, ["udp://b.example:6969"], ["https://seed.example/single.bin"])
make("folder", "album", ct.v1_only)
make("padded", "album", ct.v1_only | ct.canonical_files, ["wss://a.example", "http://c.example"])
make("links", "links", ct.v1_only | ct.symlinks)
make("hybrid-single", "single.bin", 0)
make("hybrid-folder", "album", 0, ["wss://a.example"], ["https://seed.example/"])
make("v2", "album", ct.v2_only)
PY
