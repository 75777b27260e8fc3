package target

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/muster/muster/cloudref/app"
	"github.com/muster/muster/cloudref/endpoint"
	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/harness/peer"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/seed"
	"github.com/muster/muster/sim/profile"
	"github.com/muster/muster/transport"
	"github.com/muster/muster/transport/vnet"
)

// A PuppetDevice is a puppet that plays a device of a profile before the
// reference cloud, in virtual time.
type PuppetDevice struct {
	*stage
	// Peer is the puppet.
	Peer *peer.Device
	// Dialect is what the device that it plays speaks.
	Dialect pdc.Dialect

	place    *vnet.Node
	cloud    *vnet.Node
	node     *endpoint.Node
	store    *store.Store
	outcomes map[uint64]*Outcome
	events   []CloudEvent
	notes    []CloudNote
	claimed  int
	ledgers  func(pdc.LedgerCall) pdc.LedgerReply
}

// An Outcome is what became of a command that the cloud was given.
type Outcome struct {
	Done  bool
	Err   error
	Int   int32     // of a function
	Value pdc.Value // of a variable
	// Stages are those that an update went through, in words.
	Stages []string
	// Packets is how many chunk messages an update took.
	Packets int
}

// A CloudEvent is an event of the device that the cloud took for the account's
// stream.
type CloudEvent struct {
	At   clock.Instant
	Name string
	Data []byte
	TTL  uint32
	// Content is what Data is.
	Content pdc.ContentFormat
}

// A CloudNote is something that the cloud noticed about the device.
type CloudNote struct {
	At clock.Instant
	// What is "online", "offline", "ended", "refused", "safe mode", "vitals",
	// "described".
	What   string
	Detail string
	// Metrics are those of "vitals".
	Metrics []pdc.Metric
}

// A Puppetry is what a PuppetDevice has besides the faults of the run. Zero fields
// change nothing.
type Puppetry struct {
	Device func(*peer.DeviceConfig)
	// Ledgers says what the cloud knows of ledgers; nil: it has none.
	Ledgers func(pdc.LedgerCall) pdc.LedgerReply
}

// NewPuppetDevice returns a puppet of the profile that has not connected, and a
// reference cloud that knows it, with the faults of the run.
func (e *Env) NewPuppetDevice(p *profile.Profile, runSeed uint64, craft Puppetry) (*PuppetDevice, error) {
	if err := e.need(VirtualTime); err != nil {
		return nil, err
	}
	d := &PuppetDevice{stage: newStage(e.kept(), p, runSeed), Dialect: p.Dialect(), outcomes: make(map[uint64]*Outcome), ledgers: craft.Ledgers}
	var err error
	d.node, d.cloud, d.store, err = d.reference(runSeed, d.observe, func(c *CloudConfig) {
		c.App.Ledgers = craft.Ledgers != nil
		if e.options.Cloud != nil {
			e.options.Cloud(c, false)
		}
	})
	if err != nil {
		return nil, err
	}
	key, cloudKey := d.deviceKey()
	c := peer.DeviceConfig{
		ID: d.id, Key: key, CloudKey: cloudKey, Cloud: cloudUDP, Rand: seed.Bytes(runSeed, "puppet/device"),
		Gen: p.Generation(), Mark: p.Mark(), Timers: p.HandshakeTimers(),
	}
	if !p.Board.UDP {
		c.Cloud = cloudTCP
	}
	if craft.Device != nil {
		craft.Device(&c)
	}
	d.Peer = peer.NewDevice(c)
	d.place = d.Net.Attach(d.Peer, virtualDevice)
	d.place.SetAccess(&latency)
	return d, nil
}

func (d *PuppetDevice) observe(o endpoint.Observation) {
	switch o.What {
	case endpoint.Secured:
		if o.Session.DTLS != nil {
			d.wire.decoder.AddSecrets(*o.Session.DTLS)
		}
	case endpoint.Published:
		e := o.Event
		d.events = append(d.events, CloudEvent{At: o.At, Name: e.Name, Data: e.Data, TTL: e.TTL, Content: e.Content})
	case endpoint.Online:
		d.note(o, "online", nil)
	case endpoint.Offline:
		d.note(o, "offline", nil)
	case endpoint.Ended:
		d.note(o, "ended", nil)
	case endpoint.Refused:
		d.note(o, "refused", nil)
	case endpoint.Application:
		d.effect(o)
	default:
		// Nothing that a check asks for.
	}
}

