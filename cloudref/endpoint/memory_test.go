package endpoint

import (
	"context"
	"encoding/binary"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/link"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/seed"
	"github.com/muster/muster/transport"
)

// memoryMax is what an idle live device may cost in the node: session, link,
// application state and index.
const memoryMax = 1024

// TestIdleDeviceMemory measures live devices that have been heard, and then idle.
// They are equal but for their ids and connection ids, as a fleet is.
func TestIdleDeviceMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("the race detector changes what is measured, and few devices measure the tables of maps")
	}
	const devices = 20_000
	// One real session gives the stored state that all others are made from.
	b, p := connected(t, dtls.GenF, func(c *Config) { c.App.Share = newShare() })
	p.describeBrewing()
	system := pdc.SystemDescribe{IMEI: "353000000000001", ICCID: "89340765000000000001", Modules: []pdc.ModuleInfo{
		{Function: pdc.ModuleSystemPart, Index: 1, Version: 6200, Checked: 0x3e, Passed: 0x3e},
	}}
	p.wantAck(p.say(pdc.DescribePost{Token: []byte{2}, Flags: pdc.DescribeSystem, Protobuf: true, Payload: system.AppendProto(nil)}.Message(p.dialect())))
	p.wantAck(p.say(pdc.Subscribe{Filter: "temp"}.Message(p.dialect())))
	p.wantAck(p.say(pdc.Subscribe{Filter: "particle"}.Message(p.dialect())))
	stored, err := b.store.Session(t.Context(), p.id)
	if err != nil {
		t.Fatal(err)
	}
	parts := map[store.Part][]byte{}
	for _, part := range []store.Part{partSession, partDescribe} {
		state, err := b.store.App(t.Context(), p.id, part)
		if err != nil {
			t.Fatal(err)
		}
		parts[part] = state.Value
	}
	template := p.link.DTLS().Export()
	b.store = store.NewMemory()
	for n := range devices {
		b.clone(n, stored, parts)
	}
	for _, err := range b.store.Sessions(context.Background()) { // so that its own index is not counted
		if err != nil {
			t.Fatal(err)
		}
	}
	b.seen, b.puppets, b.peers, b.node = nil, nil, nil, nil
	before := heapInUse()
	b.start(func(c *Config) {
		c.App.Share = newShare()
		c.Observe = func(Observation) {}
	})
	for n := range devices {
		b.wake(t, n, template)
	}
	for range 4 {
		b.now = b.now.Add(40 * time.Second) // beyond the memory for duplicates
		b.node.Advance(b.now, b.out)
		b.out.Clear()
	}
	after := heapInUse()
	each := float64(after-before) / float64(devices)
	t.Logf("%d idle devices: %.0f bytes each", devices, each)
	if n := b.node.counts.Resumed.Load(); n != uint64(devices) {
		t.Errorf("%d devices resumed, want %d", n, devices)
	}
	if each > memoryMax {
		t.Errorf("%.0f bytes for an idle device, want at most %d", each, memoryMax)
	}
	runtime.KeepAlive(b)
}

func heapInUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// newShare shares what devices have alike.
func newShare() func(string, func() any) any {
	values := map[string]any{}
	return func(key string, make func() any) any {
		v, known := values[key]
		if !known {
			v = make()
			values[key] = v
		}
		return v
	}
}

func cloneID(n int) (id store.DeviceID, cid store.CID) {
	binary.BigEndian.PutUint32(id[:], 0xe00fce68)
	binary.BigEndian.PutUint32(id[8:], uint32(n))
	binary.BigEndian.PutUint64(cid[:], uint64(n)+1)
	return id, cid
}

// clone stores a device with the session of another.
func (b *bench) clone(n int, stored *store.Session, parts map[store.Part][]byte) {
	b.t.Helper()
	id, cid := cloneID(n)
	spki := dtls.SPKI(&seed.P256(seed.Bytes(uint64(n), "clone")).PublicKey)
	size := int(binary.BigEndian.Uint16(stored.Record))
	state, err := dtls.ParseState(stored.Record[2 : 2+size])
	if err != nil {
		b.t.Fatal(err)
	}
	state.DeviceID, state.ReadCID = id, dtls.NewCID(cid[:])
	record := state.Append(make([]byte, 2))
	binary.BigEndian.PutUint16(record, uint16(len(record)-2))
	record = append(record, stored.Record[2+size:]...)
	session := &store.Session{
		Device: id, CID: cid, Key: store.FingerprintOf(spki), Reserved: stored.Reserved, Top: 1, Record: record,
	}
	ops := []store.Op{store.PutDevice(&store.Device{ID: id, P256: spki, Owner: store.AccountID{1}}), store.PutSession(session)}
	// So that what the store needs for reservations is not counted.
	ops = append(ops, store.Reserve(store.Progress{Device: id, CID: cid, Reserved: stored.Reserved, Top: 1}))
	for part, value := range parts {
		ops = append(ops, store.PutApp(id, part, value))
	}
	if err := b.store.Do(context.Background(), ops...); err != nil {
		b.t.Fatal(err)
	}
}

// wake lets a cloned device send a ping, as after a reset.
func (b *bench) wake(t *testing.T, n int, template dtls.State) {
	t.Helper()
	id, cid := cloneID(n)
	template.DeviceID, template.WriteCID = id, dtls.NewCID(cid[:])
	s := dtls.Import(template)
	s.Move()
	l := link.OverDTLS(s, coap.NewExchange(&coap.DeviceUDP, 9, seed.Stream(1, "clone"), nil))
	var out link.Out
	l.Ping(b.now, 0, &out)
	peer := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 3, byte(n >> 8), byte(n)}), 5684)
	b.node.Datagram(b.now, transport.Packet{Local: b.local, Peer: peer, Data: out.Packets[0]}, b.out)
	b.node.Advance(b.now, b.out)
	if len(b.out.Packets()) != 1 {
		t.Fatalf("device %d got %d answers", n, len(b.out.Packets()))
	}
	b.out.Clear()
}

// BenchmarkPing is the cost of a ping and its ACK in the node, of one device
// among many.
func BenchmarkPing(b *testing.B) {
	t := &testing.T{}
	bench, p := connected(t, dtls.GenF, func(c *Config) { c.Observe = func(Observation) {} })
	f := newForger(p)
	datagrams := make([][]byte, b.N)
	for i := range datagrams {
		datagrams[i] = f.ping().Bytes()
	}
	b.ReportAllocs()
	b.ResetTimer()
	for _, d := range datagrams {
		bench.node.Datagram(bench.now, transport.Packet{Local: bench.local, Peer: p.addr, Data: d}, bench.out)
		bench.out.Clear()
		bench.now = bench.now.Add(10 * time.Millisecond)
	}
}

// BenchmarkPublish is the cost of a published event in the node, stored in
// memory.
func BenchmarkPublish(b *testing.B) {
	t := &testing.T{}
	bench, p := connected(t, dtls.GenF, func(c *Config) { c.Observe = func(Observation) {} })
	f := newForger(p)
	datagrams := make([][]byte, b.N)
	for i := range datagrams {
		m := publish(p, "temperature", "21.5")
		m.ID = uint16(i)
		f.next++
		datagrams[i] = f.sealed(f.next, m.Append(nil)).Bytes()
	}
	b.ReportAllocs()
	b.ResetTimer()
	for _, d := range datagrams {
		bench.node.Datagram(bench.now, transport.Packet{Local: bench.local, Peer: p.addr, Data: d}, bench.out)
		bench.out.Clear()
		bench.now = bench.now.Add(10 * time.Millisecond)
	}
}
