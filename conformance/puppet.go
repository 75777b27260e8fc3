package conformance

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/muster/muster/fixtures/gen"
	"github.com/muster/muster/harness/peer"
	"github.com/muster/muster/harness/report"
	"github.com/muster/muster/harness/target"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/trace"
)

// kindsOf returns one profile of the group for each way of being updated that its
// boards have.
func kindsOf(g *target.Group) []*target.DeviceProfile {
	var list []*target.DeviceProfile
	seen := make(map[bool]bool)
	for _, d := range g.Devices {
		if ota3 := d.Profile.OTA3(); !seen[ota3] {
			seen[ota3] = true
			list = append(list, d.Profile)
		}
	}
	return list
}

// withPuppetCloud runs a check on simulated devices of a group that are connected
// to a puppet.
func withPuppetCloud(e *target.Env, g *target.Group, r *Recorder, craft target.Stagecraft, f func(c *target.PuppetCloud, name string) error) error {
	for _, p := range kindsOf(g) {
		c, err := e.NewPuppetCloud(p, e.Seed(), craft)
		if err != nil {
			return err
		}
		if err = c.Online(); err == nil {
			err = f(c, p.String())
		}
		if err != nil {
			r.Inconclusive(report.Finding{Device: p.String(), Text: err.Error()})
		}
	}
	return nil
}

// withPuppetDevice runs a check on puppets that play devices of a group and are
// connected to the cloud.
func withPuppetDevice(e *target.Env, g *target.Group, r *Recorder, f func(d *target.PuppetDevice, name string) error) error {
	return withNewPuppetDevice(e, g, r, func(d *target.PuppetDevice, name string) error {
		if err := d.Online(); err != nil {
			return err
		}
		return f(d, name)
	})
}

// withNewPuppetDevice does what withPuppetDevice does with puppets that have not
// connected.
func withNewPuppetDevice(e *target.Env, g *target.Group, r *Recorder, f func(d *target.PuppetDevice, name string) error) error {
	for _, p := range kindsOf(g) {
		d, err := e.NewPuppetDevice(p, e.Seed(), target.Puppetry{})
		if err != nil {
			return err
		}
		if err := f(d, p.String()); err != nil {
			r.Inconclusive(report.Finding{Device: p.String(), Text: err.Error()})
		}
	}
	return nil
}

// unseen says that a part of a requirement was not looked at: only some targets show it.
func unseen(r *Recorder, requirement, name, what string) {
	r.Remark(remark(requirement, name, "not looked at, as the target does not show it: "+what))
}

// later lets d pass, and reports whether it did: where time is real a check may not have so
// much, and then a part of the requirement is not looked at.
func later(r *Recorder, d *target.PuppetDevice, requirement, name string, span time.Duration) bool {
	if !d.Affords(span) {
		r.Remark(remark(requirement, name, fmt.Sprintf("not looked at: what is %v later; give more --patience", span)))
		return false
	}
	d.Run(span)
	return true
}

// lives expects that the session is still good.
func lives(r *Recorder, d *target.PuppetDevice, requirement, name string) {
	if d.Sees(target.Insight) {
		Equal(r, requirement, name, "the session lives on", d.Recorded().Online, true)
		return
	}
	mark := d.Now()
	d.Tell(coap.Message{Type: coap.Confirmable})
	answered := d.Patient(func() bool { return len(d.Heard(mark)) > 0 })
	Equal(r, requirement, name, "the session lives on", answered, true, lines(d.Packets(mark))...)
}

// knownFunctions returns what the cloud knows of the functions of the device, as soon as it
// is what is wanted, and whether the cloud tells.
func knownFunctions(d *target.PuppetDevice, want func(functions []string) bool) (functions []string, tells bool) {
	for range 4 {
		if functions, tells = d.Functions(); !tells || want(functions) || d.Sees(target.Insight) {
			break
		}
		d.Settle(time.Second)
	}
	return functions, tells
}

// ended waits until a command has ended, and reports whether it has.
func ended(d *target.PuppetDevice, o *target.Outcome) bool {
	return d.Patient(func() bool { return o.Done })
}

// A fate is what becomes of a device's connection.
type fate uint8

const (
	alive fate = iota // it goes on
	gone              // the device ends it, and connects again
	dead              // the device ends it, and says nothing more
)

