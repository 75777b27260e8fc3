package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"time"

	"github.com/muster/muster/cloudref"
	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/link"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/seed"
	"github.com/muster/muster/transport"
)

// manySessions measures a start of the cloud with a million stored sessions, and
// the first resume after it.
func (r *run) manySessions() error {
	n := r.scale(1_000_000, 200)
	dir := filepath.Join(r.t.TempDir(), "data")
	options := cloudref.Options{Dir: dir, UDP: netip.MustParseAddrPort("127.0.0.1:0"), ECKey: cloudKey}
	original, err := oneSession(options)
	if err != nil {
		return err
	}
	st, err := store.Open(context.Background(), store.Config{Dir: filepath.Join(dir, "store")})
	if err != nil {
		return fmt.Errorf("opening the store: %w", err)
	}
	began := time.Now()
	if err := original.copies(st, n); err != nil {
		return errors.Join(err, st.Close())
	}
	if err := st.Close(); err != nil {
		return fmt.Errorf("closing the store: %w", err)
	}
	if r.full {
		fmt.Printf("  %d sessions written in %v\n", n, time.Since(began).Round(time.Second))
	}
	began = time.Now()
	cpu := cpuTime()
	cloud, err := cloudref.Start(context.Background(), options)
	if err != nil {
		return fmt.Errorf("starting the cloud: %w", err)
	}
	defer cloud.Stop()
	started, used := time.Since(began), cpuTime()-cpu
	if restored := cloud.Node().Counts().Restored.Load(); restored < uint64(n) {
		return fmt.Errorf("%d of %d sessions were restored", restored, n)
	}
	first, err := original.resume(cloud.UDP(), n/2)
	if err != nil {
		return err
	}
	second, err := original.resume(cloud.UDP(), n/3)
	if err != nil {
		return err
	}
	what := fmt.Sprintf("start with %s sessions", grouped(int64(n)))
	r.rows = append(r.rows,
		Row{What: what, Unit: "s", Ours: started.Seconds()},
		Row{What: what + ", each", Unit: "µs CPU", Ours: float64(used.Microseconds()) / float64(n)},
		Row{What: "first resume after it, ping and ACK", Unit: "ms", Ours: float64(first.Microseconds()) / 1000},
		Row{What: "another one", Unit: "ms", Ours: float64(second.Microseconds()) / 1000})
	return nil
}

// An exemplar is a session that was made for real, of which others are copied: as
// it is stored, and as its device has it.
type exemplar struct {
	stored *store.Session
	parts  map[store.Part][]byte
	device dtls.State
}

// oneSession connects one device.
func oneSession(options cloudref.Options) (*exemplar, error) {
	cloud, err := cloudref.Start(context.Background(), options)
	if err != nil {
		return nil, fmt.Errorf("starting the cloud: %w", err)
	}
	defer cloud.Stop()
	ctx := context.Background()
	id := store.DeviceID{0xe0, 0x0f, 0xce, 0x68}
	if err := cloud.Register(ctx, cloudref.Registration{ID: id, Owner: store.AccountID{1}, P256: dtls.SPKI(&deviceKey.PublicKey)}); err != nil {
		return nil, fmt.Errorf("registering: %w", err)
	}
	d, err := dialDevice(cloud.UDP())
	if err != nil {
		return nil, err
	}
	defer d.conn.Close()
	if err := d.handshake(id); err != nil {
		return nil, err
	}
	dialect := pdc.NewDialect(6200, pdc.Boron)
	hello := pdc.Hello{
		ProductID: 13, ProductVersion: 0xffff, Flags: dialect.HelloFlags(), Platform: pdc.Boron, DeviceID: id[:],
		System: 6200, MaxMessage: 1152, ChunkSize: 512,
	}
	describe := pdc.DescribePost{Token: []byte{1}, Flags: pdc.DescribeApplication, Payload: pdc.ApplicationDescribe{Functions: []string{"brew"}}.Append(nil)}
	for _, m := range []coap.Message{hello.Message(dialect), describe.Message(dialect)} {
		if _, err := d.say(m); err != nil {
			return nil, err
		}
	}
	x := &exemplar{parts: map[store.Part][]byte{}, device: d.link.DTLS().Export()}
	if x.stored, err = cloud.Store().Session(ctx, id); err != nil {
		return nil, fmt.Errorf("reading the session: %w", err)
	}
	states, err := cloud.Store().AppParts(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("reading the state: %w", err)
	}
	for _, s := range states {
		x.parts[s.Part] = s.Value
	}
	return x, nil
}

func copyID(n int) (id store.DeviceID, cid store.CID) {
	binary.BigEndian.PutUint32(id[:], 0xe00fcafe)
	binary.BigEndian.PutUint64(id[4:], uint64(n)+1)
	binary.BigEndian.PutUint64(cid[:], uint64(n)+1)
	return id, cid
}

