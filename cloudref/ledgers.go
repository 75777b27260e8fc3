package cloudref

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/muster/muster/cloudref/app"
	"github.com/muster/muster/cloudref/endpoint"
	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/cloudref/variant"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/pdc"
)

const (
	// ledgersMax bounds the requests about ledgers under way. A device whose request
	// finds no place tries again after half a minute.
	ledgersMax = 256
	// ledgerPatience bounds one request.
	ledgerPatience = 20 * time.Second
)

// The words of the API for what ledgers are (store.Ledger).
const (
	ledgerOfDevice   = "Device"
	ledgerOfProduct  = "Product"
	ledgerOfOwner    = "Owner"
	ledgerUpstream   = "Upstream"
	ledgerDownstream = "Downstream"
)

// ledgerAsked answers a device's request about ledgers. It runs with the device
// locked.
func (c *Cloud) ledgerAsked(o endpoint.Observation, e app.LedgerAsked) {
	if !c.fleet.ledgers.TryAcquire() {
		c.answerLedger(o.Device, e.Token, pdc.LedgerReply{Method: e.Call.Method, Result: pdc.LedgerError, Message: "busy"})
		return
	}
	c.fleet.done.Go(func() {
		defer c.fleet.ledgers.Release()
		ctx, cancel := context.WithTimeout(c.fleet.ctx, ledgerPatience)
		defer cancel()
		reply, err := c.ledgerReply(ctx, o, e.Call)
		if err != nil {
			if c.fleet.ctx.Err() == nil {
				c.o.Log(fmt.Sprintf("device %s: its ledgers: %v", o.Device, err))
			}
			reply = pdc.LedgerReply{Result: pdc.LedgerError}
		}
		reply.Method = e.Call.Method
		c.answerLedger(o.Device, e.Token, reply)
	})
}

func (c *Cloud) answerLedger(id store.DeviceID, token []byte, reply pdc.LedgerReply) {
	c.node.Command(id, func(now clock.Instant, d *app.Device, out *app.Out) { d.AnswerLedger(now, token, reply, out) })
}

// A deviceLedger is a ledger as one device has it.
type deviceLedger struct {
	*store.Ledger
	scope string // of the device's instance, as the API names it
	id    []byte // the same on the wire
}

// ledgerOf returns the ledger that a device means by a name: its product's, else its
// owner's. Nothing else is there for it.
func (c *Cloud) ledgerOf(o *endpoint.Observation, name string) (deviceLedger, bool) {
	var owners []store.LedgerOwner
	product := c.store.ProductOf(o.Device, o.ProductID)
	if product != 0 {
		owners = append(owners, store.LedgerOwner{Product: product})
	}
	if o.Owner != (store.AccountID{}) {
		owners = append(owners, store.LedgerOwner{Account: o.Owner})
	}
	for _, owner := range owners {
		l, err := c.store.Ledger(store.LedgerKey{Owner: owner, Name: name})
		if err != nil || l.Archived {
			continue
		}
		switch l.Scope {
		case ledgerOfDevice:
			return deviceLedger{l, o.Device.String(), slices.Clone(o.Device[:])}, true
		case ledgerOfProduct:
			return deviceLedger{l, product.String(), binary.BigEndian.AppendUint32(nil, uint32(product))}, true
		default:
			return deviceLedger{l, o.Owner.String(), slices.Clone(o.Owner[:])}, true
		}
	}
	return deviceLedger{}, false
}

// ledgerReply does what a device asks for.
func (c *Cloud) ledgerReply(ctx context.Context, o endpoint.Observation, call pdc.LedgerCall) (pdc.LedgerReply, error) {
	switch call.Method {
	case pdc.LedgerGetInfo, pdc.LedgerSubscribe:
		return c.ledgerInfo(ctx, &o, call)
	case pdc.LedgerGetData, pdc.LedgerSetData:
		ref := call.Ledgers[0]
		l, known := c.ledgerOf(&o, ref.Name)
		switch {
		case !known:
			return pdc.LedgerReply{Result: pdc.LedgerNotFound}, nil
		case !slices.Equal(l.id, ref.ScopeID):
			return pdc.LedgerReply{Result: pdc.LedgerScopeChanged}, nil
		case call.Method == pdc.LedgerGetData:
			return c.ledgerData(ctx, l)
		case l.Direction != ledgerUpstream:
			return pdc.LedgerReply{Result: pdc.LedgerInvalidDirection}, nil
		}
		return c.takeLedgerData(ctx, l, ref, call.Data)
	default:
		return pdc.LedgerReply{Result: pdc.LedgerError, Message: "unknown request"}, nil
	}
}

