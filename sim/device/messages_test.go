package device

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
)

// dialogue sends messages in hex and wants the device's, in hex; "__" in what is
// wanted matches any byte.
func (w *world) dialogue(send string, want ...string) {
	w.t.Helper()
	w.clear().send("%s", send)
	if len(w.sent) != len(want) {
		w.t.Errorf("%s: the device sent %d messages, want %d: %v", send, len(w.sent), len(want), w.kinds())
		return
	}
	for i, m := range w.sent {
		got, pattern := hex.EncodeToString(m.wire), strings.ReplaceAll(want[i], " ", "")
		for j := 0; j+1 < len(pattern) && j+1 < len(got); j += 2 {
			if pattern[j] == '_' {
				pattern = pattern[:j] + got[j:j+2] + pattern[j+2:]
			}
		}
		if got != pattern {
			w.t.Errorf("%s: message %d is %s, want %s", send, i, got, pattern)
		}
	}
}

// D-7, PDC-5.1: the ACK first, the result in a message of its own; no result
// for an unknown name; 4.00 for an argument that is too long.
func TestFunctionCalls(t *testing.T) {
	for _, c := range []struct{ profile, result string }{
		{"boron@6.2.0", "41 44 __ __ ef ff 00 00 00 06"},
		{"electron@0.5.3", "41 44 __ __ ef ff 00 00 00 06"},
		{"photon@3.1.0", "51 44 __ __ ef ff 00 00 00 06"},
		{"photon@0.5.3", "51 44 __ __ ef ff 00 00 00 06"},
	} {
		w := newWorld(t, c.profile).online()
		w.dialogue("41 02 97 b2 ef b1 66 03 6c 65 6e 46 33 32 2c 32 34 30", "60 00 97 b2", c.result)
		e := w.wantEvent(FunctionCalled)
		if e.Name != "len" || string(e.Data) != "32,240" || e.Value != 6 {
			t.Errorf("%s: %+v", c.profile, e)
		}
		w.dialogue("41 02 20 21 62 b1 66 03 6c 65 6e 40", "60 00 20 21", strings.Replace(c.result[:12], "44", "44", 1)+"62 ff 00 00 00 00")
		w.dialogue("41 02 20 22 62 b1 66 02 6e 6f 40", "60 00 20 22")
		limit := w.dev.Dialect().Limits().Argument
		if limit < 600 {
			long := strings.Repeat("61", limit+1)
			w.dialogue(fmt.Sprintf("41 02 20 23 63 b1 66 03 6c 65 6e 4d %02x %s", limit+1-13, long), "60 80 20 23", c.result[:12]+"63 ff 00 00 00 __")
		}
		w.alive()
	}
}

// D-3, N-19: a duplicate is answered as before and executed once, within 45 s.
func TestDuplicateCall(t *testing.T) {
	w := newWorld(t, "boron@6.2.0").online()
	const call = "41 02 20 21 62 b1 66 03 6c 65 6e 41 61"
	w.dialogue(call, "60 00 20 21", "41 44 __ __ 62 ff 00 00 00 01")
	w.dialogue(call, "60 00 20 21")
	w.wantNoEvent(FunctionCalled)
	w.pass(40 * time.Second)
	w.dialogue(call, "60 00 20 21")
	w.pass(46 * time.Second)
	w.dialogue(call, "60 00 20 21", "41 44 __ __ 62 ff 00 00 00 01")
}

// A function that takes its time answers when it is done, on whatever connection
// there is.
func TestSlowFunction(t *testing.T) {
	w := newWorld(t, "boron@6.2.0", func(c *Config) { c.App.Functions[1].Delay = 3 * time.Second }).online()
	w.dialogue("41 02 20 21 62 b1 66 03 6c 65 6e 41 61", "60 00 20 21")
	w.do(w.dev.NetworkChanged)
	w.pass(2 * time.Second)
	w.wantSent("60 00 20 21")
	w.pass(2 * time.Second)
	if len(w.sent) != 1 || w.sent[0].m.Code != coap.Changed {
		t.Errorf("sent %v", w.kinds())
	}
	if w.dev.work != nil {
		t.Error("work is not let go of")
	}
}

