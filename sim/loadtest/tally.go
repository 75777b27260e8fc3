package loadtest

import (
	"github.com/muster/muster/sim/device"
	"github.com/muster/muster/sim/record"
)

// What a tally counts, in the order of counters.
const (
	cAttempts = iota
	cHandshakes
	cResumes
	cConnected
	cOffline
	cArrivals
	cLate
	cPublishes
	cPublished
	cPublishFailed
	cPublishRefused
	cEventsReceived
	cFunctionsCalled
	cVariablesRead
	cPings
	cSleeps
	cMoves
	cUpdatesBegun
	cUpdatesApplied
	cUpdatesFailed
	cCalls
	cCallsFailed
	cIgnored
	cImpairLost
	numCounters
)

var counters = [numCounters]record.Counter{
	record.Attempts, record.Handshakes, record.Resumes, record.Connected, record.Offline, record.Arrivals, record.Late,
	record.Publishes, record.Published, record.PublishFailed, record.PublishRefused, record.EventsReceived,
	record.FunctionsCalled, record.VariablesRead, record.Pings, record.Sleeps, record.Moves,
	record.UpdatesBegun, record.UpdatesApplied, record.UpdatesFailed, record.Calls, record.CallsFailed,
	record.Ignored, record.ImpairLost,
}

// What a tally times, in the order of timings.
const (
	tConnect = iota
	tHandshake
	tResume
	tPublish
	tPublishService
	tDelivery
	tCall
	tUpdate
	numTimings
)

var timings = [numTimings]record.Timing{
	record.ConnectTime, record.HandshakeTime, record.ResumeTime, record.PublishTime, record.PublishService,
	record.DeliveryTime, record.CallTime, record.UpdateTime,
}

// What bytes are for, in the order of activities. A device without an activity of
// its own is at other.
const (
	aOther = iota
	aHandshake
	aResume
	aKeepAlive
	aPublish
	aUpdate
	numActivities
)

var activities = [numActivities]record.Activity{
	record.ActOther, record.ActHandshake, record.ActResume, record.ActKeepAlive, record.ActPublish, record.ActUpdate,
}

// A tally is a record.Tally that costs little to add to.
type tally struct {
	counts [numCounters]uint64
	errors map[device.Error]uint64
	causes map[string]uint64 // errors of the API
	times  [numTimings]record.Histogram
	bytes  [numActivities]record.Traffic
}

func (t *tally) fail(e device.Error) {
	if t.errors == nil {
		t.errors = make(map[device.Error]uint64)
	}
	t.errors[e]++
}

func (t *tally) cause(reason string) {
	if t.causes == nil {
		t.causes = make(map[string]uint64)
	}
	t.causes[reason]++
}

// addTo adds what was counted to r.
func (t *tally) addTo(r *record.Tally) {
	for i, n := range t.counts {
		r.Count(counters[i], n)
	}
	for e, n := range t.errors {
		r.Error(e.String(), n)
	}
	for reason, n := range t.causes {
		r.Error(reason, n)
	}
	for i := range t.times {
		if t.times[i].Count() > 0 {
			r.Time(timings[i]).Merge(&t.times[i])
		}
	}
	for i, n := range t.bytes {
		r.Move(activities[i], n)
	}
}

// reset makes it empty and keeps its memory.
func (t *tally) reset() {
	t.counts, t.bytes = [numCounters]uint64{}, [numActivities]record.Traffic{}
	clear(t.errors)
	clear(t.causes)
	for i := range t.times {
		if t.times[i].Count() > 0 {
			t.times[i].Reset()
		}
	}
}

// tallies are those of one book in one interval, by phase and group.
type tallies struct {
	groups int
	list   []*tally
}

func newTallies(p *plan) *tallies {
	return &tallies{groups: len(p.groups), list: make([]*tally, len(p.groups)*len(p.ends))}
}

func (t *tallies) of(phase, group int) *tally {
	one := &t.list[phase*t.groups+group]
	if *one == nil {
		*one = &tally{}
	}
	return *one
}

// forget frees the tallies of the phases before one.
func (t *tallies) forget(phase int) {
	for i := range t.list[:phase*t.groups] {
		t.list[i] = nil
	}
}