// copies stores n devices with a session each. Their keys are none: nobody makes a
// handshake with them.
func (x *exemplar) copies(st *store.Store, n int) error {
	size := int(binary.BigEndian.Uint16(x.stored.Record))
	state, err := dtls.ParseState(x.stored.Record[2 : 2+size])
	if err != nil {
		return fmt.Errorf("reading the session: %w", err)
	}
	const window = 1000
	results, flying := make(chan error, window), 0
	for i := range n {
		id, cid := copyID(i)
		key := make([]byte, 91)
		binary.BigEndian.PutUint64(key, uint64(i)+1)
		state.DeviceID, state.ReadCID = id, dtls.NewCID(cid[:])
		record := state.Append(make([]byte, 2, 256))
		binary.BigEndian.PutUint16(record, uint16(len(record)-2))
		record = append(record, x.stored.Record[2+size:]...)
		session := &store.Session{
			Device: id, CID: cid, Key: store.FingerprintOf(key), Reserved: x.stored.Reserved, Top: x.stored.Top, Window: x.stored.Window, Record: record,
		}
		// The session is refused until its device is durable.
		st.Write([]store.Op{store.PutDevice(&store.Device{ID: id, P256: key, Owner: store.AccountID{1}})}, func(err error) {
			if err != nil {
				results <- err
				return
			}
			ops := []store.Op{store.PutSession(session)}
			for part, value := range x.parts {
				ops = append(ops, store.PutApp(id, part, value))
			}
			st.Write(ops, func(err error) { results <- err })
		})
		if flying++; flying == window {
			flying--
			if err := <-results; err != nil {
				return fmt.Errorf("writing: %w", err)
			}
		}
	}
	for ; flying > 0; flying-- {
		if err := <-results; err != nil {
			return fmt.Errorf("writing: %w", err)
		}
	}
	return nil
}

// resume goes on with the session of a copy, and returns how long its first ping
// took.
func (x *exemplar) resume(cloud netip.AddrPort, n int) (time.Duration, error) {
	id, cid := copyID(n)
	d, err := dialDevice(cloud)
	if err != nil {
		return 0, err
	}
	defer d.conn.Close()
	state := x.device
	state.DeviceID, state.WriteCID = id, dtls.NewCID(cid[:])
	s := dtls.Import(state)
	s.Move()
	l := link.OverDTLS(s, coap.NewExchange(&coap.DeviceUDP, 100, seed.Stream(1, "bench/copy"), nil))
	d.link = &l
	return d.say(coap.Message{Type: coap.Confirmable})
}

// A lone is one device on a socket, driven by hand.
type lone struct {
	conn  net.Conn
	clock *transport.Clock
	link  *link.Link
}

func dialDevice(cloud netip.AddrPort) (*lone, error) {
	conn, err := net.Dial("udp4", cloud.String())
	if err != nil {
		return nil, fmt.Errorf("dialing the cloud: %w", err)
	}
	return &lone{conn: conn, clock: transport.NewClock()}, nil
}

// receive waits for a datagram, though not for long.
func (d *lone) receive() []byte {
	b := make([]byte, transport.DatagramSizeMax)
	if err := d.conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		return nil
	}
	n, err := d.conn.Read(b)
	if err != nil {
		return nil
	}
	return b[:n]
}

func (d *lone) send(datagrams [][]byte) error {
	for _, b := range datagrams {
		if _, err := d.conn.Write(b); err != nil {
			return fmt.Errorf("sending: %w", err)
		}
	}
	return nil
}

func (d *lone) handshake(id store.DeviceID) error {
	client := dtls.NewClient(&dtls.ClientConfig{
		Gen: dtls.GenF, Key: deviceKey, ServerKey: &cloudKey.PublicKey, DeviceID: id, Rand: seed.Bytes(1, "bench/lone"),
	})
	var out dtls.Out
	client.Start(d.clock.Now(), &out)
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if err := d.send(out.Datagrams); err != nil {
			return err
		}
		for _, e := range out.Events {
			switch e.Kind {
			case dtls.EventEstablished:
				l := link.OverDTLS(e.Session, coap.NewExchange(&coap.DeviceUDP, 0, seed.Stream(1, "bench/lone"), nil))
				d.link = &l
				return nil
			case dtls.EventFailed:
				return fmt.Errorf("handshake: %w", e.Err)
			default:
			}
		}
		out.Reset()
		if b := d.receive(); b != nil {
			client.Receive(d.clock.Now(), b, &out)
		} else if client.Deadline() <= d.clock.Now() {
			client.Advance(d.clock.Now(), &out)
		}
	}
	return errors.New("no handshake in time")
}

// say sends a message and returns how long its acknowledgement took.
func (d *lone) say(m coap.Message) (time.Duration, error) {
	var out link.Out
	began := time.Now()
	id := d.link.Send(d.clock.Now(), m, 0, &out)
	for end := began.Add(patience); time.Now().Before(end); {
		if err := d.send(out.Packets); err != nil {
			return 0, err
		}
		for _, e := range out.Events {
			if e.Kind == link.Exchange && e.CoAP.Kind == coap.Acknowledged && e.CoAP.ID == id {
				return time.Since(began), nil
			}
			if e.Kind == link.Closed {
				return 0, fmt.Errorf("the session ended: %w", e.Err)
			}
		}
		out = link.Out{}
		if b := d.receive(); b != nil {
			d.link.Receive(d.clock.Now(), b, &out)
		} else if d.link.Deadline() <= d.clock.Now() {
			d.link.Advance(d.clock.Now(), &out)
		}
	}
	return 0, errors.New("no acknowledgement in time")
}
