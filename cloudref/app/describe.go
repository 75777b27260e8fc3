package app

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
)

// A Describe is what a device says of itself: modules, functions and variables.
// It never changes, so that equal devices share one. What no two devices have
// alike, the numbers of their modems, is kept apart.
type Describe struct {
	systemRaw, applicationRaw []byte // as stored: protobuf and JSON, in our own encoding
	System                    pdc.SystemDescribe
	Application               pdc.ApplicationDescribe
}

// describeLimits bound a describe that comes in blocks. Device OS keeps its own
// side for 90 s; a partial post is dropped after 60 s (PDC-3.3).
var describeLimits = coap.Limits{BytesMax: describeMax, Lifetime: 60 * time.Second}

// Describe returns what the device said of itself, nil if nothing yet. Devices
// without a modem that have it alike return the same pointer if Config.Share
// shares.
func (d *Device) Describe() *Describe {
	x := d.profile.describe
	if d.profile.modem == "" || !x.hasSystem() {
		return x
	}
	own := *x
	own.System.IMEI, own.System.ICCID, own.System.ModemFirmware = d.profile.modem.split()
	return &own
}

// A modem is what a device said of its modem: IMEI, ICCID and firmware, with a
// line break behind each but the last; empty for none.
type modem string

// modemMax bounds a modem in bytes.
const modemMax = 256

// cutModem takes what belongs to one device out of s.
func cutModem(s *pdc.SystemDescribe) modem {
	text := strings.Join([]string{s.IMEI, s.ICCID, s.ModemFirmware}, "\n")
	s.IMEI, s.ICCID, s.ModemFirmware = "", "", ""
	if len(text) > modemMax || strings.Count(text, "\n") != 2 || len(text) == 2 {
		return ""
	}
	return modem(text)
}

func (m modem) split() (imei, iccid, firmware string) {
	imei, rest, _ := strings.Cut(string(m), "\n")
	iccid, firmware, _ = strings.Cut(rest, "\n")
	return imei, iccid, firmware
}

// complete reports whether the application's functions and variables are known.
func (x *Describe) complete() bool { return x != nil && x.applicationRaw != nil }

// hasSystem reports whether the modules are known.
func (x *Describe) hasSystem() bool { return x != nil && x.systemRaw != nil }

func (x *Describe) hasFunction(name string) bool {
	return x != nil && slices.Contains(x.Application.Functions, name)
}

func (x *Describe) variable(name string) (pdc.VariableType, bool) {
	if x == nil {
		return 0, false
	}
	for _, v := range x.Application.Variables {
		if v.Name == name {
			return v.Type, true
		}
	}
	return 0, false
}

// with returns the describe with parts replaced: those that flags name come
// from payload. m is what payload says of the modem.
func (x *Describe) with(flags pdc.DescribeFlags, protobuf bool, payload []byte, c *Config) (next *Describe, m modem, err error) {
	var system, application []byte
	if x != nil {
		system, application = x.systemRaw, x.applicationRaw
	}
	if flags&pdc.DescribeSystem != 0 {
		parse := pdc.ParseSystemDescribeJSON
		if protobuf {
			parse = pdc.ParseSystemDescribe
		}
		s, err := parse(payload)
		if err != nil {
			return nil, "", err
		}
		m = cutModem(&s)
		system = s.AppendProto([]byte{})
	}
	if flags&pdc.DescribeApplication != 0 {
		a, err := pdc.ParseApplicationDescribe(payload)
		if err != nil {
			return nil, "", err
		}
		application = a.Append([]byte{})
	}
	next, err = shareDescribe(system, application, c)
	return next, m, err
}

// shareDescribe returns the one Describe of these documents. It copies them, and
// reads them only where no other device has the same.
func shareDescribe(system, application []byte, c *Config) (*Describe, error) {
	if system == nil && application == nil {
		return nil, nil
	}
	raw := &Describe{systemRaw: system, applicationRaw: application}
	key := raw.append([]byte("describe/"))
	var err error
	x := c.Share(string(key), func() any {
		var x *Describe
		x, err = parseDescribe(system, application)
		return x
	})
	return x.(*Describe), err
}

// parseDescribe reads the documents of a describe, nil for one that there is not.
// The Describe is nil if one of them cannot be read.
func parseDescribe(system, application []byte) (x *Describe, err error) {
	x = &Describe{systemRaw: slices.Clone(system), applicationRaw: slices.Clone(application)}
	if system != nil {
		if x.System, err = pdc.ParseSystemDescribe(x.systemRaw); err != nil {
			return nil, err
		}
	}
	if application != nil {
		if x.Application, err = pdc.ParseApplicationDescribe(x.applicationRaw); err != nil {
			return nil, err
		}
	}
	return x, nil
}

// append appends the stored form to b.
func (x *Describe) append(b []byte) []byte {
	if x == nil {
		return append(b, 0)
	}
	b = append(b, 1|flag(x.systemRaw != nil, 4)|flag(x.applicationRaw != nil, 8))
	return appendBytes(appendBytes(b, x.systemRaw), x.applicationRaw)
}

