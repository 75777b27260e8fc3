package device

import (
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
)

// A flasher sends an image by the legacy protocol.
type flasher struct {
	w     *world
	image []byte
	token byte
}

func (f *flasher) next() []byte { f.token++; return []byte{f.token} }

// begin offers the image and wants it taken.
func (f *flasher) begin(fast bool) {
	f.w.t.Helper()
	f.w.clear().tell(pdc.UpdateBegin{Token: f.next(), Fast: fast, ChunkSize: 512, Length: uint32(len(f.image))})
	if len(f.w.sent) != 2 || f.w.sent[0].m.Type != coap.Acknowledgement || f.w.sent[1].m.Code != coap.Changed {
		f.w.t.Fatalf("UpdateBegin was answered by %v", f.w.kinds())
	}
	if r, err := pdc.ParseUpdateReady(f.w.sent[1].m); err != nil || r.Fast != fast {
		f.w.t.Fatalf("%+v %v", r, err)
	}
}

func (f *flasher) count() int { return (len(f.image) + 511) / 512 }

// chunk returns a chunk, padded with zeros.
func (f *flasher) chunk(i int) []byte {
	b := make([]byte, 512)
	copy(b, f.image[i*512:])
	return b
}

func (f *flasher) fast(i int) {
	f.w.tell(pdc.Chunk{Token: f.next(), Fast: true, Index: uint16(i), Data: f.chunk(i), CRC: pdc.ChunkCRC(f.chunk(i))})
}

func (f *flasher) done() pdc.UpdateDoneResponse {
	f.w.t.Helper()
	f.w.clear().tell(pdc.UpdateDone{Token: f.next()})
	if len(f.w.sent) == 0 {
		f.w.t.Fatal("UpdateDone was not answered")
	}
	r, err := pdc.ParseUpdateDoneResponse(f.w.sent[0].m)
	if err != nil {
		f.w.t.Fatal(err)
	}
	return r
}

// missed returns the list of the last ChunkMissed.
func (f *flasher) missed() []uint16 {
	for i := len(f.w.sent) - 1; i >= 0; i-- {
		if m, err := pdc.ParseChunkMissed(f.w.sent[i].m); err == nil {
			return m.Indices
		}
	}
	return nil
}

var legacyProfiles = []string{
	"electron@0.5.3", "photon@0.5.3", "electron@1.4.4", "photon@1.4.4", "boron@2.3.1", "photon@2.3.1", "electron@3.1.0", "photon@3.1.0",
}

// D-17: a fast update with lost chunks, one of them damaged (N-40).
func TestLegacyFast(t *testing.T) {
	for _, name := range legacyProfiles {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, name).online()
			f := &flasher{w: w, image: image(w, pdc.ModuleUserPart, 5000)}
			f.begin(true)
			w.clear()
			for i := range f.count() {
				switch i {
				case 1, 5:
				case 3:
					w.tell(pdc.Chunk{Token: f.next(), Fast: true, Index: 3, Data: f.chunk(3), CRC: 1})
				default:
					f.fast(i)
				}
			}
			w.wantSent()
			if r := f.done(); r.Complete {
				t.Fatal("complete without three chunks")
			}
			if got := f.missed(); len(got) != 3 || got[0] != 1 || got[1] != 3 || got[2] != 5 {
				t.Fatalf("missed %v", got)
			}
			w.clear()
			f.fast(1)
			f.fast(3)
			f.fast(5)
			if w.dev.Profile().AtLeast(pdc.OS0_8) {
				r := f.done()
				if result, err := pdc.ParseUpdateReport(r.Report); !r.Complete || err != nil || result != 0 {
					t.Errorf("%+v %v %v", r, result, err)
				}
			} else if got := w.kinds(); got[0] != pdc.KindDeviceUpdateDone.String() {
				// Device OS: up to 0.7 the device finishes by itself (C-48).
				t.Errorf("sent %v", got)
			}
			w.wantEvent(UpdateApplied)
			w.pass(6 * time.Second)
			hello := pdc.Hello{}
			for _, m := range w.sent {
				if h, err := pdc.ParseHello(m.m); err == nil {
					hello = h
				}
			}
			if hello.Flags&pdc.HelloUpdated == 0 {
				t.Errorf("Hello with flags %04x", hello.Flags)
			}
		})
	}
}

// D-17: a slow update with a damaged chunk (N-41).
func TestLegacySlow(t *testing.T) {
	for _, name := range legacyProfiles {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, name).online()
			f := &flasher{w: w, image: image(w, pdc.ModuleUserPart, 2000)}
			f.begin(false)
			slow := func(i int, crc uint32, want coap.Code) {
				t.Helper()
				w.clear().tell(pdc.Chunk{Token: f.next(), Data: f.chunk(i), CRC: crc})
				if len(w.sent) != 2 || w.sent[0].m.Type != coap.Acknowledgement || w.sent[1].m.Code != want || w.sent[1].m.Token[0] != f.token {
					t.Errorf("chunk %d: %v", i, w.kinds())
				}
			}
			for i := range f.count() {
				if i == 1 {
					slow(i, 7, coap.BadRequest)
				}
				slow(i, pdc.ChunkCRC(f.chunk(i)), coap.Changed)
			}
			if r := f.done(); !r.Complete {
				t.Errorf("%+v", r)
			}
			w.wantEvent(UpdateApplied)
		})
	}
}

