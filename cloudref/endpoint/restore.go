package endpoint

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/muster/muster/cloudref/app"
	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/link"
)

// restore makes the sessions that the store holds live again: their devices do
// not notice that the cloud was away. A session whose application state is gone
// ends with the first record of its device, because the device would count on
// what the cloud forgot (TRN-4.5).
func (n *Node) restore(ctx context.Context) error {
	states := make(map[store.DeviceID][2][]byte)
	for i, part := range []store.Part{partSession, partDescribe} {
		for state, err := range n.c.Store.Apps(ctx, part) {
			if err != nil {
				return fmt.Errorf("endpoint: reading application state: %w", err)
			}
			parts := states[state.Device]
			parts[i] = state.Value
			states[state.Device] = parts
		}
	}
	for id, parts := range states {
		n.restoreDevice(id, parts)
	}
	for state, err := range n.c.Store.Apps(ctx, partLedgers) {
		if err != nil {
			return fmt.Errorf("endpoint: reading application state: %w", err)
		}
		if d := n.index.device(state.Device); d != nil && d.app.RestoreLedgers(state.Value) != nil {
			n.counts.Unrestored.Add(1)
		}
	}
	for stored, err := range n.c.Store.Sessions(ctx) {
		if err != nil {
			return fmt.Errorf("endpoint: reading sessions: %w", err)
		}
		n.restoreSession(stored)
	}
	return nil
}

func (n *Node) restoreDevice(id store.DeviceID, parts [2][]byte) {
	if n.c.Faults.ForgetState {
		parts[1] = nil
	}
	if len(parts[0]) == 0 {
		return
	}
	a, err := app.Restore(app.DeviceID(id), &n.app, parts[0], parts[1])
	if err != nil {
		n.counts.Unrestored.Add(1)
		return
	}
	d := n.device(id)
	d.app = a
}

func (n *Node) restoreSession(stored *store.Session) {
	d := n.device(stored.Device)
	s, err := d.thaw(stored, n.c.Faults.RewindSequence)
	if err != nil {
		n.counts.Unrestored.Add(1)
		return
	}
	d.current = s
	d.app.Restored(n.firstToken(0))
	n.index.add(s)
	d.reroute()
	n.counts.Restored.Add(1)
}

// firstToken is behind which the tokens of a session begin that comes at a time: other
// ones in each life of the cloud, and each time that a device comes back to this node.
func (n *Node) firstToken(now clock.Instant) byte { return byte(n.c.Seed) + byte(now/(1<<20)) }

// thawed reads the stored form of a session, and the last address of its device.
func thawed(stored *store.Session) (state dtls.State, peer netip.AddrPort, err error) {
	state, _, peer, err = parseRecord(stored.Record)
	return state, peer, err
}

// parseRecord reads what session.record wrote.
func parseRecord(rest []byte) (state dtls.State, local, peer netip.AddrPort, err error) {
	if len(rest) < 2 {
		return state, local, peer, dtls.ErrState
	}
	size := int(binary.BigEndian.Uint16(rest))
	if rest = rest[2:]; len(rest) < size {
		return state, local, peer, dtls.ErrState
	}
	if state, err = dtls.ParseState(rest[:size]); err != nil {
		return state, local, peer, err
	}
	local, rest, ok := parseAddrPort(rest[size:])
	if ok {
		peer, rest, ok = parseAddrPort(rest)
	}
	if !ok || len(rest) != 0 {
		return state, local, peer, dtls.ErrState
	}
	return state, local, peer, nil
}

// thaw makes a session of its stored form. It sends nothing until sequence
// numbers behind the stored reservation are reserved.
func (d *device) thaw(stored *store.Session, rewind bool) (*session, error) {
	state, local, peer, err := parseRecord(stored.Record)
	if err != nil {
		return nil, err
	}
	if stored.Peer.IsValid() {
		peer = stored.Peer
	}
	s := &session{
		device: d, key: stored.Key, id: stored.CID, peer: peer,
		written: true, stored: true, restored: true,
	}
	if d.n.clustered() {
		s.ours().revision, s.ours().progress = stored.Revision, stored.Progress
	}
	s.local = d.n.index.localOf(local)
	state.SendLimit = max(state.SendLimit, stored.Reserved)
	state.WindowTop, state.Window = stored.Top, stored.Window
	if rewind {
		state.SendNext, state.SendLimit = 1, 0
	}
	s.reserved = state.SendLimit
	session := dtls.Import(state)
	session.CloseGap(d.n.c.WindowEvery)
	session.SetFaults(d.n.c.RecordFaults)
	s.link = link.OverDTLS(session, d.n.exchange(&coap.CloudUDP))
	return s, nil
}
