package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/muster/muster/fixtures/gen"
	"github.com/muster/muster/harness/peer"
	"github.com/muster/muster/harness/report"
	"github.com/muster/muster/harness/target"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
)

func describingSuite() Suite {
	return Suite{
		Name: "describing",
		Text: "how a cloud learns what a device has: describes in every form, whole and in blocks, from a puppet device in virtual time",
		Checks: []Check{
			{
				Name: "requests", Text: "the flags are always there from 3.3 on, and name exactly one describe from 5.5 on",
				Provoke: "the cloud is asked to describe the device anew", Observe: "the query of its requests",
				Requirements: []string{"C-16"}, Skip: since(pdc.OS3_3), Run: checkDescribeRequests,
			},
			{
				Name: "answers", Text: "a describe is taken piggybacked and separate alike, and the separate one is acknowledged",
				Provoke: "a puppet device answers describe requests in either way", Observe: "the acknowledgements, and what the cloud has recorded",
				Requirements: []string{"C-17"}, Run: checkDescribeAnswers,
			},
			{
				Name: "fetch", Text: "a describe in blocks is fetched block by block, in the size of the device and with a token each; another ETag begins it anew",
				Provoke: "a puppet device serves a describe in blocks, and changes it under way", Observe: "number, size and token of the requests, and what the cloud has recorded",
				Requirements: []string{"C-18"}, Skip: since(pdc.OS3_3), Run: checkDescribeFetch,
			},
			{
				Name: "post", Text: "a describe that is posted in blocks is put together once, though a block comes twice",
				Provoke: "a puppet device posts a describe in three blocks, one of them twice", Observe: "the acknowledgements, and what the cloud has recorded",
				Requirements: []string{"C-19"}, Skip: since(pdc.OS3_3), Run: checkDescribePost,
			},
			{
				Name: "forms", Text: "posts without a token, and with a format before the flags, are stored under the right type",
				Provoke: "a puppet device posts describes in both forms", Observe: "the acknowledgements, and what the cloud has recorded",
				Requirements: []string{"C-20"}, Run: checkDescribeForms,
			},
			{
				Name: "encodings", Text: "JSON and protobuf of the same modules read alike, and metrics with the errors in them",
				Provoke: "a puppet device posts modules in JSON and in protobuf, and its vitals", Observe: "what the cloud has recorded",
				Requirements: []string{"C-21"}, Run: checkDescribeEncodings,
			},
		},
	}
}

// brew is the application describe of the oldest example of the reference.
const brew = `{"f":["brew"],"v":{"temperature":2}}`

// One system part of version 6200, in both encodings.
const (
	modulesJSON  = `{"p":13,"m":[{"s":688128,"l":"m","vc":62,"vv":62,"f":"s","n":"1","v":6200,"d":[]}]}`
	modulesProto = "0a 17 08 04 10 01 18 b8 30 20 00 28 80 80 2a 35 3e 00 00 00 3d 3e 00 00 00"
)

// describeOf is the describe that a request asks for.
func describeOf(m peer.Message, system uint16) []byte {
	query, _ := m.CoAP.Query(0)
	switch {
	case len(query) == 0 || query[0] == 3:
		return []byte(strings.TrimSuffix(brew, "}") + "," + strings.TrimPrefix(modulesJSON, "{"))
	case query[0] == 2:
		return []byte(brew)
	case system >= pdc.OS5_5:
		return gen.Hex(modulesProto)
	}
	return []byte(modulesJSON)
}

// describes makes a puppet answer describe requests, piggybacked or separately.
func describes(d *target.PuppetDevice, separate bool) {
	d.Peer.SetAnswer(func(m peer.Message) ([][]byte, bool) {
		if m.Err != nil || !asks(coap.GET, "d")(m) {
			return nil, false
		}
		response := coap.Message{Type: coap.Acknowledgement, Code: coap.Content, ID: m.CoAP.ID, Token: m.CoAP.Token, Payload: describeOf(m, d.Dialect.System)}
		if query, _ := m.CoAP.Query(0); d.Dialect.System >= pdc.OS5_5 && len(query) == 1 && query[0] == 1 {
			response.Options = coap.Options{coap.Uint(coap.ContentFormat, 42)}
		}
		if !separate {
			return [][]byte{response.Append(nil)}, true
		}
		response.Type, response.ID = coap.Confirmable, d.Peer.NextID()
		return [][]byte{peer.Ack(m), response.Append(nil)}, true
	})
}

func checkDescribeRequests(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withPuppetDevice(e, g, r, func(d *target.PuppetDevice, name string) error {
		describes(d, true)
		mark := d.Now()
		d.Redescribe()
		d.Run(10 * time.Second)
		var flags []string
		for _, m := range heardOf(d.Heard(mark), asks(coap.GET, "d")) {
			query, has := m.CoAP.Query(0)
			Equal(r, "C-16", name, "bytes of flags in a describe request", len(query), 1, lines(d.Packets(mark))...)
			if has && len(query) == 1 {
				flags = append(flags, fmt.Sprint(query[0]))
			}
		}
		slices.Sort(flags)
		if g.System >= pdc.OS5_5 {
			Equal(r, "C-16", name, "the flags of its describe requests", strings.Join(flags, ", "), "1, 2", lines(d.Packets(mark))...)
		}
		return nil
	})
}