// A line is something that a puppet says to a device, and what it hears then.
type line struct {
	requirement string
	name        string
	// since and until are system module versions, until exclusive; 0: no bound.
	since, until uint16
	// only is "udp", "tcp", "v3" (OTA protocol v3), "legacy", "real" (not the virtual
	// device), "virtual", or "" for all.
	only string
	// say is in hexadecimal digits. Want are patterns: a digit, _ for any, ? for 4
	// over UDP and 5 over TCP; * at the end for anything behind it; u in front for
	// what comes over UDP only; LEVEL for the variable of that name.
	say  string
	want []string
	then fate
	// before are said first, and whatever comes then is not looked at.
	before []string
}

// fits reports whether the line is one for that device.
func (l *line) fits(c *target.PuppetCloud) bool {
	p := c.Profile
	system := p.Version.System
	switch {
	case system < l.since || l.until != 0 && system >= l.until:
		return false
	case l.only == "udp":
		return p.Board.UDP
	case l.only == "tcp":
		return !p.Board.UDP
	case l.only == "v3":
		return p.OTA3()
	case l.only == "legacy":
		return !p.OTA3()
	case l.only == "real":
		return !p.Board.Virtual
	case l.only == "virtual":
		return p.Board.Virtual
	}
	return true
}

// checkLines makes a check of lines. Each begins with a device that is connected.
func checkLines(list []line) func(e *target.Env, g *target.Group, r *Recorder, craft target.Stagecraft) error {
	return func(e *target.Env, g *target.Group, r *Recorder, craft target.Stagecraft) error {
		for _, p := range kindsOf(g) {
			var c *target.PuppetCloud
			for i := range list {
				l := &list[i]
				if c == nil {
					var err error
					if c, err = e.NewPuppetCloud(p, e.Seed(), craft); err != nil {
						return err
					}
				}
				if !l.fits(c) {
					continue
				}
				if one := l.lacks(c); one != "" {
					unseen(r, l.requirement, p.String(), fmt.Sprintf("%s: its application registers no %q", l.name, one))
					continue
				}
				if !c.Connected() {
					if err := c.Online(); err != nil {
						r.Inconclusive(report.Finding{Device: p.String(), Text: err.Error()})
						return nil
					}
				}
				if !l.judge(r, c, p.String()) {
					c = nil // the next one begins anew
				}
			}
		}
		return nil
	}
}

// wanted are the patterns for that device.
func (l *line) wanted(c *target.PuppetCloud) []string {
	var list []string
	for _, want := range l.want {
		rest, overUDP := strings.CutPrefix(want, "u")
		if !overUDP || c.Profile.Board.UDP {
			list = append(list, strings.ReplaceAll(rest, "LEVEL", level(c)))
		}
	}
	return list
}

// level is the variable of that name as the device sends it.
func level(c *target.PuppetCloud) string {
	value := target.Variables(c.DeviceID())[target.VariableLevel].Double
	return hex.EncodeToString(binary.LittleEndian.AppendUint64(nil, math.Float64bits(value)))
}

// lacks returns what the line asks for and the application of the device does not register,
// "" if it has it.
func (l *line) lacks(c *target.PuppetCloud) string {
	say := strings.ReplaceAll(l.say, " ", "")
	for _, one := range []string{target.FunctionSum, target.VariableCount, target.VariableLevel} {
		if strings.Contains(say, fmt.Sprintf("%02x%x", len(one), one)) && !c.Offers(one) {
			return one
		}
	}
	return ""
}

// judge says the line, and reports whether the connection is as it was.
func (l *line) judge(r *Recorder, c *target.PuppetCloud, name string) bool {
	for _, first := range l.before {
		message := gen.Hex(first)
		// Another ID, or it might be a copy of that of a line before.
		binary.BigEndian.PutUint16(message[2:], c.Peer.NextID())
		c.Say(message)
	}
	mark := c.Now()
	c.Say(gen.Hex(l.say))
	back := func() bool {
		_, again := c.BeganAnew(mark)
		return again
	}
	switch l.then {
	case alive:
	case gone:
		c.Return(mark, 5*time.Second) // a device connects again after a second at the latest
	case dead:
		c.Within(5*time.Second, back)
	}
	before := func(all []peer.Message) []peer.Message {
		first, again := c.BeganAnew(mark)
		i := slices.IndexFunc(all, func(m peer.Message) bool { return again && m.At == first.At && bytes.Equal(m.Wire, first.Wire) })
		if i < 0 {
			return all
		}
		return all[:i]
	}
	judgeHeard(r, l.requirement, name, l.name+": what the device says to "+l.say, c, mark, before, l.wanted(c))
	began := back()
	judgeFate(r, l.requirement, name, l.name, c, mark, l.then, began)
	return l.then == alive && !began
}

