package capture

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"testing"
	"time"

	"github.com/muster/muster/fixtures"
	"github.com/muster/muster/protocol/trace"
	"github.com/muster/muster/transport"
)

// TestOneSightingComesLate shows each packet of the beginning of every recording
// behind the next one of the other side, or the next three of anybody: on a busy
// machine a goroutine can stand still between sending and telling. What the wire
// says is decoded all the same.
func TestOneSightingComesLate(t *testing.T) {
	const beginning = 14
	for _, c := range fixtures.Captures() {
		all, _ := sightings(c)
		want := messagesOf(c, all)
		for i := 0; i < min(len(all)-1, beginning); i++ {
			if !all[i].Sent || all[i].Kind == transport.StreamOpened {
				continue // what is received is told before anybody answers it
			}
			for _, late := range []int{1, 3} {
				moved := append([]transport.Sighting{}, all...)
				for j := i; j < i+late && j+1 < len(moved); j++ {
					if moved[j].Sent && moved[j+1].Sent {
						break // one goroutine sends and tells in order
					}
					moved[j], moved[j+1] = moved[j+1], moved[j]
				}
				if got := messagesOf(c, moved); got != want {
					t.Errorf("%s: packet %d told %d behind its time: %d messages decoded, want %d", c.Name, i, late, got, want)
				}
			}
		}
	}
}

// tcpKeys are the keys of the parties of the recordings over TCP, by name.
var tcpKeys = func() map[string]struct{ cloud, device *rsa.PrivateKey } {
	all := make(map[string]struct{ cloud, device *rsa.PrivateKey })
	for _, c := range fixtures.Captures() {
		if c.Transport == "tcp" {
			all[c.Name] = struct{ cloud, device *rsa.PrivateKey }{mustRSA(c.ServerKey), mustRSA(c.DeviceKey)}
		}
	}
	return all
}()

func mustRSA(der []byte) *rsa.PrivateKey {
	key, err := x509.ParsePKCS1PrivateKey(bytes.TrimRight(der, "\x00"))
	if err != nil {
		panic(err)
	}
	return key
}

// messagesOf counts the messages that a Decoder with the parties' keys, or the
// secrets of DTLS sessions, finds.
func messagesOf(c *fixtures.Capture, all []transport.Sighting) int {
	d, _ := newTestDecoder(func(cfg *Config) {
		if c.Transport == "tcp" {
			cfg.CloudKey = tcpKeys[c.Name].cloud
		}
	})
	if c.Transport == "tcp" {
		d.AddDevice(trace.DeviceID(c.DeviceID), c.DeviceSPKI, tcpKeys[c.Name].device)
	} else {
		addSecrets(d, c)
	}
	for _, s := range all {
		d.Sight(s)
	}
	d.Flush()
	return int(d.Counts().Messages)
}

// TestChunkBehindTheEnd shows the last thing that a device wrote behind the end of
// its connection.
func TestChunkBehindTheEnd(t *testing.T) {
	c := fixtures.ByName("v6.2.0-tcp-session")
	all, _ := sightings(c)
	cut := 0
	for i, s := range all {
		if s.Kind == transport.StreamChunk && s.Stream == all[0].Stream && s.Sent {
			cut = i
		}
	}
	first := append([]transport.Sighting{}, all[:cut]...)
	end := all[cut]
	end.Kind, end.Data = transport.StreamEnded, nil
	want := messagesOf(c, append(append([]transport.Sighting{}, all[:cut+1]...), end))
	if got := messagesOf(c, append(first, end, all[cut])); got != want {
		t.Errorf("%d messages decoded, want %d", got, want)
	}
}

// TestAnswerBeforeItsQuestion shows an answer while the goroutine that sent the
// question has not told yet, for longer than sightings wait for one another.
func TestAnswerBeforeItsQuestion(t *testing.T) {
	c := fixtures.ByName("v6.2.0-udp-session")
	all, _ := sightings(c)
	question, answer := all[0], all[1]
	answer.At = question.At.Add(time.Millisecond)
	begins := transport.Sighting{At: question.At, Kind: transport.SendBegins}
	ends := begins
	ends.Kind = transport.SendEnds
	reorder := func(cfg *Config) { cfg.Reorder = 20 * time.Millisecond }

	d, got := newTestDecoder(reorder)
	d.Sight(begins)
	d.Sight(answer)
	d.Advance(question.At.Add(time.Second))
	if len(got.packets) > 0 {
		t.Fatal("the answer was let in before its question was told")
	}
	d.Sight(question)
	d.Sight(ends)
	d.Advance(question.At.Add(time.Second))
	if len(got.packets) != 2 || got.packets[0].Direction != trace.Up || got.packets[1].Direction != trace.Down {
		t.Errorf("got %v", got.packets)
	}

	d, got = newTestDecoder(reorder)
	d.Sight(begins) // and its peer does not read
	d.Sight(answer)
	d.Advance(question.At.Add(sendMax + time.Second))
	if len(got.packets) != 1 {
		t.Errorf("a write that lasts holds up everything: %v", got.packets)
	}
}
