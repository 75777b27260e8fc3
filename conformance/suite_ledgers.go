package conformance

import (
	"bytes"
	"context"
	"fmt"
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
)

func ledgersSuite() Suite {
	return Suite{
		Name: "ledgers",
		Text: "ledgers, of either side: from a puppet device, and before a puppet cloud, in virtual time",
		Checks: []Check{
			{
				Name: "info", Text: "a request for ledgers is answered with success; those that do not exist are left out",
				Provoke: "a puppet device asks for a ledger that nobody made", Observe: "the bytes of the answer",
				Requirements: []string{"C-51", "C-10"}, Skip: hasLedgers, Run: checkLedgerInfo,
			},
			{
				Name: "upload", Text: "every block but the last is answered with 2.31, and blocks of different requests are kept apart",
				Provoke: "a puppet device sends 5000 bytes in blocks, and a block of another request among them", Observe: "the answers",
				Requirements: []string{"C-52"}, Skip: hasLedgers, Run: checkLedgerUpload,
			},
			{
				Name: "download", Text: "an answer that is too long comes in blocks of 1024 bytes, all with the ETag of the first",
				Provoke: "a puppet device asks for a ledger of 5000 bytes, and fetches it block by block", Observe: "ETag, number and size of the blocks, and what they make",
				Requirements: []string{"C-53", "C-10"}, Skip: hasLedgers, Run: checkLedgerDownload,
			},
			{
				Name: "fields", Text: "the fields of an answer ascend, and no answer is a 2.05",
				Provoke: "a puppet device makes each request", Observe: "code and field numbers of the answers",
				Requirements: []string{"C-54", "C-10", "N-10"}, Skip: hasLedgers, Run: checkLedgerFields,
			},
			{
				Name: "synced", Text: "a device asks, subscribes, fetches in blocks and sends in blocks, and what it sends is what it has",
				Provoke: "a puppet cloud answers all that a device asks of two ledgers", Observe: "the requests in order, and the data in them",
				Requirements: []string{"N-18"}, Skip: hasLedgers, Run: checkLedgersSynced,
			},
			{
				Name: "notify", Text: "a notification in blocks is met with a Reset, garbage with 4.00, one of an unknown ledger with 2.04",
				Provoke: "a puppet cloud sends notifications in three ways", Observe: "the replies to the last byte",
				Requirements: []string{"N-17"}, Skip: hasLedgers, Run: checkLedgerNotify,
			},
			{
				Name: "faults", Text: "whatever goes wrong about ledgers is tried again after 30 s or waits, and never costs the connection",
				Provoke: "a puppet cloud answers the first request in nine wrong ways", Observe: "when the next request comes, and that a ping is answered",
				Requirements: []string{"N-18", "N-10"}, Skip: hasLedgers, Run: checkLedgerFaults,
			},
		},
	}
}

// hasLedgers skips releases without ledgers.
func hasLedgers(g *target.Group) string {
	if !g.Devices[0].Profile.Dialect().Ledger() {
		return "there are no ledgers before Device OS 5.8, nor in 6.0"
	}
	return ""
}

// ledgerRequests are requests of a device, behind its header, with the field of
// the answer that they lead to.
var ledgerRequests = []struct{ name, body string }{
	{"GetInfo", "08 01 12 08 0a 06 6d 79 64 61 74 61"},
	{"SetData", "08 02 1a 20 0a 06 6d 79 64 61 74 61 12 04 01 02 03 04 19 00 a8 da 76 9b 01 00 00 52 07 a1 63 6b 65 79 18 2a"},
	{"Subscribe", "08 04 2a 0d 0a 0b 0a 03 63 66 67 12 04 05 06 07 08"},
	{"GetData", "08 03 22 0b 0a 03 63 66 67 12 04 05 06 07 08"},
}