// judgeFate expects that the connection is alive, or that the device has ended it.
func judgeFate(r *Recorder, requirement, name, what string, c *target.PuppetCloud, mark clock.Instant, want fate, back bool) {
	switch want {
	case alive:
		Equal(r, requirement, name, what+": the device has begun anew", back, false, lines(c.Packets(mark))...)
		Equal(r, requirement, name, what+": the device answers a ping afterwards", answersPing(c), true, lines(c.Packets(mark))...)
	case gone:
		Equal(r, requirement, name, what+": the device ends the connection and begins anew", back, true, lines(c.Packets(mark))...)
	case dead:
		Equal(r, requirement, name, what+": the device answers a ping afterwards", answersPing(c), false, lines(c.Packets(mark))...)
	}
}

// answersPing pings a device, and reports whether it says that it was heard.
func answersPing(c *target.PuppetCloud) bool {
	mark := c.Now()
	c.Say([]byte{0x40, 0, 0x7f, 0xfe})
	return c.Patient(func() bool {
		return len(heardOf(c.Heard(mark), func(m peer.Message) bool { return m.CoAP.Type == coap.Acknowledgement })) > 0
	})
}

// A wired is a stage whose wire can be looked at.
type wired interface {
	Packets(since clock.Instant) []*trace.Packet
}

// judgeReplies compares what was heard with patterns, one a message.
func judgeReplies(r *Recorder, requirement, name, what string, w wired, mark clock.Instant, heard []peer.Message, want []string) {
	r.Judged(1)
	var got []string
	ok := len(heard) == len(want)
	for i, m := range heard {
		got = append(got, spaced(m.Wire))
		ok = ok && fitsPattern(m.Wire, want[i])
	}
	if ok {
		return
	}
	r.Fail(report.Finding{
		Requirement: requirement, Device: name, Text: what,
		Expected: fmt.Sprintf("%d messages %q", len(want), want), Actual: fmt.Sprintf("%d messages %q", len(got), got), Packets: lines(w.Packets(mark)),
	})
}

// judgeHeard compares what pick picks of all that a puppet cloud has heard since an instant
// with patterns; nil picks all. What a device that is not simulated says of its own accord is no
// answer.
func judgeHeard(r *Recorder, requirement, name, what string, c *target.PuppetCloud, mark clock.Instant, pick func(all []peer.Message) []peer.Message, want []string) {
	heard := func() []peer.Message {
		all := c.Heard(mark)
		if pick != nil {
			all = pick(all)
		}
		return slices.DeleteFunc(all, func(m peer.Message) bool { return !c.Sees(target.VirtualTime) && ofItsOwn(m, want) })
	}
	c.Patient(func() bool { return len(heard()) >= len(want) })
	judgeReplies(r, requirement, name, what, c, mark, heard(), want)
}

// only picks the messages that fit.
func only(fits func(m peer.Message) bool) func(all []peer.Message) []peer.Message {
	return func(all []peer.Message) []peer.Message { return heardOf(all, fits) }
}

// ofItsOwn reports whether a message is one that a device may send at any time, and that
// none of the patterns wants.
func ofItsOwn(m peer.Message, want []string) bool {
	if m.Err != nil || slices.ContainsFunc(want, func(pattern string) bool { return fitsPattern(m.Wire, pattern) }) {
		return false
	}
	return unprompted(pdc.Classify(m.CoAP, true))
}

// unprompted reports whether a device sends messages of a kind of its own accord.
func unprompted(k pdc.Kind) bool {
	switch k {
	case pdc.KindPublish, pdc.KindSubscribe, pdc.KindTimeRequest, pdc.KindDescribePost, pdc.KindPing, pdc.KindLedgerRequest:
		return true
	default:
		return false
	}
}