func readDescribe(r *reader, c *Config) *Describe {
	flags := r.byte()
	if flags == 0 {
		return nil
	}
	system, application := r.bytes(describeMax), r.bytes(describeMax)
	if flags&4 == 0 {
		system = nil
	}
	if flags&8 == 0 {
		application = nil
	}
	x, err := shareDescribe(system, application, c)
	if err != nil {
		r.bad = true
	}
	return x
}

// receiveDescribePost takes a describe that the device sends unasked, whole or
// block by block. Any ACK makes it go on with the next block (PDC-3.3).
func (d *Device) receiveDescribePost(now clock.Instant, m coap.Message, out *Out) {
	post, err := pdc.ParseDescribePost(m)
	if d.c.Faults.Describes.NeedsToken && len(m.Token) == 0 {
		out.answer(m, coap.Message{Code: coap.BadRequest})
		return
	}
	if err != nil {
		d.refuse(m, err, out)
		return
	}
	out.ack(m)
	if post.Block == nil {
		d.takeDescribe(now, post.Flags, post.Protobuf, post.Payload, out)
		return
	}
	slot := &d.busy().posts[postSlot(post.Flags)]
	if d.c.Faults.Describes.ForgetsBlocks {
		*slot = coap.Assembler{}
	}
	body, progress := slot.Add(now, m, []byte{byte(post.Flags)}, describeLimits)
	if progress == coap.Complete {
		d.takeDescribe(now, post.Flags, post.Protobuf, body, out)
	}
}

// postSlot keeps posts of different types apart: their blocks may interleave.
func postSlot(flags pdc.DescribeFlags) int {
	switch {
	case flags&pdc.DescribeMetrics != 0:
		return 2
	case flags&pdc.DescribeSystem != 0:
		return 0
	default:
		return 1
	}
}

// takeDescribe keeps a complete describe. One that cannot be read is dropped:
// the device would not send another.
func (d *Device) takeDescribe(now clock.Instant, flags pdc.DescribeFlags, protobuf bool, payload []byte, out *Out) {
	if flags&pdc.DescribeMetrics != 0 {
		if metrics, err := pdc.ParseMetrics(payload); err == nil {
			out.effect(Vitals{Metrics: metrics})
		}
		return
	}
	next, m, err := d.profile.describe.with(flags, protobuf && !d.c.Faults.Describes.JSONOnly, payload, d.c)
	if err != nil {
		return
	}
	before := d.profile.appendSession(nil)
	d.profile.describe = next
	if flags&pdc.DescribeSystem != 0 {
		d.profile.modem = m
	}
	d.refine()
	out.Save |= SaveDescribe
	described := Described{System: flags&pdc.DescribeSystem != 0, Application: flags&pdc.DescribeApplication != 0}
	if described.System {
		described.AppHash = next.AppHash()
	}
	out.effect(described)
	d.reconsider(now, out)
	if flags&pdc.DescribeSystem != 0 {
		d.judgePending(now, out)
		d.reportSafeMode(out)
	}
	if !bytes.Equal(before, d.profile.appendSession(nil)) {
		out.Save |= SaveSession // mostly a describe says nothing new of it
	}
}

// refine takes the Device OS version from the describe where the Hello does not
// tell it: up to 2.x.
func (d *Device) refine() {
	if d.profile.hello.System != 0 {
		return
	}
	newest := uint32(0)
	for _, m := range d.profile.describe.System.Modules {
		system := m.Function == pdc.ModuleSystemPart || m.Function == pdc.ModuleMonolithic
		if system && m.Store == pdc.StoreMain && m.Valid() {
			newest = max(newest, m.Version)
		}
	}
	if newest > uint32(d.profile.dialect.System) && newest < pdc.OS3_0 {
		d.profile.dialect = d.profile.dialect.Refine(uint16(newest))
	}
}

// RequestDescribe asks the device to describe itself again.
func (d *Device) RequestDescribe(now clock.Instant, ref uint64, out *Out) {
	if d.profile.dialect.System < pdc.OS3_3 || d.c.Faults.Describes.Combined {
		d.askDescribe(now, ref, pdc.DescribeDefault, out)
		return
	}
	// C-16: from 5.5 on only one type a request.
	d.askDescribe(now, 0, pdc.DescribeSystem, out)
	d.askDescribe(now, ref, pdc.DescribeApplication, out)
}

// RequestVitals asks the device for its metrics. They come as [Vitals].
func (d *Device) RequestVitals(now clock.Instant, ref uint64, out *Out) {
	d.askDescribe(now, ref, pdc.DescribeMetrics, out)
}

