package fleet

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/sim/device"
	"github.com/muster/muster/transport"
)

// run does what the command was asked for.
func (s *settings) run(ctx context.Context, stdout, stderr io.Writer) error {
	say := &console{w: stderr, quiet: s.quiet}
	if f, ok := stderr.(*os.File); ok {
		say.live = term.IsTerminal(int(f.Fd()))
	}
	f, err := s.prepare(ctx, say)
	if err != nil && !errors.Is(err, context.Canceled) {
		return &UsageError{err}
	}
	if f == nil {
		return err
	}
	return s.drive(ctx, f, stdout, say)
}

// prepare does what comes before the devices run, and makes the fleet if there
// is a cloud for it.
func (s *settings) prepare(ctx context.Context, say *console) (*Real, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	keys, list, err := s.members(ctx, say)
	if err != nil {
		return nil, err
	}
	if err := s.export(keys, list, say); err != nil || s.cloud == "" {
		return nil, err
	}
	return s.fleet(ctx, keys, list)
}

// export writes keys where the flags say.
func (s *settings) export(keys *Keys, list []Member, say *console) error {
	if s.keysOut != "" {
		if err := keys.Save(s.keysOut, list); err != nil {
			return err
		}
		say.say("The keys of %d devices are in %s.", len(list), s.keysOut)
		if n, shared := keys.RSA(); shared > 0 {
			say.say("There are %d RSA keys; %d devices share one of them, which the reference cloud refuses.", n, shared)
		}
		if s.register == "" {
			say.say("Register %s/<id>%s with the cloud, each under its id.", s.keysOut, publicEnd)
		}
	}
	if n, _ := keys.RSA(); s.seeded() && n > 0 {
		say.say("The %d RSA keys share %d primes: whoever has two of the public halves can break them.", n, keys.Primes())
	}
	if s.register == "" {
		return nil
	}
	err := keys.ExportPublic(s.register, list, func(done, of int) { say.progress("writing public keys: %d of %d", done, of) })
	if err != nil {
		return err
	}
	say.say("The public keys are in %s.", s.register)
	return nil
}

// fleet makes the fleet, switched off.
func (s *settings) fleet(ctx context.Context, keys *Keys, list []Member) (*Real, error) {
	pinned, err := s.pinned(list)
	if err != nil {
		return nil, err
	}
	o := Options{}
	if o.UDP, o.TCP, err = s.addresses(ctx); err != nil {
		return nil, err
	}
	if s.seed == 0 {
		var b [8]byte
		if _, err := rand.Read(b[:]); err != nil {
			return nil, fmt.Errorf("fleet: drawing a seed: %w", err)
		}
		s.seed = binary.LittleEndian.Uint64(b[:])
	}
	f, err := NewReal(o)
	if err != nil {
		return nil, err
	}
	t := Template{Keys: keys, EC: pinned.EC, RSA: pinned.RSA, App: application(), Seed: s.seed, Server: s.cloud}
	specs := make([]Spec, len(list))
	for i, m := range list {
		specs[i] = Spec{Config: t.Config(m.Profile), ID: m.ID}
	}
	if _, err := f.Add(specs...); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// application is what the devices of the command run: a function that returns the
// length of its argument, a variable with the device's number in its fleet, and a
// subscription to what begins with "fleet/".
func application() *device.App {
	return &device.App{
		Functions: []device.Function{
			{Name: "length", Call: func(_ device.ID, arg []byte) int32 { return int32(len(arg)) }},
		},
		Variables: []device.Variable{
			{Name: "number", Type: pdc.VariableInt, Value: func(id device.ID) pdc.Value {
				return pdc.Value{Type: pdc.VariableInt, Int: int32(binary.BigEndian.Uint32(id[8:]))}
			}},
		},
		Subscriptions:  []pdc.Subscribe{{Filter: "fleet/", Scope: pdc.ScopeMyDevices}},
		SetupOnConnect: true,
	}
}

// drive runs the fleet for its time and judges it.
func (s *settings) drive(ctx context.Context, f *Real, stdout io.Writer, say *console) error {
	inner, stop := context.WithCancel(context.Background())
	failed := make(chan error, 1)
	go func() { failed <- f.Run(inner) }()
	began := time.Now()
	f.Start(Ramp{Rate: s.rate})
	err := s.watch(ctx, f, failed, say)
	say.clear()
	m, took := f.Metrics(), time.Since(began)
	stop()
	if err == nil {
		err = <-failed
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	writeSummary(stdout, s.cloud, took, m)
	switch {
	case err != nil && s.duration > 0:
		return &ExitError{exitInterrupted}
	case m.Online == m.Devices:
		return nil
	case m.Wire[transport.DropSocketFull] > 0:
		return &ExitError{exitInconclusive}
	}
	return &ExitError{exitOffline}
}

// watch shows progress until the time is over. The error is that of ctx, or why
// the sockets failed.
func (s *settings) watch(ctx context.Context, f *Real, failed chan error, say *console) error {
	var end <-chan time.Time
	if s.duration > 0 {
		end = time.After(s.duration)
	}
	look := time.NewTicker(time.Second)
	defer look.Stop()
	var publish <-chan time.Time
	if s.publish > 0 {
		t := time.NewTicker(s.publish)
		defer t.Stop()
		publish = t.C
	}
	began := time.Now()
	for {
		select {
		case <-look.C:
			m := f.Metrics()
			say.progress("%v  online %d of %d  connecting %d  handshakes %d  resumes %d  lost %d  published %d",
				time.Since(began).Round(time.Second), m.Online, m.Devices, m.Connecting+m.Queued, m.Handshakes, m.Resumes, m.Offline, m.Published)
		case <-publish:
			f.Start(Ramp{Rate: float64(f.Len()) / s.publish.Seconds(), Do: publishOne})
		case <-end:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case err := <-failed:
			failed <- nil
			return err
		}
	}
}

// publishOne makes a device publish an event, if it is connected.
func publishOne(now clock.Instant, d *device.Device, out *device.Out) {
	if d.Online() {
		_ = d.Publish(now, device.Publication{Name: "muster/fleet", Data: []byte("1")}, out) // refused while it is updated
	}
}
