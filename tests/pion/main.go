// A peer on pion's WebRTC, as anacrolix/torrent and what is made of it are: `pion-peer TRACKER INFO-HASH LENGTH PIECE-LENGTH FILE`.
// Where FILE is there it gives it to whoever makes it an offer; where not, it makes one offer, gets all of it from who answers,
// writes it and says `complete`. It has one peer, and believes every byte: the test compares them.
package main

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"os"
	"strconv"
	"time"

	"github.com/gorilla/websocket"
	"github.com/pion/webrtc"
)

const (
	protocol   = "\x13BitTorrent protocol\x00\x00\x00\x00\x00\x00\x00\x00"
	id         = "-GT0003-pionpionpion"
	offerID    = "the one offer of it!"
	block      = 16 * 1024
	underWay   = 32
	unchoke    = 1
	interested = 2
	bitfield   = 5
	request    = 6
	piece      = 7
)

type description = webrtc.SessionDescription

// What the tracker passes on.
type message struct {
	PeerID  string       `json:"peer_id"`
	OfferID string       `json:"offer_id"`
	Offer   *description `json:"offer"`
	Answer  *description `json:"answer"`
}

type torrent struct {
	hash                string
	length, pieceLength int
}

func main() {
	log.SetFlags(0)
	hash, err := hex.DecodeString(os.Args[2])
	check(err)
	length, err := strconv.Atoi(os.Args[3])
	check(err)
	pieceLength, err := strconv.Atoi(os.Args[4])
	check(err)
	of, path := torrent{string(hash), length, pieceLength}, os.Args[5]
	file, err := os.ReadFile(path)
	gives := err == nil

	socket, _, err := websocket.DefaultDialer.Dial(os.Args[1], nil)
	check(err)
	connection, err := webrtc.NewPeerConnection(webrtc.Configuration{})
	check(err)
	announce := map[string]interface{}{"action": "announce", "info_hash": latin1(of.hash), "peer_id": latin1(id), "numwant": 1, "left": length, "event": "started"}
	done := make(chan bool)
	if gives {
		announce["left"] = 0
		connection.OnDataChannel(func(channel *webrtc.DataChannel) { go of.give(stream(channel), file) })
	} else {
		channel, err := connection.CreateDataChannel("webrtc-datachannel", nil)
		check(err)
		go func() {
			check(os.WriteFile(path, of.get(stream(channel)), 0o644))
			done <- true
		}()
		offer, err := connection.CreateOffer(nil)
		check(err)
		announce["offers"] = []interface{}{map[string]interface{}{"offer_id": latin1(offerID), "offer": gathered(connection, offer)}}
	}
	check(socket.WriteJSON(announce))
	fmt.Println("announced")
	news := make(chan message)
	go read(socket, news)
	again, answered := time.NewTicker(3*time.Second), false
	for {
		select {
		case <-done:
			fmt.Println("complete")
			return
		case <-again.C:
			// Nobody may have been there yet.
			if !answered {
				check(socket.WriteJSON(announce))
			}
		case it := <-news:
			switch {
			case answered:
			case it.Answer != nil:
				answered = true
				check(connection.SetRemoteDescription(*it.Answer))
			case it.Offer != nil && gives:
				answered = true
				check(connection.SetRemoteDescription(*it.Offer))
				answer, err := connection.CreateAnswer(nil)
				check(err)
				check(socket.WriteJSON(map[string]interface{}{"action": "announce", "info_hash": latin1(of.hash), "peer_id": latin1(id),
					"to_peer_id": it.PeerID, "offer_id": it.OfferID, "answer": gathered(connection, answer)}))
			}
		}
	}
}

// The description with all candidates: trackers know no others.
func gathered(connection *webrtc.PeerConnection, own description) *description {
	all := webrtc.GatheringCompletePromise(connection)
	check(connection.SetLocalDescription(own))
	<-all
	return connection.LocalDescription()
}

func read(socket *websocket.Conn, news chan<- message) {
	for {
		var it message
		_, text, err := socket.ReadMessage()
		check(err)
		check(json.Unmarshal(text, &it))
		news <- it
	}
}

// The bytes of a channel in both directions, once it is open.
type link struct {
	*io.PipeReader
	channel *webrtc.DataChannel
	opened  chan bool
}

func stream(channel *webrtc.DataChannel) link {
	reader, writer := io.Pipe()
	opened := make(chan bool)
	channel.OnOpen(func() { close(opened) })
	channel.OnMessage(func(message webrtc.DataChannelMessage) {
		_, err := writer.Write(message.Data)
		check(err)
	})
	return link{reader, channel, opened}
}

func (l link) send(bytes []byte) { check(l.channel.Send(bytes)) }

func (l link) take(length int) []byte {
	bytes := make([]byte, length)
	_, err := io.ReadFull(l, bytes)
	check(err)
	return bytes
}

// The next message that is more than a sign of life: its kind and what follows.
func (l link) next() (byte, []byte) {
	for {
		if length := binary.BigEndian.Uint32(l.take(4)); length > 0 {
			bytes := l.take(int(length))
			return bytes[0], bytes[1:]
		}
	}
}

func (l link) greet(of torrent, further []byte) {
	<-l.opened
	l.send(append([]byte(protocol+of.hash+id), further...))
	l.take(68)
}

func (of torrent) get(peer link) []byte {
	peer.greet(of, []byte{0, 0, 0, 1, interested})
	file, asked, missing := make([]byte, of.length), 0, of.length
	ask := func() {
		if asked < of.length {
			length := of.length - asked
			if length > block {
				length = block
			}
			peer.send(numbers(request, asked/of.pieceLength, asked%of.pieceLength, length))
			asked += length
		}
	}
	for missing > 0 {
		switch kind, bytes := peer.next(); kind {
		case unchoke:
			for i := 0; i < underWay; i++ {
				ask()
			}
		case piece:
			missing -= copy(file[of.position(bytes):], bytes[8:])
			ask()
		}
	}
	return file
}

func (of torrent) give(peer link, file []byte) {
	has := make([]byte, ((of.length+of.pieceLength-1)/of.pieceLength+7)/8)
	for i := 0; i < of.length; i += of.pieceLength {
		has[i/of.pieceLength/8] |= 0x80 >> (i / of.pieceLength % 8)
	}
	first := binary.BigEndian.AppendUint32(nil, uint32(1+len(has)))
	peer.greet(of, append(append(append(first, bitfield), has...), 0, 0, 0, 1, unchoke))
	for {
		if kind, bytes := peer.next(); kind == request {
			start, length := of.position(bytes), int(binary.BigEndian.Uint32(bytes[8:]))
			answer := binary.BigEndian.AppendUint32(nil, uint32(9+length))
			answer = append(append(answer, piece), bytes[:8]...)
			peer.send(append(answer, file[start:start+length]...))
		}
	}
}

// Where in the file a block is whose message begins with these bytes.
func (of torrent) position(bytes []byte) int {
	return int(binary.BigEndian.Uint32(bytes))*of.pieceLength + int(binary.BigEndian.Uint32(bytes[4:]))
}

func numbers(kind byte, values ...int) []byte {
	bytes := append(binary.BigEndian.AppendUint32(nil, uint32(1+4*len(values))), kind)
	for _, value := range values {
		bytes = binary.BigEndian.AppendUint32(bytes, uint32(value))
	}
	return bytes
}

// Trackers take bytes as code points.
func latin1(bytes string) string {
	var points []rune
	for i := 0; i < len(bytes); i++ {
		points = append(points, rune(bytes[i]))
	}
	return string(points)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