// withLedgers runs a check on puppets that are connected to a cloud that has ledgers.
func withLedgers(e *target.Env, g *target.Group, r *Recorder, f func(d *target.PuppetDevice, name string) error) error {
	return withPuppetDevice(e, g, r, func(d *target.PuppetDevice, name string) error {
		if err := d.Needs(target.Ledgers); err != nil {
			return err
		}
		if !d.Sees(target.Insight) {
			mark := d.Now()
			d.Say(gen.Hex(fmt.Sprintf("41 02 %04x d1 b1 4c ff %s", d.Peer.NextID(), ledgerRequests[0].body)))
			answers := answersTo(d, mark, 1, func(m peer.Message) bool { return len(m.CoAP.Token) == 1 && coap.IsSuccess(m.CoAP.Code) })
			if len(answers) == 0 {
				return d.Lack(target.Ledgers, "it does not answer a request about ledgers with success")
			}
		}
		return f(d, name)
	})
}

// whole returns what was heard since an instant, with each acknowledgement and the response
// that comes behind it made one: a cloud may answer either way, and a device takes both.
func whole(d *target.PuppetDevice, since clock.Instant) []peer.Message {
	heard := d.Heard(since)
	for i := 0; i+1 < len(heard); i++ {
		ack, response := heard[i], heard[i+1]
		if ack.Err != nil || response.Err != nil || ack.CoAP.Type != coap.Acknowledgement || ack.CoAP.Code != coap.Empty || response.CoAP.Type != coap.Confirmable || isRequest(response.CoAP.Code) {
			continue
		}
		one := response
		one.Wire = gen.Set(response.Wire, 2, ack.Wire[2], ack.Wire[3])
		one.Wire[0] |= 0x20 // Confirmable becomes Acknowledgement
		heard = slices.Replace(heard, i, i+2, one)
	}
	return heard
}

// answered is whole, when there is something.
func answered(d *target.PuppetDevice, since clock.Instant) []peer.Message {
	d.Patient(func() bool {
		return slices.ContainsFunc(d.Heard(since), func(m peer.Message) bool { return m.CoAP.Code != coap.Empty })
	})
	return whole(d, since)
}

func checkLedgerInfo(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withLedgers(e, g, r, func(d *target.PuppetDevice, name string) error {
		mark, id := d.Now(), d.Peer.NextID()
		d.Say(gen.Hex(fmt.Sprintf("41 02 %04x d1 b1 4c ff %s", id, ledgerRequests[0].body)))
		judgeReplies(r, "C-51", name, "the answer about a ledger that nobody made", d, mark, answered(d, mark), []string{fmt.Sprintf("61 44 %04x d1 ff 1a 00", id)})
		return nil
	})
}

// ledgerBlock is a block of a ledger request.
func ledgerBlock(d *target.PuppetDevice, body []byte, num int, tag byte) []byte {
	payload, option := piece(body, num)
	m := coap.Message{
		Type: coap.Confirmable, Code: coap.POST, ID: d.Peer.NextID(), Token: []byte{byte(0xc0 + num)}, Payload: payload,
		Options: coap.Options{
			{ID: coap.URIPath, Value: []byte("L")}, {ID: coap.Block1, Value: option}, {ID: coap.RequestTag, Value: []byte{0, 0, 0, tag}},
		},
	}
	return m.Append(nil)
}

// setData is a SetData of a ledger with size bytes of data (PDC-8.9).
func setData(size int) []byte {
	body := append(gen.Hex("0a 06 6d 79 64 61 74 61 12 04 01 02 03 04 19 00 a8 da 76 9b 01 00 00 52"), varint(size)...)
	body = append(body, make([]byte, size)...)
	return append(append(gen.Hex("08 02 1a"), varint(len(body))...), body...)
}

func varint(n int) (b []byte) {
	for ; n > 0x7f; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(b, byte(n))
}