// ledgerInfo answers GetInfo, in which ledgers that do not exist are left out, and
// Subscribe, which must list all (C-51, C-54).
func (c *Cloud) ledgerInfo(ctx context.Context, o *endpoint.Observation, call pdc.LedgerCall) (pdc.LedgerReply, error) {
	var reply pdc.LedgerReply
	for _, ref := range call.Ledgers {
		l, known := c.ledgerOf(o, ref.Name)
		switch {
		case !known && call.Method == pdc.LedgerGetInfo:
			continue
		case !known:
			return pdc.LedgerReply{Result: pdc.LedgerNotFound}, nil
		case call.Method == pdc.LedgerSubscribe && !slices.Equal(l.id, ref.ScopeID):
			return pdc.LedgerReply{Result: pdc.LedgerScopeChanged}, nil
		}
		instance, err := c.store.LedgerInstance(ctx, l.Key, l.scope)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return reply, err
		}
		info := pdc.LedgerInfo{Name: ref.Name, ScopeID: l.id, Scope: wireScope(l.Scope), Direction: pdc.LedgerCloudToDevice}
		if l.Direction == ledgerUpstream {
			info.Direction = pdc.LedgerDeviceToCloud
		}
		if err == nil {
			info.Updated = updatedAt(instance)
		}
		reply.Ledgers = append(reply.Ledgers, info)
	}
	return reply, nil
}

func wireScope(scope string) pdc.LedgerScope {
	switch scope {
	case ledgerOfDevice:
		return pdc.LedgerScopeDevice
	case ledgerOfProduct:
		return pdc.LedgerScopeProduct
	default:
		return pdc.LedgerScopeOwner
	}
}

func updatedAt(i *store.LedgerInstance) pdc.LedgerUpdated {
	return pdc.LedgerUpdated{Milliseconds: uint64(i.Updated.UnixMilli()), Known: true}
}

func (c *Cloud) ledgerData(ctx context.Context, l deviceLedger) (pdc.LedgerReply, error) {
	instance, err := c.store.LedgerInstance(ctx, l.Key, l.scope)
	if errors.Is(err, store.ErrNotFound) {
		return pdc.LedgerReply{}, nil
	}
	if err != nil {
		return pdc.LedgerReply{}, err
	}
	data, err := variant.ToCBOR(instance.Data)
	return pdc.LedgerReply{Updated: updatedAt(instance), Data: data}, err
}

// takeLedgerData keeps what a device says. It is durable before the device hears
// that it was taken.
func (c *Cloud) takeLedgerData(ctx context.Context, l deviceLedger, ref pdc.LedgerRef, data []byte) (pdc.LedgerReply, error) {
	if len(data) > pdc.LedgerDataMax {
		return pdc.LedgerReply{Result: pdc.LedgerTooLarge}, nil
	}
	value, err := variant.FromCBOR(data)
	if err != nil {
		return pdc.LedgerReply{Result: pdc.LedgerInvalidData, Message: err.Error()}, nil //nolint:nilerr // the device is told
	}
	at := time.Now()
	if ref.Updated.Known {
		at = time.UnixMilli(int64(min(ref.Updated.Milliseconds, uint64(at.Add(24*time.Hour).UnixMilli()))))
	}
	_, err = c.store.SetLedgerData(ctx, l.Key, l.scope, at, func(json.RawMessage) (json.RawMessage, error) { return value, nil })
	return pdc.LedgerReply{}, err
}

// LedgerChanged implements api.Cloud: devices that follow the ledger hear that it has
// other data for a scope.
func (c *Cloud) LedgerChanged(l *store.Ledger, scope string, updated time.Time) {
	c.ledgerChangedHere(l, scope, updated)
	c.tell(tale{Ledger: l, Key: &l.Key, Scope: scope, Updated: updated})
}

// ledgerChangedHere tells the devices of this node.
func (c *Cloud) ledgerChangedHere(l *store.Ledger, scope string, updated time.Time) {
	milliseconds := uint64(updated.UnixMilli())
	for _, id := range c.ledgerDevices(l, scope) {
		if _, known := c.node.Status(id); known {
			c.node.Command(id, func(now clock.Instant, d *app.Device, out *app.Out) {
				d.NotifyLedger(now, l.Key.Name, milliseconds, out)
			})
		}
	}
}

// ledgerDevices returns the devices whose instance has a scope, "" for all of them.
func (c *Cloud) ledgerDevices(l *store.Ledger, scope string) []store.DeviceID {
	if l.Scope == ledgerOfDevice && scope != "" {
		id, err := store.ParseDeviceID(scope)
		if err != nil {
			return nil
		}
		return []store.DeviceID{id}
	}
	if p := l.Key.Owner.Product; p != 0 {
		return c.store.MembersOf(p)
	}
	return c.store.DevicesOf(l.Key.Owner.Account)
}

// LedgerDefined implements api.Cloud: devices ask again which ledgers there are.
func (c *Cloud) LedgerDefined(l *store.Ledger) {
	c.ledgerDefinedHere(l)
	c.tell(tale{Ledger: l, Key: &l.Key})
}

// ledgerDefinedHere tells the devices of this node.
func (c *Cloud) ledgerDefinedHere(l *store.Ledger) {
	for _, id := range c.ledgerDevices(l, "") {
		c.resetLedgers(id)
	}
}

func (c *Cloud) resetLedgers(id store.DeviceID) {
	if _, known := c.node.Status(id); known {
		c.node.Command(id, func(now clock.Instant, d *app.Device, out *app.Out) { d.ResetLedgers(now, out) })
	}
}