// N-45: an image that is not valid: 2.04 with an error, a restart all the same,
// and the old version.
func TestLegacyInvalidImage(t *testing.T) {
	w := newWorld(t, "photon@2.3.1").online()
	img := image(w, pdc.ModuleUserPart, 2000)
	img[700] ^= 1
	f := &flasher{w: w, image: img}
	f.begin(true)
	for i := range f.count() {
		f.fast(i)
	}
	r := f.done()
	if result, err := pdc.ParseUpdateReport(r.Report); !r.Complete || err != nil || result != pdc.ErrIntegrity {
		t.Errorf("%+v %v", r, result)
	}
	if e := w.wantEvent(Restarting); e.Reset != pdc.ResetUpdate {
		t.Errorf("%+v", e)
	}
	if w.dev.NVRAM().Applied {
		t.Error("counts as applied")
	}
}

// N-44: what is refused.
func TestLegacyRefused(t *testing.T) {
	for _, c := range []struct {
		profile, want string
	}{{"electron@0.5.3", "60 80 __ __ "}, {"photon@1.4.4", "61 a3 __ __ 09 "}, {"boron@2.3.1", "61 a3 __ __ 09 "}} {
		w := newWorld(t, c.profile).online()
		for name, b := range map[string]pdc.UpdateBegin{
			"store":  {Store: 1, Length: 1000, ChunkSize: 512},
			"length": {Length: 0x7fffffff, ChunkSize: 512},
			"chunks": {Length: 65535, ChunkSize: 1},
		} {
			b.Token = []byte{9}
			w.clear().tell(b)
			if len(w.sent) != 1 || hexSpaced(w.sent[0].wire, 2, 3) != c.want {
				t.Errorf("%s, %s: %v", c.profile, name, w.kinds())
			}
			w.alive()
		}
	}
}

// N-42, N-47: messages of an update that does not run, or of the other protocol.
func TestLegacyWithoutUpdate(t *testing.T) {
	for _, c := range []struct {
		profile string
		ends    bool
	}{{"electron@0.5.3", true}, {"electron@1.4.4", false}, {"boron@2.3.1", false}} {
		w := newWorld(t, c.profile).online()
		w.clear().tell(pdc.Chunk{Token: []byte{1}, Fast: true, Data: []byte{1}})
		if _, ended := w.has(Offline); ended != c.ends {
			t.Errorf("%s: a chunk ends the connection: %v", c.profile, ended)
		}
		w = newWorld(t, c.profile).online()
		w.clear().tell(pdc.UpdateDone{Token: []byte{1}})
		if _, ended := w.has(Offline); ended != c.ends {
			t.Errorf("%s: UpdateDone ends the connection: %v", c.profile, ended)
		}
	}
	w := newWorld(t, "photon@3.1.0").online()
	w.clear().tell(pdc.UpdateStart{Token: []byte{1}, FileSize: 1000, ChunkSize: 512})
	w.wantSent()
	w.alive()
	w = newWorld(t, "boron@6.2.0").online()
	w.clear().tell(pdc.UpdateBegin{Token: []byte{1}, Defaults: true})
	w.wantSent()
	w.alive()
}

// N-43: all chunks are lost; since 0.8 the device asks for two.
func TestLegacyAllLost(t *testing.T) {
	for name, want := range map[string]int{"boron@2.3.1": 2, "electron@0.5.3": 10} {
		w := newWorld(t, name).online()
		f := &flasher{w: w, image: image(w, pdc.ModuleUserPart, 5000)}
		f.begin(true)
		f.done()
		if got := f.missed(); len(got) != want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// Up to 0.7 the list is repeated every 3 s.
func TestLegacyRepeats(t *testing.T) {
	w := newWorld(t, "electron@0.5.3").online()
	f := &flasher{w: w, image: image(w, pdc.ModuleUserPart, 5000)}
	f.begin(true)
	f.done()
	w.clear().pass(10 * time.Second)
	if n := strings.Count(strings.Join(w.kinds(), ","), pdc.KindChunkMissed.String()); n != 3 {
		t.Errorf("%d repetitions in 10 s: %v", n, w.kinds())
	}
}

// A device that gets no chunk restarts by itself (PDC-6.2).
func TestLegacyTimeout(t *testing.T) {
	for name, want := range map[string]time.Duration{
		"electron@0.5.3": 90 * time.Second, "photon@0.5.3": 30 * time.Second, "boron@2.3.1": 300 * time.Second,
		"argon@2.3.1": 300 * time.Second, "photon@3.1.0": 30 * time.Second,
	} {
		w := newWorld(t, name).online()
		f := &flasher{w: w, image: image(w, pdc.ModuleUserPart, 5000)}
		f.begin(true)
		w.pass(want - time.Second)
		w.wantNoEvent(Restarting)
		w.pass(2 * time.Second)
		if e := w.wantEvent(Restarting); e.Reset != pdc.ResetUpdateTimeout {
			t.Errorf("%s: %+v", name, e)
		}
	}
}

// PDC-0.4: up to 1.5 UpdateReady is synchronous: until its ACK the device hears
// nothing else.
func TestLegacyDeaf(t *testing.T) {
	for name, deaf := range map[string]bool{"electron@1.4.4": true, "boron@2.3.1": false} {
		w := newWorld(t, name).online()
		f := &flasher{w: w, image: image(w, pdc.ModuleUserPart, 900)}
		w.peer.answer = func(m message) ([][]byte, bool) { return nil, m.m.Code == coap.Changed }
		f.begin(true)
		id := binary.BigEndian.Uint16(w.sent[1].wire[2:])
		f.fast(0)
		f.fast(1)
		w.send("60 00 %04x", id)
		w.peer.answer = nil
		if r := f.done(); r.Complete == deaf {
			t.Errorf("%s: complete %v", name, r.Complete)
		}
	}
}

// A payload-less UpdateBegin is legal and slow.
func TestLegacyOldestBegin(t *testing.T) {
	w := newWorld(t, "photon@0.5.3").online()
	w.dialogue("41 02 ab d0 33 b1 75", "60 00 ab d0", "51 44 __ __ 33 ff 00")
}