func checkLedgerUpload(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withLedgers(e, g, r, func(d *target.PuppetDevice, name string) error {
		body := setData(5000)
		for num := range 5 {
			block := ledgerBlock(d, body, num, 1)
			mark := d.Now()
			d.Say(block)
			want := fmt.Sprintf("61 5f %02x%02x %02x*", block[2], block[3], 0xc0+num)
			if num == 4 {
				want = fmt.Sprintf("61 _4 %02x%02x %02x*", block[2], block[3], 0xc0+num) // 2.04, or 4.04
			}
			judgeReplies(r, "C-52", name, fmt.Sprintf("the answer to block %d", num), d, mark, answered(d, mark), []string{want})
		}
		d.Say(ledgerBlock(d, body, 0, 2))
		stray := ledgerBlock(d, body, 1, 3)
		mark := d.Now()
		d.Say(stray)
		for _, m := range d.Heard(mark) {
			Equal(r, "C-52", name, "the second block of a request of which there was no first is taken", coap.IsSuccess(m.CoAP.Code), false, lines(d.Packets(mark))...)
		}
		return nil
	})
}

// knownLedger is what a cloud knows of the ledger that ledgerRequests[3] asks for.
func knownLedger(call pdc.LedgerCall) pdc.LedgerReply {
	return pdc.LedgerReply{Method: call.Method, Updated: pdc.LedgerUpdated{Milliseconds: 5000, Known: true}, Data: ledgerData}
}

func checkLedgerDownload(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	for _, p := range kindsOf(g) {
		d, err := e.NewPuppetDevice(p, e.Seed(), target.Puppetry{Ledgers: knownLedger})
		if err != nil {
			return err
		}
		if err := d.Online(); err != nil {
			return err
		}
		judgeDownload(r, d, p.String())
	}
	return nil
}

// judgeDownload fetches a ledger as a device does.
func judgeDownload(r *Recorder, d *target.PuppetDevice, name string) {
	var body, etag []byte
	began, more := d.Now(), true
	for num := 0; more && num < 10; num++ {
		request := coap.Message{Type: coap.Confirmable, Code: coap.POST, ID: d.Peer.NextID(), Token: []byte{byte(0xd0 + num)}}
		request.Options = coap.Options{{ID: coap.URIPath, Value: []byte("L")}}
		if num == 0 {
			request.Payload = gen.Hex(ledgerRequests[3].body)
		} else {
			request.Options = coap.Options{{ID: coap.ETag, Value: etag}, request.Options[0], {ID: coap.Block2, Value: []byte{byte(num<<4 | blockSZX)}}}
		}
		mark := d.Now()
		d.Say(request.Append(nil))
		answers := heardOf(d.Heard(mark), func(m peer.Message) bool { return bytes.Equal(m.CoAP.Token, request.Token) })
		if !Equal(r, "C-53", name, fmt.Sprintf("answers with block %d", num), len(answers), 1, lines(d.Packets(mark))...) {
			return
		}
		tag, _ := answers[0].CoAP.Option(coap.ETag)
		block, _ := answers[0].CoAP.Option(coap.Block2)
		if num == 0 {
			etag = bytes.Clone(tag)
			Equal(r, "C-53", name, "the first block has an ETag of 1 to 8 bytes", len(tag) > 0 && len(tag) <= 8, true, lines(d.Packets(mark))...)
		}
		Equal(r, "C-10", name, fmt.Sprintf("block %d is a 2.05", num), answers[0].CoAP.Code == coap.Content, false, lines(d.Packets(mark))...)
		Equal(r, "C-53", name, fmt.Sprintf("the ETag of block %d is that of the first", num), bytes.Equal(tag, etag), true, lines(d.Packets(mark))...)
		more = len(block) == 1 && block[0]&8 != 0
		Equal(r, "C-53", name, fmt.Sprintf("number and size exponent of block %d", num), len(block) == 1 && block[0]&^8 == byte(num<<4|blockSZX), true, lines(d.Packets(mark))...)
		body = append(body, answers[0].CoAP.Payload...)
	}
	reply, err := pdc.ParseLedgerReply(body)
	Equal(r, "C-53", name, "the blocks make the answer, with all of the ledger", err == nil && bytes.Equal(reply.Data, ledgerData), true, last(d.Packets(began))...)
}