func (d *PuppetDevice) note(o endpoint.Observation, what string, metrics []pdc.Metric) {
	d.notes = append(d.notes, CloudNote{At: o.At, What: what, Detail: o.Detail, Metrics: slices.Clone(metrics)})
}

func (d *PuppetDevice) effect(o endpoint.Observation) {
	switch e := o.Effect.(type) {
	case app.Result:
		if outcome := d.outcomes[e.Ref]; outcome != nil {
			outcome.Done, outcome.Int = true, e.Int
			if e.Err != nil {
				outcome.Err = e.Err
			} else if e.Type != 0 {
				outcome.Value, outcome.Err = pdc.DecodeVariable(e.Type, e.Value)
			}
		}
	case app.FlashProgress:
		if outcome := d.outcomes[e.Ref]; outcome != nil {
			outcome.progress(e)
		}
	case app.SafeMode:
		o.Detail = fmt.Sprint(e.Missing)
		d.note(o, "safe mode", nil)
	case app.LedgerAsked:
		d.Net.At(d.Now(), func() { // not while the cloud is at it
			d.command(func(now clock.Instant, _ uint64, a *app.Device, out *app.Out) {
				a.AnswerLedger(now, e.Token, d.ledgers(e.Call), out)
			})
		})
	case app.Vitals:
		d.note(o, "vitals", e.Metrics)
	case app.Described:
		d.note(o, "described", nil)
	}
}

func (o *Outcome) progress(e app.FlashProgress) {
	if stage := e.Stage.String(); len(o.Stages) == 0 || o.Stages[len(o.Stages)-1] != stage {
		o.Stages = append(o.Stages, stage)
	}
	o.Packets = e.Packets
	switch e.Stage {
	case app.FlashDone:
		o.Done = true
	case app.FlashFailed:
		o.Done, o.Err = true, errors.New("failed")
		if e.Err != nil {
			o.Err = e.Err
		}
	default: // on its way
	}
}

// Stage returns the stage that an update is in, "" before it began.
func (o *Outcome) Stage() string {
	if len(o.Stages) == 0 {
		return ""
	}
	return o.Stages[len(o.Stages)-1]
}

// SystemError returns the device's own error number in a failure, 0 if there is
// none.
func (o *Outcome) SystemError() int32 {
	var failure *app.Failure
	if errors.As(o.Err, &failure) {
		return failure.System
	}
	return 0
}

// Act lets f act for the puppet.
func (d *PuppetDevice) Act(f func(now clock.Instant, p *peer.Device, out *transport.Out)) {
	d.place.Do(func(now clock.Instant, out *transport.Out) { f(now, d.Peer, out) })
}

// Handshake secures the connection.
func (d *PuppetDevice) Handshake() error {
	d.Act(func(now clock.Instant, p *peer.Device, out *transport.Out) { p.Connect(now, out) })
	if !d.Net.RunUntil(d.Peer.Secured, d.Now().Add(time.Minute)) {
		return errors.New("target: the cloud does not let the puppet in within a minute of virtual time")
	}
	d.Run(time.Second)
	return nil
}

// Say sends bytes as one CoAP message and lets a second pass.
func (d *PuppetDevice) Say(message []byte) {
	d.Act(func(_ clock.Instant, p *peer.Device, out *transport.Out) { p.Say(message, out) })
	d.Run(time.Second)
}

// Tell sends a message with the next ID, and returns the ID.
func (d *PuppetDevice) Tell(m coap.Message) uint16 {
	m.ID = d.Peer.NextID()
	d.Say(m.Append(nil))
	return m.ID
}

// Online makes a handshake and says Hello. A device that describes itself does.
func (d *PuppetDevice) Online() error { return d.OnlineWith(d.Hello()) }

// OnlineWith does what Online does with another Hello.
func (d *PuppetDevice) OnlineWith(h pdc.Hello) error {
	if err := d.Handshake(); err != nil {
		return err
	}
	return d.Greet(h)
}