func checkDescribeAnswers(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	for _, separate := range []bool{false, true} {
		err := withPuppetDevice(e, g, r, func(d *target.PuppetDevice, name string) error {
			describes(d, separate)
			mark := d.Now()
			d.Redescribe()
			d.Run(10 * time.Second)
			known := d.Recorded()
			what := fmt.Sprintf("(the answers are separate: %v)", separate)
			Equal(r, "C-17", name, "the functions that the cloud knows "+what, fmt.Sprint(known.Functions), "[brew]", lines(d.Packets(mark))...)
			Equal(r, "C-17", name, "the modules that the cloud knows "+what, len(known.Modules), 1, lines(d.Packets(mark))...)
			if separate {
				requests := len(heardOf(d.Heard(mark), asks(coap.GET, "d")))
				acks := len(heardOf(d.Heard(mark), func(m peer.Message) bool { return m.CoAP.Type == coap.Acknowledgement }))
				Equal(r, "C-17", name, "acknowledgements of separate answers", acks, requests, lines(d.Packets(mark))...)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// manyFunctions is an application describe of more than two blocks of 1024 bytes.
func manyFunctions(prefix string) []byte {
	var f []string
	for i := range 90 {
		f = append(f, fmt.Sprintf("%s_with_a_long_name_%02d", prefix, i))
	}
	body, err := json.Marshal(map[string]any{"f": f, "v": map[string]int{}})
	if err != nil {
		panic(err) // strings have JSON
	}
	return body
}

// blockSize is what devices with large messages cut describes into, with its
// exponent.
const (
	blockSize = 1024
	blockSZX  = 6
)

// piece is block num of body, with the value of its option.
func piece(body []byte, num int) (payload, option []byte) {
	from := min(num*blockSize, len(body))
	to := min(from+blockSize, len(body))
	value := byte(num<<4 | blockSZX)
	if to < len(body) {
		value |= 8
	}
	return body[from:to], []byte{value}
}

func checkDescribeFetch(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	for _, changes := range []bool{false, true} {
		err := withPuppetDevice(e, g, r, func(d *target.PuppetDevice, name string) error {
			return judgeFetch(r, d, name, changes)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// judgeFetch serves the application in blocks, changed after the first one or not.
func judgeFetch(r *Recorder, d *target.PuppetDevice, name string, changes bool) error {
	var asked []string
	tokens := map[string]bool{}
	body, etag := manyFunctions("old"), byte(1)
	describes(d, true)
	system := d.Peer.Answered()
	d.Peer.SetAnswer(func(m peer.Message) ([][]byte, bool) {
		query, _ := m.CoAP.Query(0)
		if m.Err != nil || !asks(coap.GET, "d")(m) || len(query) != 1 || query[0] != 2 {
			return system(m)
		}
		num := 0
		if value, ok := m.CoAP.Option(coap.Block2); ok {
			num = int(value[0] >> 4)
			r.Judged(1)
			if len(value) != 1 || value[0]&7 != blockSZX {
				r.Fail(report.Finding{
					Requirement: "C-18", Device: name, Text: "Block2 of a request for the next block", Expected: fmt.Sprintf("%02x", num<<4|blockSZX),
					Actual: fmt.Sprintf("%x", value), Packets: []string{spaced(m.Wire)},
				})
			}
		}
		Equal(r, "C-18", name, "the token of a block was used for another one", tokens[string(m.CoAP.Token)], false, spaced(m.Wire))
		tokens[string(m.CoAP.Token)] = true
		asked = append(asked, fmt.Sprint(num))
		if changes && len(asked) == 2 {
			body, etag = manyFunctions("new"), 2
		}
		payload, option := piece(body, num)
		response := coap.Message{
			Type: coap.Confirmable, Code: coap.Content, ID: d.Peer.NextID(), Token: m.CoAP.Token, Payload: payload,
			Options: coap.Options{{ID: coap.ETag, Value: []byte{etag}}, {ID: coap.Block2, Value: option}},
		}
		return [][]byte{peer.Ack(m), response.Append(nil)}, true
	})
	mark := d.Now()
	d.Redescribe()
	d.Run(20 * time.Second)
	want, first := "0, 1, 2", "old"
	if changes {
		want, first = "0, 1, 0, 1, 2", "new"
	}
	Equal(r, "C-18", name, fmt.Sprintf("the blocks that the cloud asks for (the describe changes: %v)", changes), strings.Join(asked, ", "), want, last(d.Packets(mark))...)
	known := d.Recorded().Functions
	ok := len(known) == 90 && strings.HasPrefix(known[0], first)
	Equal(r, "C-18", name, fmt.Sprintf("the cloud knows the %d functions of the whole describe", 90), ok, true, last(d.Packets(mark))...)
	return nil
}

// postBlock is a block of a posted application describe.
func postBlock(d *target.PuppetDevice, body []byte, num int) []byte {
	payload, option := piece(body, num)
	m := coap.Message{
		Type: coap.Confirmable, Code: coap.POST, ID: d.Peer.NextID(), Token: []byte{byte(0x31 + num)}, Payload: payload,
		Options: coap.Options{{ID: coap.URIPath, Value: []byte("d")}, {ID: coap.URIQuery, Value: []byte{2}}, {ID: coap.Block1, Value: option}},
	}
	return m.Append(nil)
}

func checkDescribePost(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withPuppetDevice(e, g, r, func(d *target.PuppetDevice, name string) error {
		body := manyFunctions("posted")
		mark := d.Now()
		for num := range 3 {
			block := postBlock(d, body, num)
			sent := d.Now()
			d.Say(block)
			want := []string{fmt.Sprintf("6_ __ %02x%02x*", block[2], block[3])}
			if num == 1 {
				d.Run(4 * time.Second) // as if the acknowledgement had been lost
				d.Say(block)
				want = append(want, want[0])
			}
			judgeAnswers(r, "C-19", name, fmt.Sprintf("the answers to block %d", num), d, sent, want)
		}
		if known, tells := knownFunctions(d, func(f []string) bool { return len(f) == 90 }); tells {
			Equal(r, "C-19", name, "functions that the cloud knows from a describe of three blocks", len(known), 90, lines(d.Packets(mark))...)
		} else {
			unseen(r, "C-19", name, "functions that the cloud knows from a describe of three blocks")
		}
		if d.Sees(target.Insight) {
			Equal(r, "C-19", name, "how often the cloud has taken a describe", len(d.Notes(mark, "described")), 1)
		}
		return nil
	})
}

func checkDescribeForms(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withPuppetDevice(e, g, r, func(d *target.PuppetDevice, name string) error {
		for _, form := range []struct{ name, head, token, rest string }{
			{"without a token", "40", "", "b1 64 41 02 ff" + fmt.Sprintf("%x", brew)},
			{"with a format", "41", "31", "b1 64 11 2a 31 01 ff" + modulesProto},
		} {
			mark, id := d.Now(), d.Peer.NextID()
			d.Say(gen.Hex(fmt.Sprintf("%s 02 %04x %s %s", form.head, id, form.token, form.rest)))
			judgeAnswers(r, "C-20", name, "the answer to a describe "+form.name, d, mark, []string{fmt.Sprintf("60 00 %04x", id)})
		}
		if known, tells := knownFunctions(d, func(f []string) bool { return slices.Equal(f, []string{"brew"}) }); tells {
			Equal(r, "C-20", name, "the functions that the cloud knows", fmt.Sprint(known), "[brew]")
		} else {
			unseen(r, "C-20", name, "the functions that the cloud knows")
		}
		if d.Sees(target.Insight) {
			Equal(r, "C-20", name, "the modules that the cloud knows", len(d.Recorded().Modules), 1)
		}
		return nil
	})
}

// vitals are the metrics of the reference: uptime 12345, 76000 bytes free, and a
// signal strength that could not be read.
const (
	vitals     = "00 04 00 02 00 04 00 06 00 39 30 00 00 02 00 e0 28 01 00 13 80 2e ff ff ff"
	wantVitals = "6=12345, 2=76000, 19 failed with -210"
)

func checkDescribeEncodings(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withPuppetDevice(e, g, r, func(d *target.PuppetDevice, name string) error {
		var models []string
		for _, form := range []string{"b1 64 41 01 ff" + fmt.Sprintf("%x", modulesJSON), "b1 64 11 2a 31 01 ff" + modulesProto} {
			if err := d.Online(); err != nil { // what was known before is forgotten
				return err
			}
			d.Say(gen.Hex(fmt.Sprintf("41 02 %04x 31 %s", d.Peer.NextID(), form)))
			text := ""
			for _, m := range d.Recorded().Modules {
				text += fmt.Sprintf("function %d, index %d, version %d, size %d, checks %#x/%#x", m.Function, m.Index, m.Version, m.MaxSize, m.Checked, m.Passed)
			}
			models = append(models, text)
		}
		Equal(r, "C-21", name, "the modules from JSON", models[0], "function 4, index 1, version 6200, size 688128, checks 0x3e/0x3e")
		Equal(r, "C-21", name, "the modules from protobuf", models[1], models[0])

		mark := d.Now()
		d.Say(gen.Hex(fmt.Sprintf("41 02 %04x 32 b1 64 41 04 ff %s", d.Peer.NextID(), vitals)))
		notes := d.Notes(mark, "vitals")
		if !Equal(r, "C-21", name, "vitals that the cloud has taken", len(notes), 1, lines(d.Packets(mark))...) {
			return nil
		}
		var got []string
		for _, m := range notes[0].Metrics {
			text := fmt.Sprintf("%d=%d", m.ID, m.Value)
			if m.Failed {
				text = fmt.Sprintf("%d failed with %d", m.ID, m.Value)
			}
			got = append(got, text)
		}
		Equal(r, "C-21", name, "the vitals", strings.Join(got, ", "), wantVitals, lines(d.Packets(mark))...)
		return nil
	})
}
