package target

import (
	"bytes"
	"context"
	"crypto/rand"
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
	"github.com/muster/muster/sim/device"
	"github.com/muster/muster/sim/profile"
	"github.com/muster/muster/transport"
)

// A PuppetDevice is a puppet that plays a device of a profile before a cloud: the
// reference cloud in virtual time, or the foreign one that is judged.
type PuppetDevice struct {
	*stage
	// Peer is the puppet.
	Peer *peer.Device
	// Dialect is what the device that it plays speaks.
	Dialect pdc.Dialect

	env      *Env
	place    place
	own      *ownCloud   // nil: the cloud is not ours
	foreign  *foreignTie // nil: it is
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

// NewPuppetDevice returns a puppet of the profile that has not connected, and a cloud
// that knows it: a reference cloud with the faults of the run, or the foreign cloud that
// is judged.
func (e *Env) NewPuppetDevice(p *profile.Profile, runSeed uint64, craft Puppetry) (*PuppetDevice, error) {
	d := &PuppetDevice{env: e, Dialect: p.Dialect(), outcomes: make(map[uint64]*Outcome), ledgers: craft.Ledgers}
	random := rand.Reader
	var err error
	switch {
	case e.isForeign() && craft.Ledgers == nil:
		err = d.meetForeign(p)
	default:
		if err = e.need(VirtualTime); err == nil {
			random = seed.Bytes(runSeed, "puppet/device")
			err = d.meetOwn(p, runSeed)
		}
	}
	if err != nil {
		return nil, err
	}
	key, cloudKey := d.deviceKey()
	c := peer.DeviceConfig{
		ID: d.id, Key: key, CloudKey: cloudKey, Cloud: d.where(), Rand: random,
		Gen: p.Generation(), Mark: p.Mark(), Timers: p.HandshakeTimers(), Observe: d.happened,
	}
	if craft.Device != nil {
		craft.Device(&c)
	}
	d.Peer = peer.NewDevice(c)
	d.place = d.attach(d.Peer, false)
	return d, nil
}

// meetOwn puts the puppet before the reference cloud.
func (d *PuppetDevice) meetOwn(p *profile.Profile, runSeed uint64) (err error) {
	d.stage = newStage(d.env.kept(), p, runSeed)
	d.own, err = d.reference(runSeed, d.observe, func(c *CloudConfig) {
		c.App.Ledgers = d.ledgers != nil
		if d.env.options.Cloud != nil {
			d.env.options.Cloud(c, false)
		}
	})
	return err
}

// happened hears from the puppet itself. Nobody else tells the secrets of its sessions
// when the cloud is not ours.
func (d *PuppetDevice) happened(e peer.Event) {
	if e.Kind == peer.Secured && e.Secrets != nil && d.own == nil {
		d.wire.decoder.AddSecrets(*e.Secrets)
	}
}

// Mine marks data of an event so that deliveries of other puppets' events can be told from
// those of this one's, where they share an account.
func (d *PuppetDevice) Mine(data []byte) []byte { return append([]byte(d.salt), data...) }

// IsMine reports whether data was marked.
func (d *PuppetDevice) IsMine(data []byte) bool { return bytes.HasPrefix(data, []byte(d.salt)) }

// Sees is Env.Sees.
func (d *PuppetDevice) Sees(c Capability) bool { return d.env.Sees(c) }

// Needs is Env.Needs.
func (d *PuppetDevice) Needs(c Capability) error { return d.env.need(c) }

// Lack notes for the check that the target turned out to lack a capability.
func (d *PuppetDevice) Lack(c Capability, why string) error {
	return d.env.use.note(&Missing{Capability: c, Why: why})
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
		d.at(d.Now(), func() { // not while the cloud is at it
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

// handshakeTime is what a handshake may take: more than all retransmissions do.
const handshakeTime = time.Minute

// Handshake secures the connection.
func (d *PuppetDevice) Handshake() error {
	d.Act(func(now clock.Instant, p *peer.Device, out *transport.Out) { p.Connect(now, out) })
	if !d.Await(handshakeTime, d.Peer.Secured) {
		return fmt.Errorf("target: the cloud does not let the puppet in within %v", handshakeTime)
	}
	if d.foreign == nil {
		d.Settle(time.Second)
	}
	// Behind a handshake a good cloud says nothing before it has heard a Hello, and some
	// drop a device that is secured and says none within ten seconds of its connecting.
	return nil
}

// Say sends bytes as one CoAP message and lets come what comes back, for a second.
func (d *PuppetDevice) Say(message []byte) {
	d.Act(func(_ clock.Instant, p *peer.Device, out *transport.Out) { p.Say(message, out) })
	d.Settle(time.Second)
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
	if d.foreign != nil {
		// Somebody else's cloud asks when it likes and what it likes, and may do nothing
		// before it has heard it.
		d.Peer.SetAnswer(d.describesAll)
		d.Peer.SetHabit(d.describesAll)
	}
	mark := d.Now()
	id := d.Tell(h.Message(d.Dialect))
	if !d.greeted(mark, id) {
		return errors.New("target: the cloud does not take the puppet's Hello")
	}
	if d.Dialect.System >= pdc.OS2_0 {
		d.Tell(d.DescribePost(pdc.DescribeApplication, d.Application()))
	}
	d.Peer.SetAnswer(nil)
	return nil
}

// greeted reports whether the cloud has taken the Hello of that ID.
func (d *PuppetDevice) greeted(since clock.Instant, id uint16) bool {
	if d.own != nil {
		return d.Recorded().Online
	}
	return d.Within(4*time.Second, func() bool {
		return slices.ContainsFunc(d.Heard(since), func(m peer.Message) bool {
			if d.Dialect.UDP {
				return m.Err == nil && m.CoAP.Type == coap.Acknowledgement && m.CoAP.ID == id
			}
			return m.Err == nil && m.CoAP.Code == coap.POST && m.CoAP.Path() == "h"
		})
	})
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
	return d.describesWith(m, d.Application())
}

func (d *PuppetDevice) describesWith(m peer.Message, description []byte) ([][]byte, bool) {
	if m.Err != nil || m.CoAP.Code != coap.GET || !strings.HasPrefix(m.CoAP.Path(), "d") {
		return nil, false
	}
	if d.Dialect.System < pdc.OS2_0 {
		return [][]byte{peer.Reply(m, coap.Content, description)}, true
	}
	response := coap.Message{Type: coap.Confirmable, Code: coap.Content, ID: d.Peer.NextID(), Token: m.CoAP.Token, Payload: description}
	return [][]byte{peer.Ack(m), response.Append(nil)}, true
}

// describesAll answers a describe request with what it asks for: without flags that is the
// application and the modules, in one document.
func (d *PuppetDevice) describesAll(m peer.Message) ([][]byte, bool) {
	r, err := pdc.ParseDescribeRequest(m.CoAP)
	if m.Err != nil || err != nil {
		return d.describes(m)
	}
	system := pdc.SystemDescribe{Platform: d.Profile.Board.Platform, HasPlatform: true, Modules: device.Factory(d.Profile)}
	switch {
	case r.Flags&pdc.DescribeDefault == pdc.DescribeDefault:
		application, err := pdc.ParseApplicationDescribe(d.Application())
		if err != nil {
			return d.describes(m)
		}
		return d.describesWith(m, pdc.AppendCombined(nil, application, system))
	case r.Flags == pdc.DescribeSystem && d.Dialect.System < pdc.OS5_5:
		return d.describesWith(m, system.AppendJSON(nil))
	}
	return d.describes(m)
}

// Heard returns what the puppet heard from an instant on.
func (d *PuppetDevice) Heard(since clock.Instant) []peer.Message { return d.Peer.Heard(since) }

// Events returns the events of the device that the cloud took from an instant on.
func (d *PuppetDevice) Events(since clock.Instant) []CloudEvent {
	if d.own == nil {
		_ = d.env.need(EventStream)
	}
	i := slices.IndexFunc(d.events, func(e CloudEvent) bool { return e.At >= since })
	if i < 0 {
		return nil
	}
	return d.events[i:]
}

// Notes returns what the cloud noticed from an instant on, in words.
func (d *PuppetDevice) Notes(since clock.Instant, what string) []CloudNote {
	if d.own == nil {
		_ = d.env.need(Insight)
	}
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
	if d.own == nil {
		_ = d.env.need(Insight)
		return Recorded{}
	}
	st, _ := d.own.node.Status(store.DeviceID(d.id))
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
	if d.own == nil {
		return &Outcome{Done: true, Err: d.env.need(Prompting)}
	}
	ref := uint64(len(d.outcomes) + 1)
	outcome := &Outcome{}
	d.outcomes[ref] = outcome
	d.own.node.Command(store.DeviceID(d.id), func(now clock.Instant, a *app.Device, out *app.Out) { f(now, ref, a, out) })
	d.own.place.Do(d.own.node.Run)
	d.Run(0)
	return outcome
}

// Call makes the cloud call a function.
func (d *PuppetDevice) Call(name, argument string) *Outcome {
	if d.foreign != nil {
		return d.foreign.call(name, argument)
	}
	return d.command(func(now clock.Instant, ref uint64, a *app.Device, out *app.Out) {
		a.Call(now, ref, name, argument, out)
	})
}

// Read makes the cloud read a variable.
func (d *PuppetDevice) Read(name string) *Outcome {
	if d.foreign != nil {
		return d.foreign.read(name)
	}
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

// Publish makes the account publish an event, and lets come what comes of it, for a
// second. An API publishes text and nothing else.
func (d *PuppetDevice) Publish(name string, data []byte, content pdc.ContentFormat) {
	if d.foreign != nil {
		d.foreign.publish(name, data, content)
		return
	}
	d.own.node.Publish(virtualOwner, app.Event{Name: name, Data: data, Content: content, TTL: pdc.DefaultTTL, Private: true})
	d.own.place.Do(d.own.node.Run)
	d.Run(time.Second)
}

// Flash makes the cloud send an image. What cannot be read as one is an error.
func (d *PuppetDevice) Flash(image []byte) (*Outcome, error) {
	parsed, err := app.ParseImage(image)
	if err != nil {
		return nil, err
	}
	if d.foreign != nil {
		return d.foreign.flash(image), nil
	}
	return d.command(func(now clock.Instant, ref uint64, a *app.Device, out *app.Out) { a.Flash(now, ref, parsed, out) }), nil
}

// Image returns an application image of size bytes for the device.
func (d *PuppetDevice) Image(size int) []byte {
	return image(&Device{ID: d.id, Profile: d.Profile}, size, d.Profile.Board.Platform)
}

// Name is what the account calls the device, "" if only the cloud knows.
func (d *PuppetDevice) Name() string {
	if d.own == nil {
		return ""
	}
	return "virtual"
}

// SeenAs is the IP address that the cloud sees, "" if only the cloud knows: there may be
// a NAT between.
func (d *PuppetDevice) SeenAs() string {
	if d.own == nil && !d.host.IsLoopback() {
		return ""
	}
	return d.Address()
}

// ClaimCode makes a claim code of another account.
func (d *PuppetDevice) ClaimCode() (string, error) {
	if d.own == nil {
		return "", d.env.need(ClaimCodes)
	}
	d.claimed++
	code := fmt.Sprintf("%063d", d.claimed)
	err := d.own.store.PutClaimCode(context.Background(), code, store.AccountID{2}, virtualEpoch.Add(24*time.Hour))
	return code, err
}

// Claimed reports whether the device belongs to the account that made the claim
// codes.
func (d *PuppetDevice) Claimed() bool {
	if d.own == nil {
		return d.env.need(ClaimCodes) == nil
	}
	record, err := d.own.store.Device(context.Background(), store.DeviceID(d.id))
	return err == nil && record.Owner == store.AccountID{2}
}