// Greet says Hello and describes the application in the way of the release.
func (d *PuppetDevice) Greet(h pdc.Hello) error {
	d.Peer.SetAnswer(d.describes)
	d.Tell(h.Message(d.Dialect))
	if !d.Recorded().Online {
		return errors.New("target: the cloud does not take the puppet's Hello")
	}
	if d.Dialect.System >= pdc.OS2_0 {
		d.Tell(d.DescribePost(pdc.DescribeApplication, d.Application()))
	}
	d.Peer.SetAnswer(nil)
	return nil
}

// Application is the application describe of the device that the puppet plays.
func (d *PuppetDevice) Application() []byte {
	var a pdc.ApplicationDescribe
	functions := application()
	for i := range functions.Functions {
		a.Functions = append(a.Functions, functions.Functions[i].Name)
	}
	for i := range functions.Variables {
		a.Variables = append(a.Variables, pdc.VariableInfo{Name: functions.Variables[i].Name, Type: functions.Variables[i].Type})
	}
	return a.Append(nil)
}

// DescribePost is a describe that the device sends unasked.
func (d *PuppetDevice) DescribePost(flags pdc.DescribeFlags, payload []byte) coap.Message {
	p := pdc.DescribePost{Flags: flags, Payload: payload, Protobuf: flags == pdc.DescribeSystem && d.Dialect.System >= pdc.OS5_5}
	if d.Dialect.System >= pdc.OS3_3 {
		p.Token = []byte{0x31}
	}
	return p.Message(d.Dialect)
}

// describes answers a describe request with the application's.
func (d *PuppetDevice) describes(m peer.Message) ([][]byte, bool) {
	if m.Err != nil || m.CoAP.Code != coap.GET || !strings.HasPrefix(m.CoAP.Path(), "d") {
		return nil, false
	}
	if d.Dialect.System < pdc.OS2_0 {
		return [][]byte{peer.Reply(m, coap.Content, d.Application())}, true
	}
	response := coap.Message{Type: coap.Confirmable, Code: coap.Content, ID: d.Peer.NextID(), Token: m.CoAP.Token, Payload: d.Application()}
	return [][]byte{peer.Ack(m), response.Append(nil)}, true
}

// Heard returns what the puppet heard from an instant on.
func (d *PuppetDevice) Heard(since clock.Instant) []peer.Message { return d.Peer.Heard(since) }

// Events returns the events of the device that the cloud took from an instant on.
func (d *PuppetDevice) Events(since clock.Instant) []CloudEvent {
	i := slices.IndexFunc(d.events, func(e CloudEvent) bool { return e.At >= since })
	if i < 0 {
		return nil
	}
	return d.events[i:]
}

// Notes returns what the cloud noticed from an instant on, in words.
func (d *PuppetDevice) Notes(since clock.Instant, what string) []CloudNote {
	var list []CloudNote
	for _, n := range d.notes {
		if n.At >= since && n.What == what {
			list = append(list, n)
		}
	}
	return list
}

// Recorded is what the cloud knows of the device.
type Recorded struct {
	Online        bool
	Hello         pdc.Hello
	Dialect       pdc.Dialect
	Functions     []string
	Variables     []pdc.VariableInfo
	Modules       []pdc.ModuleInfo
	Subscriptions int
}

// Recorded returns what the cloud knows of the device.
func (d *PuppetDevice) Recorded() Recorded {
	st, _ := d.node.Status(store.DeviceID(d.id))
	r := Recorded{Online: st.Online, Hello: st.Hello, Dialect: st.Dialect, Subscriptions: len(st.Subs)}
	if st.Describe != nil {
		r.Functions, r.Variables = st.Describe.Application.Functions, st.Describe.Application.Variables
		r.Modules = st.Describe.System.Modules
	}
	return r
}

// Silence makes the cloud unreachable, or reachable again.
func (d *PuppetDevice) Silence(on bool) { d.place.SetOnline(!on) }

// command gives the cloud a command about the device.
func (d *PuppetDevice) command(f func(now clock.Instant, ref uint64, a *app.Device, out *app.Out)) *Outcome {
	ref := uint64(len(d.outcomes) + 1)
	outcome := &Outcome{}
	d.outcomes[ref] = outcome
	d.node.Command(store.DeviceID(d.id), func(now clock.Instant, a *app.Device, out *app.Out) { f(now, ref, a, out) })
	d.cloud.Do(d.node.Run)
	d.Run(0)
	return outcome
}

