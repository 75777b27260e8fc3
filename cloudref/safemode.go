package cloudref

import (
	"context"
	"encoding/hex"
	"fmt"
	"sync"
	"time"

	"github.com/muster/muster/cloudref/api"
	"github.com/muster/muster/cloudref/app"
	"github.com/muster/muster/cloudref/endpoint"
	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/module"
	"github.com/muster/muster/protocol/pdc"
)

// safeMode sends devices in safe mode the modules that they lack, one after
// another, from the images that the store has (PDC-6.10). Where it has none that
// fits, it says so in the log; it fetches nothing from anywhere.
type safeMode struct {
	mu      sync.Mutex
	busy    map[store.DeviceID]bool
	refused map[refusedImage]bool // not sent again by itself (C-45)
	ctx     context.Context
	cancel  context.CancelFunc
	done    sync.WaitGroup
}

type refusedImage struct {
	device store.DeviceID
	image  store.ImageID
}

func (s *safeMode) init() {
	s.busy, s.refused = make(map[store.DeviceID]bool), make(map[refusedImage]bool)
	s.ctx, s.cancel = context.WithCancel(context.Background())
}

func (s *safeMode) stop() {
	s.cancel()
	s.done.Wait()
}

// begin reports whether somebody should look after the device now.
func (s *safeMode) begin(id store.DeviceID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy[id] || s.ctx.Err() != nil {
		return false
	}
	s.busy[id] = true
	return true
}

func (s *safeMode) end(id store.DeviceID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.busy, id)
}

// flashStatus is what the users' stream says of an update, by stage (PDC-4.6): that it
// is a success as soon as the device has all of it and found it good, before it goes
// offline to run it. The space at the end is historic.
var flashStatus = map[app.FlashStage]string{
	app.FlashStarting: "started ", app.FlashRestarting: "success ", app.FlashDone: "success ", app.FlashFailed: "failed ",
}

// react does what the cloud does by itself about what happens to devices. It
// runs with the device locked.
func (c *Cloud) react(o endpoint.Observation) {
	switch e := o.Effect.(type) {
	case app.HelloAccepted:
		c.greeted(o.Device, e.Hello)
	case app.LedgerAsked:
		c.ledgerAsked(o, e)
	case app.Vitals:
		c.takeVitals(o, e.Metrics)
	case app.Described:
		if e.AppHash != nil {
			c.stream(o, pdc.EventAppHash, hex.AppendEncode(nil, e.AppHash))
		}
	case app.FlashProgress:
		if status, told := flashStatus[e.Stage]; told && !e.Applied {
			c.stream(o, pdc.EventFlashStatus, []byte(status))
		}
	case app.SafeMode:
		if e.Known && c.safe.ctx.Err() == nil {
			c.safe.done.Go(func() { c.tellSafeMode(o) })
		}
		if e.Known && len(e.Missing) > 0 && c.safe.begin(o.Device) {
			c.safe.done.Go(func() {
				defer c.safe.end(o.Device)
				c.rescue(o.Device, e.Missing[0])
			})
		}
	default:
		// Only for those who called or observe.
	}
}

// tellSafeMode tells readers which modules a device in safe mode has and lacks.
func (c *Cloud) tellSafeMode(o endpoint.Observation) {
	if d := c.Status(o.Device).Describe; d != nil {
		c.stream(o, pdc.EventStatusSafeMode, d.System.AppendJSON(nil))
	}
}

// rescuePatience bounds one module of a device in safe mode.
const rescuePatience = time.Hour

// rescue sends a device one module that it lacks. When the device is back it tells
// what it lacks then.
func (c *Cloud) rescue(id store.DeviceID, want pdc.ModuleDependency) {
	ctx, cancel := context.WithTimeout(c.safe.ctx, rescuePatience)
	defer cancel()
	platform := c.Status(id).Dialect.Platform
	image, data := c.find(ctx, id, platform, want)
	what := fmt.Sprintf("module function %d, index %d, version %d", want.Function, want.Index, want.Version)
	if data == nil {
		c.o.Log(fmt.Sprintf("device %s is in safe mode: it lacks %s, and no stored image provides it: flash one", id, what))
		return
	}
	c.o.Log(fmt.Sprintf("device %s is in safe mode: sending %s", id, what))
	c.streamAs(c.observation(id), api.CoreInternal, pdc.EventSafeModeUpdating, fmt.Append(nil, want.Index))
	if err := c.Flash(ctx, id, data, nil); err != nil && ctx.Err() == nil {
		c.safe.mu.Lock()
		c.safe.refused[refusedImage{id, image}] = true
		c.safe.mu.Unlock()
		c.o.Log(fmt.Sprintf("device %s stays in safe mode: %v", id, err))
	}
}

// find returns the stored image that provides a module, the lowest version that
// is enough.
func (c *Cloud) find(ctx context.Context, id store.DeviceID, platform pdc.Platform, want pdc.ModuleDependency) (found store.ImageID, data []byte) {
	images, err := c.store.Images(ctx)
	if err != nil {
		c.o.Log(fmt.Sprintf("device %s is in safe mode: reading the images: %v", id, err))
		return found, nil
	}
	best := uint32(0)
	for _, image := range images {
		c.safe.mu.Lock()
		refused := c.safe.refused[refusedImage{id, image.ID}]
		c.safe.mu.Unlock()
		if refused {
			continue
		}
		b, err := c.store.Image(ctx, image.ID)
		if err != nil {
			continue
		}
		p, err := module.PrefixOf(b)
		fits := err == nil && p.Platform == platform && p.Function == want.Function && uint32(p.Index) == want.Index
		if v := uint32(p.Version); fits && v >= want.Version && (data == nil || v < best) {
			found, data, best = image.ID, b, v
		}
	}
	return found, data
}

// AddImage stores a firmware image, so that devices in safe mode can be sent it.
func (c *Cloud) AddImage(ctx context.Context, data []byte) (store.ImageID, error) {
	image, err := app.ParseImage(data)
	if err != nil {
		return store.ImageID{}, err
	}
	return c.store.PutImage(ctx, image.Data)
}
