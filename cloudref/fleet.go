package cloudref

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/muster/muster/cloudref/app"
	"github.com/muster/muster/cloudref/endpoint"
	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/pdc"
)

// fleet keeps the devices of products in order: it quarantines those that name a
// product which does not list them, and brings to the others the firmware that
// their product wants them to have.
type fleet struct {
	ctx     context.Context
	cancel  context.CancelFunc
	done    sync.WaitGroup
	places  chan struct{} // one entry for each update under way
	vitals  places        // of reports that wait to be stored
	ledgers places        // of requests about ledgers

	mu     sync.Mutex
	busy   map[store.DeviceID]func() // what to do next, nil for nothing
	failed map[offer]int
}

// An offer is one version for one device.
type offer struct {
	device  store.DeviceID
	version uint16
}

const (
	// updatesMax bounds the updates of products under way at a time. Those that the
	// device's application holds back do not count.
	updatesMax = 32
	// offersMax is how often a device is offered a version that it does not take.
	// A restart of the cloud begins the count anew.
	offersMax = 3
	// updatePatience bounds one update, with the time that an application holds it
	// back.
	updatePatience = 24 * time.Hour
)

func (f *fleet) init() {
	f.ctx, f.cancel = context.WithCancel(context.Background())
	f.places, f.vitals = make(chan struct{}, updatesMax), make(places, vitalsMax)
	f.ledgers = make(places, ledgersMax)
	f.busy, f.failed = make(map[store.DeviceID]func()), make(map[offer]int)
}

func (f *fleet) stop() {
	f.cancel()
	f.done.Wait()
}

// look runs first, if it is not nil, and then offers the device its firmware, unless somebody is at it
// already: then that one looks once more when it is done.
func (c *Cloud) look(id store.DeviceID, first func()) {
	f := &c.fleet
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ctx.Err() != nil {
		return
	}
	if next, busy := f.busy[id]; busy {
		if next == nil || first != nil {
			f.busy[id] = or(first)
		}
		return
	}
	f.busy[id] = nil
	f.done.Go(func() {
		for next := or(first); next != nil; next = f.next(id) {
			next()
			c.offerFirmware(id)
		}
	})
}

// or returns f, or what does nothing.
func or(f func()) func() {
	if f == nil {
		return func() {}
	}
	return f
}

// next returns what came up meanwhile, nil for nothing: then nobody is at it.
func (f *fleet) next(id store.DeviceID) func() {
	f.mu.Lock()
	defer f.mu.Unlock()
	next := f.busy[id]
	if next == nil || f.ctx.Err() != nil {
		delete(f.busy, id)
		return nil
	}
	f.busy[id] = nil
	return next
}

// greeted looks at a device that said Hello. It runs with the device locked.
func (c *Cloud) greeted(id store.DeviceID, hello pdc.Hello) {
	m := c.store.Member(id)
	if !c.misplaced(m, hello) && !c.outdated(m, hello) {
		return // nearly always
	}
	c.look(id, func() {
		if err := c.place(id, hello); err != nil {
			c.o.Log(fmt.Sprintf("device %s: its place in product %d: %v", id, hello.ProductID, err))
		}
	})
}

// named returns the product that a Hello of a device names, nil for none, or for one
// that is none of its owner's business.
func (c *Cloud) named(id store.DeviceID, hello pdc.Hello) *store.Product {
	if hello.ProductID == uint16(hello.Platform) {
		return nil
	}
	p, err := c.store.Product(store.ProductID(hello.ProductID))
	if err != nil || !c.store.Admits(p, c.ownerOf(id)) {
		return nil
	}
	return p
}

// misplaced reports whether products must learn something from a Hello.
func (c *Cloud) misplaced(m *store.Member, hello pdc.Hello) bool {
	p := c.named(m.Device, hello)
	if p == nil || p.ID == m.Product {
		return m.Waiting != 0
	}
	return m.Waiting != p.ID && !slices.Contains(m.Denied, p.ID)
}

// place notes which product a device's firmware names. A product without
// quarantine takes the device in, if it is in no other.
func (c *Cloud) place(id store.DeviceID, hello pdc.Hello) error {
	if !c.misplaced(c.store.Member(id), hello) {
		return nil
	}
	p := c.named(id, hello)
	_, err := c.store.UpdateMember(c.fleet.ctx, id, func(m *store.Member) error {
		m.Waiting = 0
		switch {
		case p == nil, p.ID == m.Product, slices.Contains(m.Denied, p.ID):
		case !p.Quarantine && m.Product == 0:
			m.Product, m.Joined = p.ID, time.Now().UTC()
		default:
			m.Waiting = p.ID
		}
		return nil
	})
	return err
}

// outdated reports whether a device should run another version than its Hello
// says.
func (c *Cloud) outdated(m *store.Member, hello pdc.Hello) bool {
	if m.Product == 0 || m.Development {
		return false
	}
	p, err := c.store.Product(m.Product)
	if err != nil {
		return false
	}
	target := p.Target(m)
	return target != nil && (hello.ProductID != uint16(p.ID) || hello.ProductVersion != target.Version)
}

// OfferFirmware implements api.Cloud.
func (c *Cloud) OfferFirmware(id store.DeviceID) { c.look(id, nil) }

// offerFirmware sends a device the firmware that its product wants it to have.
func (c *Cloud) offerFirmware(id store.DeviceID) {
	m, st := c.store.Member(id), c.Status(id)
	if !st.Online || !c.outdated(m, st.Hello) {
		return
	}
	p, err := c.store.Product(m.Product)
	if err != nil {
		return
	}
	target := p.Target(m)
	if target == nil || c.gaveUp(offer{id, target.Version}) {
		return
	}
	c.tellPending(id, true)
	if err := c.update(id, target); err != nil {
		if c.fleet.ctx.Err() == nil {
			c.o.Log(fmt.Sprintf("device %s: version %d of product %s: %v", id, target.Version, p.ID, err))
		}
		c.fleet.mu.Lock()
		c.fleet.failed[offer{id, target.Version}]++
		c.fleet.mu.Unlock()
		return
	}
	c.tellPending(id, false)
}

func (c *Cloud) gaveUp(o offer) bool {
	c.fleet.mu.Lock()
	defer c.fleet.mu.Unlock()
	return c.fleet.failed[o] >= offersMax
}

// update sends one version to one device, when it is its turn.
func (c *Cloud) update(id store.DeviceID, target *store.Firmware) error {
	ctx, cancel := context.WithTimeout(c.fleet.ctx, updatePatience)
	defer cancel()
	select {
	case c.fleet.places <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	var once sync.Once
	leave := func() { once.Do(func() { <-c.fleet.places }) }
	defer leave()
	image, err := c.store.Image(ctx, target.Image)
	if err != nil {
		return err
	}
	return c.Flash(ctx, id, image, func(p app.FlashProgress) {
		if p.Stage == app.FlashHeld {
			leave()
		}
	})
}

// tellPending tells readers that a device has an update to come, or has no longer.
func (c *Cloud) tellPending(id store.DeviceID, pending bool) {
	c.stream(c.observation(id), pdc.EventUpdatesPending, fmt.Append(nil, pending))
}

// observation is one of a device at present.
func (c *Cloud) observation(id store.DeviceID) endpoint.Observation {
	identity, _ := c.store.Identity(id)
	hello := c.Status(id).Hello
	return endpoint.Observation{
		At: c.o.Clock.Now(), Device: id, Owner: identity.Owner,
		ProductID: hello.ProductID, ProductVersion: hello.ProductVersion,
	}
}
