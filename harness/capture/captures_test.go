package capture

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/muster/muster/fixtures"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/trace"
)

// ways are the orders in which packets and secrets can come.
var ways = []struct {
	name string
	feed func(t *testing.T, d *Decoder, c *fixtures.Capture)
}{
	{"secrets first", func(t *testing.T, d *Decoder, c *fixtures.Capture) {
		addSecrets(d, c)
		feed(d, c)
	}},
	{"secrets last", func(t *testing.T, d *Decoder, c *fixtures.Capture) {
		feed(d, c)
		addSecrets(d, c)
	}},
	{"secrets in the middle", func(t *testing.T, d *Decoder, c *fixtures.Capture) {
		all, _ := sightings(c)
		for i, s := range all {
			if i == len(all)/2 {
				addSecrets(d, c)
			}
			d.Sight(s)
		}
	}},
	{"TCP credentials without a nonce", func(t *testing.T, d *Decoder, c *fixtures.Capture) {
		feed(d, c)
		for _, s := range c.Conns {
			d.AddCredentials(nil, [40]byte(s.Credentials), trace.DeviceID(c.DeviceID))
		}
		c = &fixtures.Capture{Sessions: c.Sessions}
		addSecrets(d, c)
	}},
}

func feed(d *Decoder, c *fixtures.Capture) {
	all, _ := sightings(c)
	for _, s := range all {
		d.Sight(s)
	}
}

// TestCaptures decodes every recording and compares each packet with what an
// independent decoder wrote beside it.
func TestCaptures(t *testing.T) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			captures, messages := 0, 0
			for _, c := range fixtures.Captures() {
				d, got := newTestDecoder()
				way.feed(t, d, c)
				d.Flush()
				slices.SortFunc(got.packets, func(a, b *trace.Packet) int { return cmp.Compare(a.Serial, b.Serial) })
				messages += compare(t, c, got.packets)
				captures++
			}
			if captures != 137 || messages != 4484 {
				t.Errorf("%d recordings with %d messages", captures, messages)
			}
		})
	}
}

func compare(t *testing.T, c *fixtures.Capture, packets []*trace.Packet) (messages int) {
	t.Helper()
	_, items := sightings(c)
	if len(packets) != len(items) {
		t.Fatalf("%s: %d packets, want %d", c.Name, len(packets), len(items))
	}
	for i, p := range packets {
		where := fmt.Sprintf("%s: packet %d at %v", c.Name, i+1, p.At)
		if want := items[i].Op == fixtures.OpUp; (p.Direction == trace.Up) != want || p.Size != len(items[i].Data) {
			t.Fatalf("%s: %v, %d bytes", where, p.Direction, p.Size)
		}
		got, want := comments(p), wantedComments(c, items[i])
		if !slices.Equal(got, want) {
			t.Fatalf("%s:\n got %s\nwant %s", where, strings.Join(got, "\n     "), strings.Join(want, "\n     "))
		}
		for _, m := range p.Messages() {
			messages++
			checkMessage(t, where, c, m)
		}
		if p.Device != trace.DeviceID(c.DeviceID) && len(p.Messages()) > 0 && !first(packets[:i+1], p) {
			t.Errorf("%s: %v", where, p.Device)
		}
	}
	return messages
}

// first reports whether p is the first packet of its association with a message:
// until then the device is not known.
func first(packets []*trace.Packet, p *trace.Packet) bool {
	for _, q := range packets[:len(packets)-1] {
		if q.Association == p.Association && len(q.Messages()) > 0 {
			return false
		}
	}
	return true
}

// comments are the lines of a packet in the words of the independent decoder.
func comments(p *trace.Packet) (lines []string) {
	for _, line := range p.Lines() {
		lines = append(lines, strings.Replace(line, " sealed", " (not decryptable with the recorded sessions)", 1))
	}
	return lines
}

// wantedComments are the lines of the independent decoder that a Packet has too:
// not the fields of handshake messages, and not the RSA plaintexts.
func wantedComments(c *fixtures.Capture, item fixtures.Item) (lines []string) {
	for _, line := range item.Comments {
		word, _, _ := strings.Cut(line, " ")
		switch {
		case word == "" || word == "note:" || word == "datagram" || word == "change_cipher_spec":
		case word == "truncated":
			lines = append(lines, fmt.Sprintf("dtls: dropped: truncated record: %d bytes", len(item.Data)))
		case word == "record":
			head, tail, open := strings.Cut(line, " -> ")
			if !open {
				lines = append(lines, line)
				continue
			}
			content, tail, _ := strings.Cut(tail, ",")
			head += " -> " + content
			if _, padding, ok := strings.Cut(tail, ", padding "); ok {
				padding, _, _ = strings.Cut(padding, " ")
				head += ", padding " + padding
			}
			lines = append(lines, strings.TrimSuffix(head, " "))
		case word == "C1:":
			lines = append(lines, "C1 (256 bytes)")
			return lines
		case strings.HasPrefix(word, "C2("):
			lines = append(lines, "C2|S (384 bytes)")
		default:
			line, _, _ = strings.Cut(line, " (product=") // the fields of a Hello
			lines = append(lines, line)
		}
	}
	return lines
}

// checkMessage checks what a comment does not say.
func checkMessage(t *testing.T, where string, c *fixtures.Capture, m *trace.Message) {
	t.Helper()
	if !bytes.Equal(m.CoAP.Append(nil), m.Wire) {
		t.Errorf("%s: %v does not encode to %x", where, m, m.Wire)
	}
	switch m.Kind {
	case pdc.KindInvalid, pdc.KindUnknown, pdc.KindResponse:
		t.Errorf("%s: %v", where, m)
	default: // it was understood
	}
	if m.Exchange == 0 {
		t.Errorf("%s: %v answers nothing", where, m)
	}
	if _, err := m.Parse(); err != nil && !(m.Kind == pdc.KindUpdateChunk && len(m.CoAP.Payload) == 0) {
		t.Errorf("%s: %v: %v", where, m, err)
	}
}
