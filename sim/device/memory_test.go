package device

import (
	"encoding/binary"
	"runtime"
	"testing"
	"time"
	"unsafe"

	"github.com/muster/muster/protocol/clock"
)

// idle returns a device that is online and idle, and its shared Config.
func idleDevice(t testing.TB, cfg *Config, name string, n int) *Device {
	w := newWorld(t, name)
	if cfg.Profile == nil {
		*cfg = w.cfg
	}
	id := testID
	binary.BigEndian.PutUint32(id[8:], uint32(n))
	w.dev = New(cfg, id, nil)
	w.do(w.dev.PowerOn)
	w.pass(5 * time.Second)
	w.do(func(now clock.Instant, out *Out) { _ = w.dev.Publish(now, Publication{Name: "x"}, out) })
	w.send("41 02 20 21 62 b1 66 03 6c 65 6e 41 61")
	w.pass(100 * time.Second)
	if !w.dev.Online() {
		t.Fatalf("%s is not online", name)
	}
	return w.dev
}

// perDevice measures the heap of idle devices that are online, each with its
// session, its NVRAM and its random stream.
func perDevice(t testing.TB, name string) float64 {
	const n = 200
	var cfg Config
	devices := make([]*Device, n)
	idleDevice(t, &cfg, name, 0) // warms up what is shared
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	for i := range devices {
		devices[i] = idleDevice(t, &cfg, name, i)
	}
	per := float64(heap()-before) / n
	runtime.KeepAlive(devices)
	return per
}

// A million devices must fit: at most 1 KiB for one that is online and idle.
func TestMemoryOfAnIdleDevice(t *testing.T) {
	if testing.Short() {
		t.Skip("measures the heap")
	}
	for _, name := range []string{"boron@6.2.0", "electron@0.5.3", "photon@3.1.0"} {
		per := perDevice(t, name)
		t.Logf("%s: %.0f bytes an idle device (the struct: %d, its NVRAM: %d)", name, per, unsafe.Sizeof(Device{}), unsafe.Sizeof(NVRAM{}))
		if per > 1024 {
			t.Errorf("%s: %.0f bytes, want at most 1024", name, per)
		}
	}
}

// BenchmarkPing is a keep-alive of an idle device and its answer.
func BenchmarkKeepAlive(b *testing.B) {
	w := newWorld(b, "argon@6.2.0")
	w.do(w.dev.PowerOn)
	w.pass(5 * time.Second)
	b.ReportAllocs()
	for b.Loop() {
		w.sent, w.wire, w.events = w.sent[:0], w.wire[:0], w.events[:0]
		w.pass(25 * time.Second)
	}
}

// BenchmarkConnect is a full connect, cloud included.
func BenchmarkConnect(b *testing.B) {
	for b.Loop() {
		w := newWorld(b, "boron@6.2.0")
		w.do(w.dev.PowerOn)
		w.pass(5 * time.Second)
	}
}
