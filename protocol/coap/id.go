package coap

import (
	"time"

	"github.com/muster/muster/protocol/clock"
)

// ticks count 2^26 ns (67 ms) and wrap after nine years. They are small, for a
// memory of many instants; ages up to half of that are right.
type ticks uint32

const tickShift = 26

func ticksAt(t clock.Instant) ticks { return ticks(t >> tickShift) }

// within reports whether t is at most d before now, or up to a tick and a bit
// longer.
func (t ticks) within(now clock.Instant, d time.Duration) bool {
	return ticksAt(now)-t <= ticks(d>>tickShift)+1
}

// idParts is the number of equal parts of the ID space for each of which is
// kept when a Confirmable message last used it.
const (
	idParts    = 4
	idPartSize = 1 << 16 / idParts
)

// nextID returns the ID of the next message: one more than the last, in each
// direction of its own.
//
// Device OS: a board takes a Confirmable message for a duplicate when its ID was
// used in the last 45 s, so a cloud that wraps around in that time skips to a
// part of the ID space that has been quiet. At more than 65536 Confirmable
// messages in 45 s there is none, and IDs are reused.
func (x *Exchange) nextID(now clock.Instant, con bool) uint16 {
	id := x.lastID + 1
	if x.faults.SkipID {
		id++
	}
	if x.faults.ReuseID {
		id = x.lastID
	}
	if x.params.IDReuse > 0 {
		id = x.quietID(now, id)
		if con {
			x.conUsed[id/idPartSize] = max(ticksAt(now), 1)
		}
	}
	x.lastID = id
	return id
}

// quietID returns id, or the start of the next part that has been quiet when id
// enters a part that has not. Only a move from part to part needs the check:
// within one, IDs ascend.
func (x *Exchange) quietID(now clock.Instant, id uint16) uint16 {
	part := id / idPartSize
	if part == x.lastID/idPartSize {
		return id
	}
	for range idParts - 1 {
		used := x.conUsed[part]
		if used == 0 || !used.within(now, x.params.IDReuse) {
			return id
		}
		part = (part + 1) % idParts
		id = part * idPartSize
	}
	return id
}