// Call makes the cloud call a function.
func (d *PuppetDevice) Call(name, argument string) *Outcome {
	return d.command(func(now clock.Instant, ref uint64, a *app.Device, out *app.Out) {
		a.Call(now, ref, name, argument, out)
	})
}

// Read makes the cloud read a variable.
func (d *PuppetDevice) Read(name string) *Outcome {
	return d.command(func(now clock.Instant, ref uint64, a *app.Device, out *app.Out) { a.Read(now, ref, name, out) })
}

// Ping makes the cloud ask for a sign of life.
func (d *PuppetDevice) Ping() *Outcome {
	return d.command(func(now clock.Instant, ref uint64, a *app.Device, out *app.Out) { a.Ping(now, ref, out) })
}

// Redescribe makes the cloud ask for the describes.
func (d *PuppetDevice) Redescribe() *Outcome {
	return d.command(func(now clock.Instant, ref uint64, a *app.Device, out *app.Out) { a.RequestDescribe(now, ref, out) })
}

// Vitals makes the cloud ask for the metrics.
func (d *PuppetDevice) Vitals() *Outcome {
	return d.command(func(now clock.Instant, ref uint64, a *app.Device, out *app.Out) { a.RequestVitals(now, ref, out) })
}

// Force makes the cloud overrule an application that holds updates back.
func (d *PuppetDevice) Force(on bool) *Outcome {
	return d.command(func(now clock.Instant, ref uint64, a *app.Device, out *app.Out) { a.ForceUpdates(now, ref, on, out) })
}

// Send makes the cloud send an event to the device, whatever it subscribed to.
func (d *PuppetDevice) Send(name string, data []byte) *Outcome {
	return d.command(func(now clock.Instant, ref uint64, a *app.Device, out *app.Out) {
		a.SendEvent(now, ref, app.Event{Name: name, Data: data, Private: true}, out)
	})
}

// Discard makes the cloud tell the device to forget its session.
func (d *PuppetDevice) Discard() *Outcome {
	return d.command(func(now clock.Instant, ref uint64, a *app.Device, out *app.Out) { a.DiscardSession(now, ref, out) })
}

// Signal makes the cloud start or stop the device's signal.
func (d *PuppetDevice) Signal(on bool) *Outcome {
	return d.command(func(now clock.Instant, ref uint64, a *app.Device, out *app.Out) { a.Signal(now, ref, on, out) })
}

// Publish makes the account publish an event, and lets a second pass.
func (d *PuppetDevice) Publish(name string, data []byte, content pdc.ContentFormat) {
	d.node.Publish(virtualOwner, app.Event{Name: name, Data: data, Content: content, TTL: pdc.DefaultTTL, Private: true})
	d.cloud.Do(d.node.Run)
	d.Run(time.Second)
}

// Flash makes the cloud send an image. What cannot be read as one is an error.
func (d *PuppetDevice) Flash(image []byte) (*Outcome, error) {
	parsed, err := app.ParseImage(image)
	if err != nil {
		return nil, err
	}
	return d.command(func(now clock.Instant, ref uint64, a *app.Device, out *app.Out) { a.Flash(now, ref, parsed, out) }), nil
}

// Image returns an application image of size bytes for the device.
func (d *PuppetDevice) Image(size int) []byte {
	return image(&Device{ID: d.id, Profile: d.Profile}, size, d.Profile.Board.Platform)
}

// Name is what the account calls the device.
func (d *PuppetDevice) Name() string { return "virtual" }

// ClaimCode makes a claim code of another account.
func (d *PuppetDevice) ClaimCode() (string, error) {
	d.claimed++
	code := fmt.Sprintf("%063d", d.claimed)
	err := d.store.PutClaimCode(context.Background(), code, store.AccountID{2}, virtualEpoch.Add(24*time.Hour))
	return code, err
}

// Claimed reports whether the device belongs to the account that made the claim
// codes.
func (d *PuppetDevice) Claimed() bool {
	record, err := d.store.Device(context.Background(), store.DeviceID(d.id))
	return err == nil && record.Owner == store.AccountID{2}
}
