package target

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"time"

	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/harness/report"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/trace"
)

// A Probe is what was found out about a target before it is judged.
type Probe struct {
	// Capabilities are what was declared and what was found.
	Capabilities []report.Capability
	// Canaries are the nonsense cases to which the target said yes: it cannot be
	// judged. Asked is how many there were.
	Canaries []string
	Asked    int
}

// The words of Capability.Declared and Capability.Probed.
const (
	yes = "yes"
	no  = "no"
)

func word(b bool) string {
	if b {
		return yes
	}
	return no
}

// Probe finds out what the target can do, and whether it can say no. What it
// cannot do is lacking from then on. limit bounds the wait for one device.
//
// The reference cloud with simulated devices needs no probe: it is what it is.
func (e *Env) Probe(ctx context.Context, limit time.Duration) Probe {
	var p Probe
	if e.options.Spec.Judged() == "" {
		return p
	}
	online := e.probeTransports(ctx, limit, &p)
	e.measurePace(online)
	if len(online) > 0 && ctx.Err() == nil {
		if e.options.Spec.Judged() == CloudRole {
			e.probeCloud(ctx, min(limit, probeCloudTime), online[0], &p)
		} else {
			e.probeDevice(ctx, online[0], &p)
			e.probeMemory(ctx, online[0], &p)
		}
	}
	return p
}

// found notes the result of a probe of one capability.
func (e *Env) found(p *Probe, c Capability, has bool, text string) {
	one := report.Capability{Target: e.options.Spec.Title(), Name: string(c), Probed: word(has), Text: text}
	if declared, ok := e.options.Spec.Capabilities[c]; ok {
		one.Declared = word(declared)
	}
	p.Capabilities = append(p.Capabilities, one)
}

// probeTransports brings one device of each group to the cloud, and returns those
// that got in. A transport over which none does is lacking.
func (e *Env) probeTransports(ctx context.Context, limit time.Duration, p *Probe) []*Device {
	e.options.Progress("looking who gets in")
	var first []*Device
	for _, g := range e.groups {
		if g.Absent == "" {
			first = append(first, g.Devices[0])
		}
	}
	bound, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	began := time.Now()
	Each(first, func(d *Device) {
		its, stop := d.whileHopeful(bound)
		defer stop()
		d.Bring(its)
	})
	if len(first) > 0 && bound.Err() == nil { // none was waited for that long
		limit = time.Since(began).Round(100 * time.Millisecond)
	}
	var online []*Device
	for _, t := range []struct {
		name string
		c    Capability
	}{{"udp", CloudUDP}, {"tcp", CloudTCP}} {
		var of []*Device
		in := 0
		for _, d := range first {
			if d.group.Transport != t.name {
				continue
			}
			of = append(of, d)
			if d.Connected() {
				in++
				online = append(online, d)
			}
		}
		if len(of) == 0 || ctx.Err() != nil {
			continue
		}
		text := fmt.Sprintf("%d of %d devices got in", in, len(of))
		if in == 0 {
			text = e.silence(of, limit)
			e.lack(text, t.c)
			for _, d := range of {
				d.group.Absent, d.group.Heard = text, d.board == nil && e.wire.heardFrom(e.addressOf(of[0]))
			}
		}
		e.foundNamed(p, t.c, in > 0, text)
	}
	return online
}

// foundNamed notes what was found of a transport, or of an API, that was named: that
// is a declaration.
func (e *Env) foundNamed(p *Probe, c Capability, has bool, text string) {
	e.found(p, c, has, text)
	if one := &p.Capabilities[len(p.Capabilities)-1]; one.Declared == "" {
		one.Declared = yes
	}
}

// addressOf is where a device connects to.
func (e *Env) addressOf(d *Device) netip.AddrPort {
	if d.Profile.Board.UDP {
		return e.address.UDP
	}
	return e.address.TCP
}

