package cloudref

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/muster/muster/cloudref/doctor"
	"github.com/muster/muster/cloudref/store"
)

// report answers what the doctor asks a running cloud.
func (d *desk) report(w http.ResponseWriter, r *http.Request) {
	if d.cloud == nil {
		answer(w, nil, errors.New("no cloud runs on this data directory"))
		return
	}
	report := d.cloud.diagnose(r.Context())
	// After this the doctor knocks, at each address once: that is no board.
	visits := d.cloud.visits.Add(1) - 1
	report.Datagrams -= min(report.Datagrams, visits)
	report.Streams -= min(report.Streams, visits)
	if text := r.URL.Query().Get("device"); text != "" {
		id, err := store.ParseDeviceID(text)
		if err != nil {
			answer(w, nil, err)
			return
		}
		report.Device = d.cloud.diagnoseDevice(r.Context(), id)
	}
	answer(w, report, nil)
}

// storagePatience is how long the storage may take to answer the doctor.
const storagePatience = 5 * time.Second

func (c *Cloud) diagnose(ctx context.Context) doctor.Report {
	counts := c.node.Counts()
	r := doctor.Report{
		Up: time.Since(c.o.Clock.Start()), Data: c.o.Dir, Devices: c.store.Registered(),
		Datagrams: counts.Datagrams.Load() - counts.ProbesEchoed.Load(), Streams: counts.Streams.Load(), Secured: counts.Secured.Load(),
		Unstored: counts.Unstored.Load(), PoolFull: counts.PoolFull.Load() + counts.HalfOpenEvicted.Load(), TrustFor: c.trust.left(),
	}
	if a := c.UDP(); a.IsValid() {
		r.UDP = a.String()
	}
	if a := c.TCP(); a.IsValid() {
		r.TCP = a.String()
	}
	for g, n := range c.node.Census() {
		if g.Online {
			r.Online += n
		}
	}
	ctx, cancel := context.WithTimeout(ctx, storagePatience)
	defer cancel()
	if err := c.store.Check(ctx); err != nil {
		r.Storage = err.Error()
	}
	for _, x := range c.refusals.recent() {
		told := doctor.Refusal{
			Peer: x.Peer, Transport: x.Transport, Reason: x.Reason, Detail: x.Detail, Count: x.Count, First: x.First, Last: x.Last,
		}
		if x.Device != (store.DeviceID{}) {
			told.Device = x.Device.String()
		}
		r.Refusals = append(r.Refusals, told)
	}
	return r
}

func (c *Cloud) diagnoseDevice(ctx context.Context, id store.DeviceID) *doctor.Device {
	st, _ := c.node.Status(id)
	d := &doctor.Device{ID: id.String(), Online: st.Online, Peer: st.Peer, Session: st.Transport}
	record, err := c.store.Device(ctx, id)
	if err != nil {
		return d
	}
	d.Registered, d.Denied = true, record.Flags&store.Denied != 0
	d.UDP, d.TCP = record.P256 != nil, record.RSA != nil
	d.LastHandshake, d.LastAddress = record.LastHandshake, record.LastAddress
	return d
}