// judgeAnswers compares what a puppet device has heard since an instant with patterns. A
// foreign cloud may want something of the device at any time: what it asks for is no
// answer.
func judgeAnswers(r *Recorder, requirement, name, what string, d *target.PuppetDevice, mark clock.Instant, want []string) {
	heard := func() []peer.Message { return d.Heard(mark) }
	if !d.Sees(target.Prompting) {
		heard = func() []peer.Message {
			return slices.DeleteFunc(d.Heard(mark), func(m peer.Message) bool { return unasked(m, want) })
		}
	}
	d.Patient(func() bool { return len(heard()) >= len(want) })
	judgeReplies(r, requirement, name, what, d, mark, heard(), want)
}

// unasked reports whether a message of the cloud is a request that none of the patterns
// wants.
func unasked(m peer.Message, want []string) bool {
	request := isRequest(m.CoAP.Code) || m.CoAP.Type == coap.Confirmable && m.CoAP.Code == coap.Empty
	return m.Err == nil && request && !slices.ContainsFunc(want, func(pattern string) bool { return fitsPattern(m.Wire, pattern) })
}

// isRequest reports whether a code is that of a request.
func isRequest(c coap.Code) bool { return c != coap.Empty && c < 32 }

// shownMax is how many bytes of a message a finding shows.
const shownMax = 48

func spaced(wire []byte) string {
	text := fmt.Sprintf("% x", wire[:min(len(wire), shownMax)])
	if len(wire) > shownMax {
		text += fmt.Sprintf(" … (%d bytes)", len(wire))
	}
	return text
}

// fitsPattern reports whether a message is as the pattern says, see line.want.
func fitsPattern(wire []byte, pattern string) bool {
	pattern = strings.ReplaceAll(pattern, " ", "")
	body, open := strings.CutSuffix(pattern, "*")
	digits := hex.EncodeToString(wire)
	if len(digits) < len(body) || len(digits) > len(body) && !open {
		return false
	}
	for i := range body {
		switch body[i] {
		case '_':
		case '?':
			if digits[i] != '4' && digits[i] != '5' {
				return false
			}
		default:
			if digits[i] != body[i] {
				return false
			}
		}
	}
	return true
}

// heardOf returns the messages that fit.
func heardOf(all []peer.Message, fits func(m peer.Message) bool) []peer.Message {
	var some []peer.Message
	for _, m := range all {
		if m.Err == nil && fits(m) {
			some = append(some, m)
		}
	}
	return some
}

// asks fits requests whose first path segment is one of chars.
func asks(code coap.Code, chars string) func(m peer.Message) bool {
	return func(m peer.Message) bool {
		return m.CoAP.Code == code && len(m.CoAP.Options) > 0 && m.CoAP.Options[0].ID == coap.URIPath &&
			len(m.CoAP.Options[0].Value) == 1 && strings.Contains(chars, string(m.CoAP.Options[0].Value))
	}
}

// named fits events of that name.
func named(name string) func(m peer.Message) bool {
	return func(m peer.Message) bool {
		p, err := pdc.ParsePublish(m.CoAP)
		return asks(coap.POST, "eE")(m) && err == nil && p.Name == name
	}
}

// onlyReal skips the virtual device, which lacks what real boards have (PDC-12).
func onlyReal(why string) func(g *target.Group) string {
	return func(g *target.Group) string {
		if slices.ContainsFunc(g.Devices, func(d *target.Device) bool { return !d.Profile.Board.Virtual }) {
			return ""
		}
		return "the virtual device " + why
	}
}

// Why checks do not apply to the virtual device.
const takesAll = "takes every image"

// since skips releases before a system module version.
func since(system uint16) func(g *target.Group) string {
	return func(g *target.Group) string {
		if g.System < system {
			return "not before Device OS " + pdc.Release(system)
		}
		return ""
	}
}

// until skips releases from a system module version on.
func until(system uint16) func(g *target.Group) string {
	return func(g *target.Group) string {
		if g.System >= system {
			return "not from Device OS " + pdc.Release(system) + " on"
		}
		return ""
	}
}

// skipAny skips what either skips.
func skipAny(a, b func(g *target.Group) string) func(g *target.Group) string {
	return func(g *target.Group) string {
		if why := a(g); why != "" {
			return why
		}
		return b(g)
	}
}

// remark is a finding that says no more than that.
func remark(requirement, device, text string) report.Finding {
	return report.Finding{Requirement: requirement, Device: device, Text: text}
}