// whileHopeful ends when the device is a program that ends again and again and has
// never sent anything.
func (d *Device) whileHopeful(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	b, ok := d.board.(interface{ Hopeless() <-chan struct{} })
	if !ok {
		return ctx, cancel
	}
	go func() {
		select {
		case <-b.Hopeless():
			if len(d.Packets(Mark{})) == 0 {
				cancel()
			}
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// silence says why no device got in.
func (e *Env) silence(list []*Device, limit time.Duration) string {
	up, down := 0, 0
	last := ""
	for _, d := range list {
		for _, p := range d.Packets(Mark{}) {
			if p.Direction == trace.Up {
				up++
				continue
			}
			down++
			last = p.String()
		}
	}
	address := e.addressOf(list[0])
	switch {
	case list[0].board != nil && up == 0 && trouble(list[0].board) != "":
		return fmt.Sprintf("the device said nothing to %v within %v: %s", address, limit, trouble(list[0].board))
	case list[0].board != nil && up == 0:
		return fmt.Sprintf("the device said nothing to %v within %v: does it run, and does it know the address?", address, limit)
	case list[0].board != nil:
		return fmt.Sprintf("the device did not get in within %v: it sent %d packets; refused: %v", limit, up, e.Refused())
	case up == 0:
		return fmt.Sprintf("no device got a word out of %v within %v: nobody listens there, or it says nothing", address, limit)
	case down == 0:
		return fmt.Sprintf("nothing came back from %v within %v, to %d packets", address, limit, up)
	}
	return fmt.Sprintf("no device got in at %v within %v; the last of %d packets that came back: %s", address, limit, down, last)
}

// trouble is what a board says of itself when it does not work, "" for nothing.
func trouble(b Board) string {
	if t, ok := b.(interface{ Trouble() string }); ok {
		return t.Trouble()
	}
	return ""
}

// The bounds of one question: to an API, and to a device, which never answers what
// cannot be.
const (
	probeCloudTime = 15 * time.Second
	canaryTime     = 6 * time.Second
)

// probeCloud asks a cloud for what its API offers, and for what cannot be.
func (e *Env) probeCloud(ctx context.Context, limit time.Duration, d *Device, p *Probe) {
	if e.service == nil {
		return
	}
	e.options.Progress("asking the API for what it can do")
	questions := []struct {
		c   Capability
		ask func(context.Context) error
	}{
		{Functions, func(ctx context.Context) error {
			_, err := e.service.call(ctx, d, FunctionSum, "probe")
			return err
		}},
		{VariableReads, func(ctx context.Context) error {
			_, err := e.service.read(ctx, d, VariableLabel)
			return err
		}},
		{CloudPublish, func(ctx context.Context) error { return e.service.publish(ctx, 0, "muster-probe", []byte("probe")) }},
		{EventStream, e.streams},
	}
	answers := make([]error, len(questions))
	var done sync.WaitGroup
	for i, q := range questions {
		done.Go(func() { answers[i] = ask(ctx, limit, q.ask) })
	}
	done.Wait()
	for i, q := range questions {
		switch err := answers[i]; {
		case err == nil:
			e.found(p, q.c, true, "it was asked and answered")
		case absent(err):
			e.found(p, q.c, false, err.Error())
			e.lack("the API has none: "+err.Error(), q.c)
		case answered(err):
			e.found(p, q.c, false, err.Error()) // the checks tell more
		default:
			e.foundNamed(p, q.c, false, err.Error())
			e.lack("the API does not work: "+err.Error(), q.c)
		}
	}
	if e.Lacks(Functions) == "" || e.Lacks(VariableReads) == "" {
		e.canariesOfCloud(ctx, d, p)
	}
}

func ask(ctx context.Context, limit time.Duration, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return f(ctx)
}

// absent reports whether an API says that it has no such route.
func absent(err error) bool {
	var answer *APIError
	if !errors.As(err, &answer) {
		return false
	}
	switch answer.Status {
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return true
	}
	return false
}

// answered reports whether an API said anything that checks can judge. One that is
// not reached, lets nobody in or breaks down says nothing.
func answered(err error) bool {
	var answer *APIError
	if !errors.As(err, &answer) {
		var broken *url.Error
		return !errors.As(err, &broken) && !errors.Is(err, context.DeadlineExceeded)
	}
	return answer.Status/100 != 5 && answer.Status != http.StatusUnauthorized && answer.Status != http.StatusForbidden
}

// streams reports whether an event stream opens and stays.
func (e *Env) streams(ctx context.Context) error {
	opened := make(chan *Stream, 1)
	go func() { opened <- e.service.subscribe(0, "muster-probe") }()
	var s *Stream
	select {
	case s = <-opened:
	case <-ctx.Done():
		go func() { (<-opened).Close() }()
		return ctx.Err()
	}
	defer s.Close()
	answered := s.answered
	for {
		select {
		case _, open := <-s.C:
			if !open {
				return s.Err()
			}
			return nil
		case <-answered:
			answered = nil // from now on it has to stay
			time.AfterFunc(streamStays, s.stop)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// streamStays is how long a stream has to stay open that counts as one.
const streamStays = time.Second

// nonsense names what no device and no cloud has.
const nonsense = "muster-canary-no-such-thing"

// canary asks for something that cannot be, and notes if the answer is yes.
func (p *Probe) canary(what string, err error) {
	p.Asked++
	if err == nil {
		p.Canaries = append(p.Canaries, what)
	}
}

// canariesOfCloud asks an API for what cannot be.
func (e *Env) canariesOfCloud(ctx context.Context, d *Device, p *Probe) {
	p.canary("a call of a function that does not exist returned a value", ask(ctx, probeCloudTime, func(ctx context.Context) error {
		_, err := e.service.call(ctx, d, nonsense, "")
		return err
	}))
	p.canary("a variable that does not exist has a value", ask(ctx, probeCloudTime, func(ctx context.Context) error {
		_, err := e.service.read(ctx, d, nonsense)
		return err
	}))
	nobody := e.newDevice(DeviceID{0xff, 0xff, 11: 0xff}, d.Profile)
	p.canary("a function of a device that does not exist returned a value", ask(ctx, probeCloudTime, func(ctx context.Context) error {
		_, err := e.service.call(ctx, nobody, FunctionSum, "")
		return err
	}))
	if api, ok := e.service.(*rest); ok {
		stranger := &rest{base: api.base, tokens: []string{nonsense}, client: api.client, alive: api.alive}
		p.canary("a token that does not exist is let in", ask(ctx, probeCloudTime, func(ctx context.Context) error {
			_, err := stranger.call(ctx, d, FunctionSum, "")
			return err
		}))
	}
}

// probeDevice holds what a device says of itself against what it is said to be,
// and calls a function that it cannot have.
func (e *Env) probeDevice(ctx context.Context, d *Device, p *Probe) {
	e.probeHello(d, p)
	e.options.Progress("asking the device for what cannot be")
	p.canary("a call of a function that does not exist returned a value", ask(ctx, canaryTime, func(ctx context.Context) error {
		_, err := e.cloud.CallUnlisted(ctx, store.DeviceID(d.ID), nonsense[:12], "")
		return err
	}))
}

// probeMemory restarts a board of which nobody knows whether it keeps its session.
func (e *Env) probeMemory(ctx context.Context, d *Device, p *Probe) {
	if declared, ok := e.options.Spec.Capabilities[KeepsState]; d.board == nil || e.knows || ok && !declared || e.Lacks(KeepsState) != "" || d.group.Transport != "udp" {
		return
	}
	e.options.Progress("restarting the device, to see whether it keeps its session")
	var mark Mark
	how := "it was reset"
	if e.Lacks(Resets) == "" {
		var err error
		if mark, err = d.Reset(ctx); err != nil {
			e.lack("it could not be reset: "+err.Error(), Resets, KeepsState)
			return
		}
	} else if e.Lacks(Power) == "" {
		how = "its power was cut"
		d.Suspend()
		mark = d.Mark()
		d.PowerOn()
	} else {
		e.lack("nothing can restart it, so nobody knows", KeepsState)
		return
	}
	back, cancel := context.WithTimeout(ctx, memoryTime)
	defer cancel()
	online, err := d.AwaitOnline(back, mark)
	switch {
	case err != nil:
		e.found(p, KeepsState, false, how+", and it did not come back")
		e.lack(how+", and it did not come back", KeepsState)
	case !online.Resumed:
		e.found(p, KeepsState, false, how+", and it made a new handshake")
		e.lack("it makes a new handshake when "+how, KeepsState)
	default:
		e.found(p, KeepsState, true, how+", and it went on with its session")
	}
}

// memoryTime is how long a board may take to come back.
const memoryTime = 3 * time.Minute

// probeHello holds the first Hello against the profile.
func (e *Env) probeHello(d *Device, p *Probe) {
	for _, packet := range d.Packets(Mark{}) {
		for _, m := range packet.Messages() {
			if m.Kind != pdc.KindHello {
				continue
			}
			hello, err := pdc.ParseHello(m.CoAP)
			if err != nil {
				return // a check tells
			}
			e.compare(p, "platform", fmt.Sprint(uint16(d.Profile.Board.Platform)), fmt.Sprint(uint16(hello.Platform)))
			if hello.System != 0 {
				e.compare(p, "device-os", pdc.Release(d.Profile.Version.System), pdc.Release(hello.System))
			}
			e.compare(p, "ota3", word(d.Profile.OTA3()), word(hello.Flags&pdc.HelloOTA3 != 0))
			return
		}
	}
}

func (e *Env) compare(p *Probe, name, declared, probed string) {
	p.Capabilities = append(p.Capabilities, report.Capability{
		Target: e.options.Spec.Title(), Name: name, Declared: declared, Probed: probed, Text: "from its Hello",
	})
}
