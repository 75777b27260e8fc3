package record

// A Tally is what was counted: over an interval, a phase, a group, a machine. The
// zero value is empty. Tallies add up.
type Tally struct {
	Counts map[Counter]uint64    `json:"counts,omitempty"`
	Errors map[string]uint64     `json:"errors,omitempty"` // connections and attempts that ended, by reason
	Times  map[Timing]*Histogram `json:"times,omitempty"`
	Bytes  map[Activity]Traffic  `json:"bytes,omitempty"`
	// Campaigns are how far updates over the air are, by name of the campaign; in samples
	// of no group.
	Campaigns map[string]Campaign `json:"campaigns,omitempty"`
}

// A Campaign is how far a campaign is, in devices.
type Campaign struct {
	Begun   uint64 `json:"begun"`   // updates
	Applied uint64 `json:"applied"` // of those
	Failed  uint64 `json:"failed"`  // of those
	Done    uint64 `json:"done"`    // devices in parts of the fleet whose campaign came to its end
	Stopped uint64 `json:"stopped"` // devices in parts whose campaign stopped: too many of them failed
}

// Plus returns the sum.
func (c Campaign) Plus(o Campaign) Campaign {
	return Campaign{c.Begun + o.Begun, c.Applied + o.Applied, c.Failed + o.Failed, c.Done + o.Done, c.Stopped + o.Stopped}
}

// Minus returns what came to c after o.
func (c Campaign) Minus(o Campaign) Campaign {
	return Campaign{c.Begun - o.Begun, c.Applied - o.Applied, c.Failed - o.Failed, c.Done - o.Done, c.Stopped - o.Stopped}
}

// Traffic is what crossed the wire, with 28 bytes of IPv4 and UDP headers a datagram
// (IPv6: 48), or 40 of IPv4 and TCP headers a protocol unit.
type Traffic struct {
	Up          uint64 `json:"up"`   // bytes from devices
	Down        uint64 `json:"down"` // bytes to devices
	UpPackets   uint64 `json:"up_packets"`
	DownPackets uint64 `json:"down_packets"`
}

// Total returns the bytes of both directions.
func (t Traffic) Total() uint64 { return t.Up + t.Down }

// Plus returns the sum.
func (t Traffic) Plus(o Traffic) Traffic {
	return Traffic{t.Up + o.Up, t.Down + o.Down, t.UpPackets + o.UpPackets, t.DownPackets + o.DownPackets}
}

// Count adds n to a counter.
func (t *Tally) Count(c Counter, n uint64) {
	if n == 0 {
		return
	}
	if t.Counts == nil {
		t.Counts = make(map[Counter]uint64)
	}
	t.Counts[c] += n
}

// Error counts an ended connection by its reason.
func (t *Tally) Error(reason string, n uint64) {
	if n == 0 {
		return
	}
	if t.Errors == nil {
		t.Errors = make(map[string]uint64)
	}
	t.Errors[reason] += n
}

// Time returns the histogram of a timing, to add to.
func (t *Tally) Time(name Timing) *Histogram {
	if t.Times == nil {
		t.Times = make(map[Timing]*Histogram)
	}
	if t.Times[name] == nil {
		t.Times[name] = &Histogram{}
	}
	return t.Times[name]
}

// Move counts bytes on the wire.
func (t *Tally) Move(a Activity, n Traffic) {
	if n == (Traffic{}) {
		return
	}
	if t.Bytes == nil {
		t.Bytes = make(map[Activity]Traffic)
	}
	t.Bytes[a] = t.Bytes[a].Plus(n)
}

// Campaign counts what happened in a campaign.
func (t *Tally) Campaign(name string, n Campaign) {
	if n == (Campaign{}) {
		return
	}
	if t.Campaigns == nil {
		t.Campaigns = make(map[string]Campaign)
	}
	t.Campaigns[name] = t.Campaigns[name].Plus(n)
}

// Add adds what another tally counted. It keeps nothing of it.
func (t *Tally) Add(o *Tally) {
	for c, n := range o.Counts {
		t.Count(c, n)
	}
	for reason, n := range o.Errors {
		t.Error(reason, n)
	}
	for name, h := range o.Times {
		if h.Count() > 0 {
			t.Time(name).Merge(h)
		}
	}
	for a, n := range o.Bytes {
		t.Move(a, n)
	}
	for name, n := range o.Campaigns {
		t.Campaign(name, n)
	}
}

// Traffic returns the bytes of all activities.
func (t *Tally) Traffic() (sum Traffic) {
	for _, n := range t.Bytes {
		sum = sum.Plus(n)
	}
	return sum
}