func (d *Device) askDescribe(now clock.Instant, ref uint64, flags pdc.DescribeFlags, out *Out) {
	d.enqueue(now, request{
		ref: ref, kind: pdc.KindDescribeRequest, flags: flags, fetch: &coap.Fetch{Strict: d.c.Faults.Describes.Strict},
		message: pdc.DescribeRequest{Token: d.nextToken(), Flags: flags}.Message(d.profile.dialect),
	}, out)
}

// describeResponse takes the answer to request i: the whole describe, or one
// block of it.
func (d *Device) describeResponse(now clock.Instant, i int, m coap.Message, out *Out) {
	r := &d.work.requests[i]
	if !coap.IsSuccess(m.Code) {
		failure := d.fail(Refused, "")
		failure.Code = m.Code
		d.complete(i, failure, out)
		return
	}
	answer, err := pdc.ParseDescribeResponse(m)
	if err != nil {
		d.complete(i, d.fail(Unusable, err.Error()), out)
		return
	}
	switch r.fetch.Add(now, m, describeLimits) {
	case coap.FetchDone:
		flags, body := r.flags, r.fetch.Body()
		d.complete(i, nil, out)
		d.takeDescribe(now, flags, answer.Protobuf, body, out)
	case coap.FetchNext:
		d.fetchNext(r)
	default:
		d.complete(i, d.fail(Unusable, "the blocks of its describe do not fit together"), out)
	}
}

// fetchNext asks for the next block, with a token of its own (C-18).
func (d *Device) fetchNext(r *request) {
	b := r.fetch.Next()
	if d.c.Faults.Describes.SmallBlocks {
		b.SZX--
	}
	r.message = pdc.DescribeRequest{
		Token: d.nextToken(), Flags: r.flags,
		Block: &coap.Block{Num: b.Num, SZX: b.SZX},
	}.Message(d.profile.dialect)
	r.stage = queued
}

// AppHash returns the SHA-256 of the application that the device runs, nil if it
// did not tell.
func (x *Describe) AppHash() []byte {
	if x == nil {
		return nil
	}
	for _, m := range x.System.Modules {
		if m.Function == pdc.ModuleUserPart && m.Store == pdc.StoreMain && len(m.Hash) > 0 {
			return m.Hash
		}
	}
	return nil
}

// pendingImage is an image that is on its way, or that was sent and is not yet
// seen running.
type pendingImage struct {
	id              [32]byte // SHA-256 of the file
	hash            [32]byte // SHA-256 in the module's suffix
	function, index byte
	version         uint16
	applied         bool // validated by the device
}

func (p *pendingImage) append(b []byte) []byte {
	b = append(append(b, p.id[:]...), p.hash[:]...)
	b = append(b, p.function, p.index)
	return binary.BigEndian.AppendUint16(b, p.version)
}

func readPending(r *reader, applied bool) *pendingImage {
	p := &pendingImage{applied: applied}
	copy(p.id[:], r.take(len(p.id)))
	copy(p.hash[:], r.take(len(p.hash)))
	p.function, p.index = r.byte(), r.byte()
	if v := r.take(2); len(v) == 2 {
		p.version = binary.BigEndian.Uint16(v)
	}
	return p
}

// runs reports whether the describe lists the image as running, and whether it
// can tell.
//
// Device OS: the virtual device before 3.1 lists no modules, and no Hello of it says
// that it was updated. It said that it would run the image, and it is back.
func (p *pendingImage) runs(x *Describe) (running, known bool) {
	if !x.hasSystem() {
		return false, false
	}
	if len(x.System.Modules) == 0 {
		return true, true
	}
	for _, m := range x.System.Modules {
		if byte(m.Function) != p.function || m.Index != uint32(p.index) || m.Store != pdc.StoreMain {
			continue
		}
		if len(m.Hash) == len(p.hash) {
			return [32]byte(m.Hash) == p.hash, true
		}
		return m.Version == uint32(p.version), true
	}
	return false, false
}

// listed reports whether the describe lists this very image, to the last bit.
func (p *pendingImage) listed(x *Describe) bool {
	return x.hasSystem() && slices.ContainsFunc(x.System.Modules, func(m pdc.ModuleInfo) bool {
		return byte(m.Function) == p.function && m.Index == uint32(p.index) && m.Store == pdc.StoreMain && bytes.Equal(m.Hash, p.hash[:])
	})
}

// judgePending decides whether the device runs the image it was sent: the Hello
// says so, or the modules that it describes afterwards (C-44).
func (d *Device) judgePending(now clock.Instant, out *Out) {
	p := d.profile.pending
	if p == nil || !p.applied {
		return
	}
	if d.profile.hello.Flags&pdc.HelloUpdated != 0 {
		d.endFlash(out)
		return
	}
	running, known := p.runs(d.profile.describe)
	switch {
	case running:
		d.endFlash(out)
	case known && d.mayBeUnheard():
		d.repeatFlash(now, out)
	case known && d.work != nil && d.work.flash != nil:
		d.failFlash(d.fail(NotApplied, "it came back with another module"), out)
	case known:
		d.profile.pending = nil
		out.Save |= SaveSession
	}
}