func checkLedgerFields(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withLedgers(e, g, r, func(d *target.PuppetDevice, name string) error {
		for _, request := range ledgerRequests {
			mark := d.Now()
			d.Say(gen.Hex(fmt.Sprintf("41 02 %04x d1 b1 4c ff %s", d.Peer.NextID(), request.body)))
			heard := answered(d, mark)
			if !Equal(r, "C-54", name, "answers to "+request.name, len(heard), 1, lines(d.Packets(mark))...) {
				continue
			}
			Equal(r, "C-10", name, "the answer to "+request.name+" is a 2.05", heard[0].CoAP.Code == coap.Content, false, lines(d.Packets(mark))...)
			fields, ok := protoFields(heard[0].CoAP.Payload)
			text := fmt.Sprintf("the fields of the answer to %s ascend (%v)", request.name, fields)
			Equal(r, "C-54", name, text, ok && ascending(fields), true, lines(d.Packets(mark))...)
		}
		return nil
	})
}

// protoFields are the field numbers of a message of protobuf, in order, and
// whether it could be read.
func protoFields(b []byte) (fields []int, ok bool) {
	for len(b) > 0 {
		key, kind := int(b[0]>>3), b[0]&7
		b = b[1:]
		n := 0
		switch {
		case kind == 0 && len(b) > 0:
			for n < len(b) && b[n]&0x80 != 0 {
				n++
			}
			n++
		case kind == 1:
			n = 8
		case kind == 2 && len(b) > 0 && b[0] < 0x80:
			n = 1 + int(b[0])
		default:
			return fields, false
		}
		if n > len(b) {
			return fields, false
		}
		fields, b = append(fields, key), b[n:]
	}
	return fields, true
}

func ascending(list []int) bool {
	for i := 1; i < len(list); i++ {
		if list[i] < list[i-1] {
			return false
		}
	}
	return true
}

// twoLedgers gives the application one ledger in each direction.
func twoLedgers(c *target.DeviceConfig) {
	c.Ledgers = []target.Ledger{
		{Name: "up", Data: func(target.DeviceID) ([]byte, uint64) { return ledgerData, 9000 }},
		{Name: "down"},
	}
}

// ledgerData is what a device has to say, more than four blocks of it.
var ledgerData = bytes.Repeat([]byte{0x5a}, 5000)

// A ledgerCloud is a puppet's side of ledgers. Its log says what it was asked.
type ledgerCloud struct {
	c      *target.PuppetCloud
	log    []string
	upload []byte
	down   []byte // the answer to GetData that is fetched in blocks
	// bend, if not nil, answers instead.
	bend func(m peer.Message, call pdc.LedgerCall) ([][]byte, bool)
}

func (l *ledgerCloud) answer(m peer.Message) ([][]byte, bool) {
	if m.Err != nil || !strings.HasSuffix(m.CoAP.Path(), "L") || m.CoAP.Code != coap.POST {
		return nil, false
	}
	if value, ok := m.CoAP.Option(coap.Block2); ok {
		l.log = append(l.log, fmt.Sprintf("block %d", value[0]>>4))
		return l.piece(m, int(value[0]>>4)), true
	}
	body := m.CoAP.Payload
	if value, ok := m.CoAP.Option(coap.Block1); ok {
		if value[0]>>4 == 0 {
			l.upload = nil
		}
		l.upload = append(l.upload, body...)
		if value[0]&8 != 0 {
			return [][]byte{peer.Reply(m, coap.Continue, nil)}, true
		}
		body = l.upload
	}
	call, err := pdc.ParseLedgerCall(body)
	if err != nil {
		l.log = append(l.log, err.Error())
		return [][]byte{peer.Reply(m, coap.BadRequest, nil)}, true
	}
	if l.bend != nil {
		if replies, handled := l.bend(m, call); handled {
			l.log = append(l.log, fmt.Sprint(call.Method))
			return replies, true
		}
	}
	return l.reply(m, call), true
}

