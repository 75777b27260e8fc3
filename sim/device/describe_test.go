package device

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
)

// big gives the application a describe of more than one block.
func big(c *Config) {
	c.App.SetupOnConnect = false
	for i := range 90 {
		c.App.Functions = append(c.App.Functions, Function{Name: fmt.Sprintf("function_number_%02d", i), Call: func(ID, []byte) int32 { return 0 }})
	}
}

// PDC-3.1: how a describe is answered in each release (D-9).
func TestDescribeRequest(t *testing.T) {
	const app = `{"f":["echo","len","pub","set","reset"],"v":{"vInt":2,"vDouble":9,"vBool":1,"vString":4,"lastEvent":4,"rxEvents":2}}`
	hex := func(s string) string { return fmt.Sprintf("%x", s) }
	w := newWorld(t, "gcc-udp@1.4.4").online()
	w.dialogue("41 01 20 02 5a b1 64 41 02", "61 45 20 02 5a ff"+hex(app))
	w.dialogue("41 01 97 b2 28 b1 64", "61 45 97 b2 28 ff"+hex(app[:len(app)-1]+`,"p":3,"m":[]}`))
	w = newWorld(t, "gcc-udp@2.3.0").online()
	w.dialogue("41 01 20 02 5a b1 64 41 02", "60 00 20 02", "41 45 __ __ 5a ff"+hex(app))
	w = newWorld(t, "gcc@2.3.0").online()
	w.dialogue("41 01 20 02 5a b1 64 41 02", "60 00 20 02", "41 45 __ __ 5a ff"+hex(app))
	w = newWorld(t, "gcc-udp@3.3.1").online()
	w.dialogue("41 01 20 02 5a b1 64 41 02", "60 00 20 02", "41 45 __ __ 5a ff"+hex(app))
	w.dialogue("41 01 20 03 5a b1 64 41 03", "60 00 20 03", "41 45 __ __ 5a ff"+hex(app[:len(app)-1]+`,"p":3,"m":[]}`))
}

// N-15: what a describe request may get wrong since 3.3, with the connection
// alive afterwards.
func TestDescribeErrors(t *testing.T) {
	w := newWorld(t, "boron@6.2.0", big).online()
	for _, c := range []struct{ send, want string }{
		{"41 01 20 02 5a b1 64", "61 80 20 02 5a"},
		{"51 01 20 03 5a b1 64 41 02", "51 80 __ __ 5a"},
		{"42 01 20 04 5a 5b b1 64 41 02", "62 80 20 04 5a 5b"},
		{"40 01 20 05 b1 64 41 02", "60 80 20 05"},
		{"41 01 20 06 5a b1 64 41 02 81 04", "61 82 20 06 5a"},
		{"41 01 20 07 5a b1 64 41 02 81 16", "61 84 20 07 5a"},
		{"41 01 20 08 5a b1 64 41 02 82 0f f6", "61 84 20 08 5a"},
	} {
		w.dialogue(c.send, c.want)
	}
	w.alive()
}

// N-14: not exactly one describe, since 5.5: an empty ACK, then the end.
func TestDescribeOfNothing(t *testing.T) {
	for _, flags := range []string{"00", "03", "08"} {
		w := newWorld(t, "boron@6.2.0").online()
		w.dialogue("41 01 20 02 5a b1 64 41 "+flags, "60 00 20 02")
		w.gone(MalformedMessage, false)
		w.pass(time.Second)
		if e := w.wantEvent(Online); !e.Resumed {
			t.Error("not resumed")
		}
	}
}

// PDC-3.2, D-10: blocks of 1024 bytes, one ETag, kept for 90 s.
func TestDescribeInBlocks(t *testing.T) {
	w := newWorld(t, "boron@6.2.0", big).online()
	fetch := func(num int) pdc.DescribeResponse {
		t.Helper()
		w.clear()
		w.tell(pdc.DescribeRequest{Token: []byte{byte(num + 1)}, Flags: pdc.DescribeApplication, Block: &coap.Block{Num: uint32(num), SZX: 6}})
		if len(w.sent) != 2 {
			t.Fatalf("block %d: %v", num, w.kinds())
		}
		r, err := pdc.ParseDescribeResponse(w.sent[1].m)
		if err != nil || r.Block == nil || r.Block.Num != uint32(num) {
			t.Fatalf("block %d: %v %+v", num, err, r)
		}
		return r
	}
	var body []byte
	first := fetch(0)
	body = append(body, first.Payload...)
	for num := 1; ; num++ {
		r := fetch(num)
		if !bytes.Equal(r.ETag, first.ETag) {
			t.Errorf("ETag %x, then %x", first.ETag, r.ETag)
		}
		if body = append(body, r.Payload...); !r.Block.More {
			break
		}
	}
	a, err := pdc.ParseApplicationDescribe(body)
	if err != nil || len(a.Functions) != 95 {
		t.Errorf("%d functions, %v", len(a.Functions), err)
	}
	fetch(0)
	w.pass(100 * time.Second)
	w.dialogue("41 01 20 77 5a b1 64 41 02 81 16", "61 84 20 77 5a")
	if w.dev.work != nil {
		t.Error("work is not let go of")
	}
}