// D-8, PDC-5.2.
func TestVariables(t *testing.T) {
	w := newWorld(t, "electron@1.4.4").online()
	w.dialogue("41 01 20 30 71 b1 76 04 76 49 6e 74", "61 45 20 30 71 ff 00 00 00 2a")
	w.dialogue("41 01 20 31 71 b1 76 05 76 42 6f 6f 6c", "61 45 20 31 71 ff 01")
	w.dialogue("41 01 20 32 71 b1 76 02 6e 6f", "61 45 20 32 71 ff 00 00 00 00")
	w = newWorld(t, "electron@1.5.2").online()
	w.dialogue("41 01 20 30 71 b1 76 07 76 44 6f 75 62 6c 65", "60 00 20 30", "41 45 __ __ 71 ff 00 00 00 00 00 00 0a 40")
	w.dialogue("41 01 20 31 71 b1 76 09 6c 61 73 74 45 76 65 6e 74", "60 00 20 31", "41 45 __ __ 71")
	w.dialogue("41 01 20 32 71 b1 76 02 6e 6f", "60 00 20 32", "41 84 __ __ 71")
	w = newWorld(t, "photon@3.1.0").online()
	w.dialogue("41 01 20 30 71 b1 76 07 76 53 74 72 69 6e 67", "60 00 20 30", "51 45 __ __ 71 ff 68 65 6c 6c 6f")
}

// D-21.
func TestSignal(t *testing.T) {
	for _, name := range []string{"boron@6.2.0", "photon@0.5.3"} {
		w := newWorld(t, name).online()
		w.dialogue("41 03 ab cd ef b1 73 41 01", "61 44 ab cd ef")
		if e := w.wantEvent(Signalled); e.Value != 1 {
			t.Error("not started")
		}
		w.dialogue("41 03 ab ce ef b1 73 41 00", "61 44 ab ce ef")
		if e := w.wantEvent(Signalled); e.Value != 0 {
			t.Error("not stopped")
		}
	}
}

// A ping of the cloud is acknowledged: with its id over UDP, with the device's
// own next id over TCP (captures).
func TestPingOfTheCloud(t *testing.T) {
	w := newWorld(t, "boron@6.2.0").online()
	w.dialogue("40 00 20 0a", "60 00 20 0a")
	w = newWorld(t, "photon@3.1.0").online()
	next := w.sent[len(w.sent)-1].m.ID + 1
	w.dialogue("40 00 20 0a", fmt.Sprintf("60 00 %04x", next))
}