func (l *ledgerCloud) reply(m peer.Message, call pdc.LedgerCall) [][]byte {
	text, reply := fmt.Sprint(call.Method), pdc.LedgerReply{Method: call.Method}
	later := pdc.LedgerUpdated{Milliseconds: 5000, Known: true}
	switch call.Method {
	case pdc.LedgerGetInfo:
		reply.Ledgers = []pdc.LedgerInfo{
			{Name: "up", ScopeID: []byte{1}, Scope: pdc.LedgerScopeDevice, Direction: pdc.LedgerDeviceToCloud},
			{Name: "down", ScopeID: []byte{2}, Scope: pdc.LedgerScopeProduct, Direction: pdc.LedgerCloudToDevice},
		}
	case pdc.LedgerSubscribe:
		for _, ref := range call.Ledgers {
			reply.Ledgers = append(reply.Ledgers, pdc.LedgerInfo{Name: ref.Name, Updated: later})
		}
	case pdc.LedgerGetData:
		reply.Updated, reply.Data = later, ledgerData
		l.down = reply.Append(nil)
		l.log = append(l.log, text)
		return l.piece(m, 0)
	case pdc.LedgerSetData:
		text += fmt.Sprintf(" of %d bytes", len(call.Data))
	case pdc.LedgerNotifyUpdate, pdc.LedgerResetInfo:
		text += ", which a device does not ask"
	}
	l.log = append(l.log, text)
	return [][]byte{peer.Reply(m, coap.Changed, reply.Append(nil))}
}

// piece is the answer with block num of what is fetched.
func (l *ledgerCloud) piece(m peer.Message, num int) [][]byte {
	payload, option := piece(l.down, num)
	response := coap.Message{
		Type: coap.Acknowledgement, Code: coap.Changed, ID: m.CoAP.ID, Token: m.CoAP.Token, Payload: payload,
		Options: coap.Options{{ID: coap.ETag, Value: []byte{1, 2}}, {ID: coap.Block2, Value: option}},
	}
	return [][]byte{response.Append(nil)}
}

// withLedgerCloud connects devices with two ledgers to a puppet that answers for
// them as bend says.
func withLedgerCloud(e *target.Env, g *target.Group, r *Recorder, bend func(m peer.Message, call pdc.LedgerCall) ([][]byte, bool), f func(l *ledgerCloud, name string) error) error {
	for _, p := range kindsOf(g) {
		c, err := e.NewPuppetCloud(p, e.Seed(), target.Stagecraft{Device: twoLedgers})
		if err != nil {
			return err
		}
		l := &ledgerCloud{c: c, bend: bend}
		c.Peer.SetAnswer(l.answer)
		if err = c.Online(); err == nil {
			err = f(l, p.String())
		}
		if err != nil {
			r.Inconclusive(report.Finding{Device: p.String(), Text: err.Error()})
		}
	}
	return nil
}

func checkLedgersSynced(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withLedgerCloud(e, g, r, nil, func(l *ledgerCloud, name string) error {
		l.c.Run(time.Minute)
		methods := []any{
			pdc.LedgerGetInfo, pdc.LedgerSubscribe, pdc.LedgerGetData, "block 1", "block 2", "block 3", "block 4",
			fmt.Sprint(pdc.LedgerSetData, " of ", len(ledgerData), " bytes"),
		}
		var want []string
		for _, m := range methods {
			want = append(want, fmt.Sprint(m))
		}
		Equal(r, "N-18", name, "what the device asks", strings.Join(l.log, ", "), strings.Join(want, ", "), last(l.c.Packets(0))...)
		got := 0
		for _, ev := range l.c.Events(0) {
			if ev.Kind == target.LedgerSynced && ev.Name == "down" {
				got = len(ev.Data)
			}
		}
		Equal(r, "N-18", name, "bytes that the application gets of a ledger of five blocks", got, len(ledgerData))
		return nil
	})
}

var notifyLines = []line{
	{requirement: "N-17", name: "in blocks", say: "41 02 20 72 e1 b1 4c d1 03 0e ff 08", want: []string{"70 00 20 72"}},
	{requirement: "N-17", name: "garbage", say: "41 02 20 71 e1 b1 4c ff ff", want: []string{"60 00 20 71", "41 80 __ __ e1"}},
	{
		requirement: "N-17", name: "an unknown ledger", say: "41 02 20 73 e1 b1 4c ff 08 05 32 10 0a 0e 0a 03 63 66 67 11 00 a8 da 76 9b 01 00 00",
		want: []string{"60 00 20 73", "41 44 __ __ e1"},
	},
	{requirement: "N-17", name: "no token", say: "40 02 20 74 b1 4c ff 08 05"},
}

