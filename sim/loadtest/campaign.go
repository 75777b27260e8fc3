package loadtest

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/muster/muster/sim/record"
	"github.com/muster/muster/sim/scenario"
)

// A campaign updates devices in waves: the devices of its group that are run here,
// in an order that the seed decides.
type campaign struct {
	conductor *conductor
	what      *scenario.Campaign
	api       *api
	images    map[int][]byte // by device
	order     []int          // devices

	mu      sync.Mutex
	changed chan struct{} // something ended
	pending map[int]struct{}
	begun   int
	applied int
	failed  int
	reasons map[string]int
	state   campaignState
	wave    int // from 1; 0: not begun
	told    record.Campaign
}

type campaignState uint8

const (
	campaignRuns campaignState = iota
	campaignDone
	campaignStopped // its budget is spent
)

// newCampaign makes the images of a campaign; nil when it has no devices here.
func newCampaign(c *conductor, what *scenario.Campaign, a *api) (*campaign, error) {
	s := c.options.Scenario
	g := s.Group(what.Group)
	one := &campaign{
		conductor: c, what: what, api: a, images: make(map[int][]byte),
		changed: make(chan struct{}, 1), pending: make(map[int]struct{}), reasons: make(map[string]int),
	}
	made := make(map[string][]byte)
	first := s.First(g)
	for i := max(first, c.options.Part.First); i < min(first+s.Groups[g].Devices, c.options.Part.First+c.options.Part.Count); i++ {
		p := c.options.Member(i).Profile
		if made[p.String()] == nil {
			b, err := image(what, c.options.Folder, p)
			if err != nil {
				return nil, err
			}
			made[p.String()] = b
		}
		local := i - c.options.Part.First
		one.images[local] = made[p.String()]
		one.order = append(one.order, local)
	}
	if len(one.order) == 0 {
		return nil, nil
	}
	r := rand.New(rand.NewPCG(c.options.Seed, uint64(g)))
	r.Shuffle(len(one.order), func(i, j int) { one.order[i], one.order[j] = one.order[j], one.order[i] })
	return one, nil
}

// pause is the time between two updates: what is run here has its share of the rate.
func (c *campaign) pause() time.Duration {
	s := c.conductor.options.Scenario
	share := float64(len(c.order)) / float64(s.Groups[s.Group(c.what.Group)].Devices)
	return time.Duration(float64(time.Second) / (c.what.Rate * share))
}

// note tells of something that happened to the campaign.
func (c *campaign) note(format string, args ...any) {
	c.conductor.note(record.Note{Kind: "campaign", Text: c.what.Name + ": " + fmt.Sprintf(format, args...)})
}

// run updates all devices, wave by wave, or until ctx is done or the budget spent.
func (c *campaign) run(ctx context.Context) {
	p := c.conductor.plan
	start := p.base
	if i := p.scenario.Phase(c.what.Phase); i > 0 {
		start = p.ends[i-1]
	}
	c.conductor.engine.until(ctx, start, nil)
	var updates sync.WaitGroup
	defer updates.Wait()
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	next := 0
	for w, share := range c.what.Waves {
		end := min(int(math.Ceil(share*float64(len(c.order))-1e-9)), len(c.order))
		c.mu.Lock()
		c.wave = w + 1
		c.mu.Unlock()
		c.note("wave %d of %d: %d devices", w+1, len(c.what.Waves), end-next)
		for ; next < end; next++ {
			if c.spent() || ctx.Err() != nil {
				break
			}
			device := c.order[next]
			c.begin(device)
			updates.Go(func() { c.update(inner, device) })
			c.sleep(ctx, c.pause())
		}
		if !c.settle(ctx) {
			return
		}
		if w+1 < len(c.what.Waves) {
			c.sleep(ctx, c.what.Pause)
		}
	}
	c.mu.Lock()
	c.state = campaignDone
	text := fmt.Sprintf("done: %d of %d updates applied, %d failed", c.applied, c.begun, c.failed)
	c.mu.Unlock()
	c.note("%s", text)
}

func (c *campaign) sleep(ctx context.Context, d time.Duration) {
	c.conductor.engine.until(ctx, c.conductor.engine.now().Add(d), nil)
}

// settle waits until all that was begun has ended. It reports false when the
// campaign is over.
func (c *campaign) settle(ctx context.Context) bool {
	for {
		c.mu.Lock()
		left := len(c.pending)
		c.mu.Unlock()
		if c.spent() {
			c.mu.Lock()
			c.state = campaignStopped
			text := fmt.Sprintf("stopped in wave %d: %d of %d updates failed (%s), more than %.4g%%", c.wave, c.failed, c.begun, c.worst(), 100*c.what.FailureBudget())
			c.mu.Unlock()
			c.note("%s", text)
			return false
		}
		if left == 0 {
			return ctx.Err() == nil
		}
		select {
		case <-c.changed:
		case <-ctx.Done():
			return false
		}
	}
}

// spent reports whether more updates have failed than may.
func (c *campaign) spent() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return float64(c.failed) > c.what.FailureBudget()*float64(c.begun)
}

// worst returns the most frequent reason to fail. c.mu is held.
func (c *campaign) worst() (reason string) {
	most := 0
	for r, n := range c.reasons {
		if n > most || n == most && r < reason {
			reason, most = r, n
		}
	}
	return reason
}

func (c *campaign) begin(device int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.begun++
	c.pending[device] = struct{}{}
}

// ended takes the end of an update; why is "" when it was applied.
func (c *campaign) ended(device int, why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, is := c.pending[device]; !is {
		return
	}
	delete(c.pending, device)
	if why == "" {
		c.applied++
	} else {
		c.failed++
		c.reasons[why]++
	}
	select {
	case c.changed <- struct{}{}:
	default: // it has been woken
	}
}

// retryAfter is how long a device that cannot be updated now is left alone.
const retryAfter = 10 * time.Second

// update asks the cloud to update a device, again when it refuses, and sees to it
// that the update ends one way or the other.
func (c *campaign) update(ctx context.Context, device int) {
	timeout := c.what.Timeout
	if timeout <= 0 {
		timeout = defaultUpdateTimeout
	}
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for {
		err := c.api.flash(limited, c.conductor.id(device), c.images[device])
		if err == nil {
			break
		}
		select {
		case <-limited.Done():
			c.ended(device, reason(err))
			return
		case <-time.After(retryAfter):
		}
	}
	for c.waits(device) { // for the device to tell
		select {
		case <-limited.Done():
			if ctx.Err() == nil {
				c.ended(device, "not done in time")
			}
			return
		case <-time.After(retryAfter / 50):
		}
	}
}

const defaultUpdateTimeout = 5 * time.Minute

func (c *campaign) waits(device int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, is := c.pending[device]
	return is
}

// since returns what happened since it was asked before.
func (c *campaign) since() record.Campaign {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := record.Campaign{Begun: uint64(c.begun), Applied: uint64(c.applied), Failed: uint64(c.failed)}
	switch c.state {
	case campaignRuns:
	case campaignDone:
		now.Done = uint64(len(c.order))
	case campaignStopped:
		now.Stopped = uint64(len(c.order))
	}
	n := now.Minus(c.told)
	c.told = now
	return n
}