// D-6, PDC-4.1.
func TestPublish(t *testing.T) {
	for _, c := range []struct {
		name, profile string
		p             Publication
		want          string
	}{
		{"private", "boron@6.2.0", Publication{Name: "temp", Data: []byte("21.5")}, "40 02 __ __ b1 45 04 74 65 6d 70 ff 32 31 2e 35"},
		{"public", "boron@6.1.1", Publication{Name: "x", Public: true}, "40 02 __ __ b1 65 01 78"},
		{"public is gone", "boron@6.2.0", Publication{Name: "x", Public: true}, "40 02 __ __ b1 45 01 78"},
		{"structured", "boron@6.2.0", Publication{Name: "temp", Data: []byte{0xa1, 0x61, 0x76, 0x18, 0x2a}, Format: pdc.FormatStructured}, "40 02 __ __ b1 45 04 74 65 6d 70 12 fd e9 ff a1 61 76 18 2a"},
		{"format before 6.2", "boron@6.1.1", Publication{Name: "x", Format: pdc.FormatCBOR}, "40 02 __ __ b1 45 01 78"},
		{"ttl", "boron@6.2.0", Publication{Name: "temp", Data: []byte("21.5"), TTL: 3600}, "40 02 __ __ b1 45 04 74 65 6d 70 32 0e 10 ff 32 31 2e 35"},
		{"ttl before 6.2", "photon@0.5.3", Publication{Name: "lake-depth/1", Data: []byte("28m"), TTL: 21600}, "50 02 __ __ b1 45 0c 6c 61 6b 65 2d 64 65 70 74 68 2f 31 33 00 54 60 ff 32 38 6d"},
		{"default ttl", "boron@6.2.0", Publication{Name: "x", TTL: 60}, "40 02 __ __ b1 45 01 78"},
		{"empty up to 2.x", "boron@2.3.1", Publication{Name: "x", Data: []byte{}}, "40 02 __ __ b1 45 01 78 ff"},
		{"empty since 3.0", "boron@3.0.0", Publication{Name: "x", Data: []byte{}}, "40 02 __ __ b1 45 01 78"},
		{"no ack", "boron@6.2.0", Publication{Name: "x", NoAck: true}, "50 02 __ __ b1 45 01 78"},
		{"with ack over TCP", "photon@3.1.0", Publication{Name: "x", WithAck: true}, "40 02 __ __ b1 45 01 78"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, c.profile).online()
			w.clear().do(func(now clock.Instant, out *Out) {
				if err := w.dev.Publish(now, c.p, out); err != nil {
					t.Error(err)
				}
			})
			if len(w.sent) != 1 || strings.TrimSpace(hexSpaced(w.sent[0].wire, 2, 3)) != c.want {
				t.Fatalf("sent %v, want %s", hexSpaced(w.sent[0].wire, 2, 3), c.want)
			}
			w.wantEvent(Published)
		})
	}
}

// D-6: four events in a second, and a refused attempt counts.
func TestPublishRate(t *testing.T) {
	w := newWorld(t, "boron@6.2.0").online()
	publish := func(name string) error {
		var err error
		w.do(func(now clock.Instant, out *Out) { err = w.dev.Publish(now, Publication{Name: name}, out) })
		return err
	}
	w.clear()
	for i := range 5 {
		if err := publish("x"); (err != nil) != (i == 4) {
			t.Errorf("event %d: %v", i+1, err)
		}
	}
	if len(w.sent) != 4 {
		t.Errorf("%d on the wire", len(w.sent))
	}
	w.pass(999 * time.Millisecond)
	if err := publish("x"); !errors.Is(err, RateLimited) {
		t.Errorf("999 ms after a burst and a refusal: %v", err)
	}
	w.pass(time.Millisecond)
	if err := publish("x"); err != nil {
		t.Errorf("1 s after: %v", err)
	}
	sent := 0
	for range 300 {
		if publish("spark/device/name") == nil {
			sent++
		}
	}
	if sent < 200 || sent > 255 {
		t.Errorf("%d system events in a block", sent)
	}
}

func TestPublishRefused(t *testing.T) {
	w := newWorld(t, "photon@0.5.3")
	publish := func(p Publication) error { return w.dev.Publish(w.now, p, &w.out) }
	if err := publish(Publication{Name: "x"}); !errors.Is(err, NotConnected) {
		t.Errorf("switched off: %v", err)
	}
	w.online()
	if err := publish(Publication{Name: strings.Repeat("x", 64)}); !errors.Is(err, NameTooLong) {
		t.Errorf("64 characters: %v", err)
	}
	if err := publish(Publication{Name: "x", Data: make([]byte, 256)}); !errors.Is(err, DataTooLong) {
		t.Errorf("256 bytes: %v", err)
	}
}