func checkLedgerNotify(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withLedgerCloud(e, g, r, nil, func(l *ledgerCloud, name string) error {
		for i := range notifyLines {
			notifyLines[i].judge(r, l.c, name)
		}
		return nil
	})
}

// ledgerFaults are wrong answers to GetInfo, and whether the device asks again.
var ledgerFaults = []struct {
	name   string
	again  bool
	answer func(m peer.Message) []byte
}{
	{"4.04", true, func(m peer.Message) []byte { return peer.Reply(m, coap.NotFound, nil) }},
	{"5.00", true, func(m peer.Message) []byte { return peer.Reply(m, coap.InternalError, nil) }},
	{"2.31 where nothing follows", true, func(m peer.Message) []byte { return peer.Reply(m, coap.Continue, nil) }},
	{"a body that cannot be read", true, func(m peer.Message) []byte { return peer.Reply(m, coap.Changed, []byte{0xff, 0xff}) }},
	{"blocks without an ETag", true, func(m peer.Message) []byte { return blockOf(m, nil, 0x0e) }},
	{"blocks that begin with the second", true, func(m peer.Message) []byte { return blockOf(m, []byte{1}, 0x1e) }},
	{"blocks of 512 bytes", false, func(m peer.Message) []byte { return blockOf(m, []byte{1}, 0x0d) }},
	{"no answer behind the acknowledgement", false, peer.Ack},
	{"2.05", false, func(m peer.Message) []byte { return peer.Reply(m, coap.Content, []byte{0x1a, 0, 0, 0}) }},
}

// blockOf is an answer in blocks, with its ETag and the value of Block2.
func blockOf(m peer.Message, etag []byte, block byte) []byte {
	response := coap.Message{
		Type: coap.Acknowledgement, Code: coap.Changed, ID: m.CoAP.ID, Token: m.CoAP.Token, Payload: make([]byte, 16<<(block&7)),
		Options: coap.Options{{ID: coap.Block2, Value: []byte{block}}},
	}
	if etag != nil {
		response.Options = append(coap.Options{{ID: coap.ETag, Value: etag}}, response.Options...)
	}
	return response.Append(nil)
}

func checkLedgerFaults(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	for _, fault := range ledgerFaults {
		wrong := func(m peer.Message, call pdc.LedgerCall) ([][]byte, bool) {
			return [][]byte{fault.answer(m)}, call.Method == pdc.LedgerGetInfo
		}
		err := withLedgerCloud(e, g, r, wrong, func(l *ledgerCloud, name string) error {
			asked := heardOf(l.c.Heard(0), asks(coap.POST, "L"))
			if len(asked) == 0 {
				return fmt.Errorf("the device does not ask for its ledgers")
			}
			began := asked[0].At
			l.c.Run(began.Add(29 * time.Second).Sub(l.c.Now()))
			Equal(r, "N-18", name, fault.name+": requests within 29 s", len(heardOf(l.c.Heard(0), asks(coap.POST, "L"))), 1, last(l.c.Packets(began))...)
			l.c.Run(3 * time.Second)
			n := len(heardOf(l.c.Heard(0), asks(coap.POST, "L")))
			Equal(r, "N-18", name, fault.name+": the device asks again after 30 s", n > 1, fault.again, last(l.c.Packets(began))...)
			mark := l.c.Now()
			judgeFate(r, "N-18", name, fault.name, l.c, mark, alive, false)
			if fault.name == "2.05" {
				set := false
				for _, ev := range l.c.Events(began) {
					set = set || ev.Kind == target.TimeSet
				}
				Equal(r, "N-10", name, "a 2.05 with the token of a ledger request sets the device's clock", set, true)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
