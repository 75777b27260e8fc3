package fleet

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/sim/device"
	"github.com/muster/muster/transport"
)

// A member is a device and its place in a fleet. Only the device's shard touches
// it, except for online. It stays small: there may be millions.
type member struct {
	device *device.Device
	stream transport.StreamID // 0: none
	began  clock.Instant      // of the present attempt to connect
	index  int32              // in the fleet
	place  int32              // 1 + place in the shard's heap; 0: not in it
	online atomic.Bool
	home   uint8 // which of its addresses the device has
	port   uint8 // which of the shard's sockets it has
	flags
}

// flags are the yes-or-no part of a member.
type flags struct {
	open       bool // has a socket
	reopened   bool // has had one
	connecting bool // on its way to the cloud
	turn       bool // waits for its turn to connect
	elsewhere  bool // has a cloud of its own
}

// The members of a fleet lie in chunks that never move.
const (
	chunkBits = 10
	chunkSize = 1 << chunkBits
)

// A table holds the members of a fleet by index. Members may be looked up while
// others are added.
type table struct {
	mu     sync.Mutex // held while adding
	chunks atomic.Pointer[[]*[chunkSize]member]
	n      atomic.Int64
}

// len returns the number of members.
func (t *table) len() int { return int(t.n.Load()) }

// at returns the member with an index; nil when there is none.
func (t *table) at(i int) *member {
	if i < 0 || i >= t.len() {
		return nil
	}
	return &(*t.chunks.Load())[i>>chunkBits][i&(chunkSize-1)]
}

// get is at for callers who must know better.
func (t *table) get(i int) *member {
	m := t.at(i)
	if m == nil {
		panic(fmt.Sprintf("fleet: no device %d among %d", i, t.len()))
	}
	return m
}

// add returns the place of one more member, which set completes before anybody
// else sees it. It is called with t.mu held.
func (t *table) add(set func(m *member)) {
	n := t.len()
	var chunks []*[chunkSize]member
	if c := t.chunks.Load(); c != nil {
		chunks = *c
	}
	if n>>chunkBits == len(chunks) {
		// Readers keep the old slice: append never writes into what they see.
		chunks = append(chunks[:len(chunks):len(chunks)], new([chunkSize]member))
		t.chunks.Store(&chunks)
	}
	m := &chunks[n>>chunkBits][n&(chunkSize-1)]
	m.index = int32(n)
	set(m)
	t.n.Store(int64(n + 1))
}