// PDC-3.3: a large describe is posted block by block, each with an id and a
// token of its own; whatever the code of the ACK, the next follows.
func TestPostInBlocks(t *testing.T) {
	w := newWorld(t, "boron@6.2.0", big)
	codes := []byte{0, 0x5f, 0x44, 0x80}
	n := 0
	w.peer.answer = func(m message) ([][]byte, bool) {
		if m.kind != pdc.KindDescribePost {
			return nil, false
		}
		n++
		return [][]byte{{0x60, codes[n%len(codes)], m.wire[2], m.wire[3]}}, true
	}
	w.online()
	var body []byte
	tokens := map[byte]bool{}
	for _, m := range w.sent {
		p, err := pdc.ParseDescribePost(m.m)
		if err != nil || p.Flags != pdc.DescribeApplication {
			continue
		}
		if p.Block == nil || int(p.Block.Num)*1024 != len(body) || tokens[p.Token[0]] {
			t.Fatalf("block %+v after %d bytes, token %x", p.Block, len(body), p.Token)
		}
		tokens[p.Token[0]] = true
		body = append(body, p.Payload...)
	}
	if a, err := pdc.ParseApplicationDescribe(body); err != nil || len(a.Functions) != 95 {
		t.Errorf("%d functions, %v", len(a.Functions), err)
	}
	w.do(w.dev.Disconnect)
	w.clear().do(w.dev.Connect)
	w.pass(time.Second)
	if got := strings.Join(w.kinds(), ", "); strings.Contains(got, "describe") {
		t.Errorf("a known describe is posted again: %s", got)
	}
}

// D-1: describes that wait behind one in blocks are merged.
func TestPostQueue(t *testing.T) {
	w := newWorld(t, "boron@6.2.0", big).online()
	w.peer.deaf = true
	w.clear().do(func(now clock.Instant, out *Out) {
		w.dev.postDescribe(now, pdc.DescribeApplication, out)
		w.dev.postDescribe(now, pdc.DescribeSystem, out)
		w.dev.postDescribe(now, pdc.DescribeMetrics, out)
		w.dev.postDescribe(now, pdc.DescribeSystem, out)
	})
	if got := strings.Join(w.kinds(), ", "); got != "describe 2" {
		t.Errorf("sent %s", got)
	}
	w.peer.deaf = false
	w.pass(20 * time.Second)
	got := strings.Join(w.kinds(), ", ")
	if strings.Count(got, "describe 1") != 1 || strings.Count(got, "describe 4") != 1 || w.dev.work != nil {
		t.Errorf("sent %s", got)
	}
}

// PDC-3.7.
func TestVitals(t *testing.T) {
	w := newWorld(t, "boron@6.2.0", func(c *Config) {
		c.App.Vitals = func(ID) []pdc.Metric {
			return []pdc.Metric{{ID: pdc.MetricUptime, Value: 12345}, {ID: pdc.MetricFreeMemory, Value: 76000}, {ID: pdc.MetricRSSI, Value: -210, Failed: true}}
		}
	}).online()
	w.dialogue("41 01 20 02 5b b1 64 41 04", "60 00 20 02", "41 45 __ __ 5b ff 00 04 00 02 00 04 00 06 00 39 30 00 00 02 00 e0 28 01 00 13 80 2e ff ff ff")
	w.clear().do(w.dev.PublishVitals)
	if got := strings.Join(w.kinds(), ", "); got != "describe 4" {
		t.Errorf("sent %s", got)
	}
}

// PDC-3.6: the system describe of a real board has what a cloud needs.
func TestSystemDescribe(t *testing.T) {
	for _, name := range []string{"boron@6.2.0", "boron@3.1.0", "photon@2.3.1", "electron@1.4.4", "p2@6.2.0"} {
		w := newWorld(t, name).online()
		body, protobuf := w.dev.describe(w.now, pdc.DescribeSystem)
		parse := pdc.ParseSystemDescribeJSON
		if protobuf {
			parse = pdc.ParseSystemDescribe
		}
		s, err := parse(body)
		if err != nil || len(s.Modules) < 3 || len(s.Missing()) != 0 {
			t.Errorf("%s: %v, %d modules, missing %v", name, err, len(s.Modules), s.Missing())
		}
		for _, m := range s.Modules {
			if !m.Valid() {
				t.Errorf("%s: %+v is not valid", name, m)
			}
		}
	}
}