// D-6: a publish that wants an ACK fails after 20 s, or by an error code.
func TestPublishWithAck(t *testing.T) {
	for _, c := range []struct {
		name  string
		reply []byte
		kind  EventKind
		after time.Duration
	}{
		{"acknowledged", []byte{0x60, 0}, Published, 0}, {"refused", []byte{0x60, 0x80}, PublishFailed, 0}, {"silence", nil, PublishFailed, 20 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, "boron@6.2.0").online()
			w.peer.answer = func(m message) ([][]byte, bool) {
				if m.kind != pdc.KindPublish || c.reply == nil {
					return nil, m.kind == pdc.KindPublish
				}
				return [][]byte{append(append([]byte{}, c.reply...), m.wire[2], m.wire[3])}, true
			}
			w.clear().do(func(now clock.Instant, out *Out) {
				_ = w.dev.Publish(now, Publication{Name: "x", WithAck: true, Tag: 9}, out)
			})
			w.pass(c.after)
			if e := w.wantEvent(c.kind); e.Tag != 9 {
				t.Errorf("%+v", e)
			}
			if w.dev.work != nil {
				t.Error("work is not let go of")
			}
		})
	}
}

// PDC-4.3: prefix match, per-version options, typed handlers in 6.2.
func TestEventDelivery(t *testing.T) {
	subscribe := func(c *Config) {
		c.App.Subscriptions = []pdc.Subscribe{{Filter: "a"}, {Filter: "a/b", Type: pdc.HandlerBinary}, {Filter: "cfg", Type: pdc.HandlerStructured}}
	}
	count := func(w *world) (n int, last Event) {
		for _, e := range w.events {
			if e.Kind == EventReceived {
				n, last = n+1, e
			}
		}
		return n, last
	}
	for _, c := range []struct {
		name, profile, wire string
		acks, handlers      int
		data                string
	}{
		{"two handlers", "boron@6.2.0", "40 02 20 11 b1 45 01 61 01 62 ff 78", 1, 2, "x"},
		{"NON", "boron@6.2.0", "50 02 20 11 b1 45 01 61 ff 78", 0, 1, "x"},
		{"split path and Max-Age", "boron@6.1.1", "50 02 97 53 b1 65 01 61 01 62 01 63 01 64 31 3c ff 78 79 7a", 0, 2, "xyz"},
		{"text handler and binary data", "boron@6.2.0", "40 02 20 11 b1 45 01 61 11 2a ff 78", 1, 0, ""},
		{"structured", "boron@6.2.0", "40 02 20 11 b1 45 03 63 66 67 11 3c ff 78", 1, 1, "x"},
		{"structured as published", "boron@6.2.0", "40 02 20 11 b1 45 03 63 66 67 12 fd e9 ff 78", 1, 0, ""},
		{"N-11 Content-Format up to 6.1", "boron@6.1.1", "40 02 20 11 b1 45 01 61 11 2a ff 78", 1, 1, "null"},
		{"CON over TCP", "photon@3.1.0", "40 02 20 11 b1 45 01 61 ff 78", 0, 1, "x"},
		{"nobody", "boron@6.2.0", "40 02 20 11 b1 45 01 7a ff 78", 1, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, c.profile, subscribe).online()
			w.clear().send("%s", c.wire)
			n, last := count(w)
			if len(w.sent) != c.acks || n != c.handlers {
				t.Errorf("%d answers, %d handlers; want %d, %d", len(w.sent), n, c.acks, c.handlers)
			}
			if data := string(last.Data); n > 0 && data != c.data && !(c.data == "null" && last.Data == nil) {
				t.Errorf("data %q, want %q", data, c.data)
			}
			w.alive()
		})
	}
}

// D-20: events that mean something to the device.
func TestSystemEvents(t *testing.T) {
	deliver := func(w *world, name, data string) {
		w.clear().tell(pdc.EventDelivery{Name: name, Data: []byte(data), Private: true})
	}
	t.Run("claim", func(t *testing.T) {
		w := newWorld(t, "boron@6.2.0")
		w.dev.NVRAM().ClaimCode = "code"
		w.online()
		deliver(w, "spark/device/claim/done", "x")
		w.wantEvent(Claimed)
		if w.dev.NVRAM().ClaimCode != "" {
			t.Error("the code is still there")
		}
	})
	for _, c := range []struct {
		data  string
		why   pdc.ResetReason
		after State
	}{{"reboot", pdc.ResetUser, Connected}, {"safe mode", pdc.ResetSafeMode, Connected}, {"dfu", pdc.ResetDFU, Off}} {
		t.Run(c.data, func(t *testing.T) {
			w := newWorld(t, "boron@6.2.0").online()
			deliver(w, "spark/device/reset", c.data)
			if len(w.sent) != 2 || w.sent[0].m.Type != coap.Acknowledgement || w.sent[1].kind != pdc.KindGoodbye {
				t.Errorf("sent %v", w.kinds())
			}
			if e := w.wantEvent(Restarting); e.Reset != c.why {
				t.Errorf("restarts by %v", e.Reset)
			}
			w.pass(5 * time.Second)
			if w.dev.State() != c.after {
				t.Errorf("then %v", w.dev.State())
			}
			if c.data == "safe mode" {
				got := strings.Join(w.kinds(), ", ")
				if !strings.Contains(got, "spark/device/safemode") || strings.Contains(got, "vdev") {
					t.Errorf("sent %s", got)
				}
			}
		})
	}
	t.Run("unknown command", func(t *testing.T) {
		w := newWorld(t, "boron@6.2.0").online()
		deliver(w, "spark/device/reset", "rebooot")
		w.alive()
	})
	t.Run("forced", func(t *testing.T) {
		w := newWorld(t, "boron@6.2.0").online()
		deliver(w, "particle/device/updates/forced", "true")
		w.wantEvent(UpdatesChanged)
		if p, _ := pdc.ParsePublish(w.sent[len(w.sent)-1].m); p.Name != "particle/device/updates/forced" || string(p.Data) != "true" {
			t.Errorf("no echo: %v", w.kinds())
		}
		deliver(w, "particle/device/updates/forced", "tr")
		if len(w.sent) != 1 {
			t.Errorf("an echo without a change: %v", w.kinds())
		}
		deliver(w, "particle/device/updates/pending", "true")
		if e := w.wantEvent(UpdatesChanged); e.Name != "pending" || e.Value != 1 {
			t.Errorf("%+v", e)
		}
	})
	t.Run("no payload crashes", func(t *testing.T) {
		w := newWorld(t, "boron@6.2.0").online()
		w.clear().tell(pdc.EventDelivery{Name: "particle/device/updates/pending", Private: true})
		if e := w.wantEvent(Restarting); e.Reset != pdc.ResetPanic {
			t.Errorf("%+v", e)
		}
	})
	t.Run("key restore", func(t *testing.T) {
		w := newWorld(t, "boron@3.1.0").online()
		deliver(w, "spark/device/key/restore", "x")
		w.wantEvent(KeyRestored)
		w.alive()
		w = newWorld(t, "boron@6.2.0").online()
		deliver(w, "spark/device/key/restore", "x")
		w.wantEvent(Restarting)
	})
}

// D-12: the time is bytes 6 to 9 of any 2.05, and one request at a time.
func TestTime(t *testing.T) {
	w := newWorld(t, "boron@6.2.0")
	w.peer.answer = func(m message) ([][]byte, bool) {
		return [][]byte{{0x60, 0, m.wire[2], m.wire[3]}}, m.kind == pdc.KindTimeRequest
	}
	w.online()
	w.clear().do(w.dev.SyncTime)
	w.do(w.dev.SyncTime)
	if len(w.sent) != 0 {
		t.Errorf("after an empty ACK, which is no answer: %v", w.kinds())
	}
	w.send("51 45 33 33 00 ff 69 55 b9 00")
	w.clear().do(w.dev.SyncTime)
	if len(w.sent) != 1 {
		t.Errorf("after a 2.05: %v", w.kinds())
	}
	if got := w.dev.Unix(w.now); got != 1767225600 {
		t.Errorf("the clock shows %d", got)
	}
	w.send("42 45 33 34 00 00 ff 69 55 b9 00") // N-51: a token of two bytes
	if got := w.dev.Unix(w.now); got != 0xff6955b9 {
		t.Errorf("the clock shows %#x", got)
	}
}
