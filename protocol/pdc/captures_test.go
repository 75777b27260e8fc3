package pdc

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/muster/muster/fixtures"
	"github.com/muster/muster/fixtures/gen"
	"github.com/muster/muster/protocol/coap"
)

// A captured is one CoAP message of a recording of Device OS, with what the
// independent decoder said of it.
type captured struct {
	wire       []byte
	text       string // "CON POST /h mid=0001 payload[22]=... (product=3 ...)"
	fromDevice bool
}

// messages returns the CoAP messages of a recording, in order.
func messages(c *fixtures.Capture) []captured {
	var all []captured
	for _, item := range c.Wire() {
		var wire []byte
		for _, comment := range item.Comments {
			if text, ok := strings.CutPrefix(comment, "plaintext "); ok {
				wire = gen.Hex(text)
			}
			if text, ok := strings.CutPrefix(comment, "coap "); ok && len(wire) >= 4 {
				all = append(all, captured{wire, text, item.Op == fixtures.OpUp})
			}
		}
	}
	return all
}

// captureDialect is what the device of a recording speaks.
func captureDialect(t *testing.T, c *fixtures.Capture) Dialect {
	t.Helper()
	system, _, err := SystemModule(c.DeviceOS)
	if err != nil {
		t.Fatal(err)
	}
	d := NewDialect(system, GCC).Over(c.Transport == "udp")
	d.OTA3 = strings.Contains(c.Name, "-ota3")
	return d
}

// A follower follows one recording: which request a response answers.
type follower struct {
	byToken [2]map[string]Kind // requests of the device, of the cloud
	byID    [2]map[uint16]Kind
}

func newFollower() *follower {
	f := new(follower)
	for i := range 2 {
		f.byToken[i], f.byID[i] = map[string]Kind{}, map[uint16]Kind{}
	}
	return f
}

func side(fromDevice bool) int {
	if fromDevice {
		return 0
	}
	return 1
}

func (f *follower) kind(m coap.Message, fromDevice bool) Kind {
	k := Classify(m, fromDevice)
	if k != KindResponse && k != KindTimeResponse {
		if coap.IsRequest(m.Code) {
			f.byID[side(fromDevice)][m.ID] = k
			if len(m.Token) > 0 {
				f.byToken[side(fromDevice)][string(m.Token)] = k
			}
		}
		return k
	}
	asked := side(!fromDevice)
	if m.Type == coap.Acknowledgement {
		if request, ok := f.byID[asked][m.ID]; ok {
			return ClassifyResponse(request, m)
		}
	}
	return ClassifyResponse(f.byToken[asked][string(m.Token)], m)
}

// TestCaptures reads every message of every recording, compares it with what
// the independent decoder wrote beside it, and writes it again, byte for byte.
func TestCaptures(t *testing.T) {
	seen, rewritten := map[Kind]int{}, map[Kind]int{}
	for _, c := range fixtures.Captures() {
		t.Run(c.Name, func(t *testing.T) {
			d, f := captureDialect(t, c), newFollower()
			for _, raw := range messages(c) {
				m := mustParse(t, raw.wire)
				k := f.kind(m, raw.fromDevice)
				seen[k]++
				checkCaptured(t, d, k, m, raw, rewritten)
			}
		})
	}
	for _, k := range Kinds() {
		t.Logf("%-24v %5d, rewritten %5d", k, seen[k], rewritten[k])
	}
	for _, k := range [...]Kind{KindInvalid, KindUnknown, KindResponse} {
		if seen[k] != 0 {
			t.Errorf("%d messages are %v", seen[k], k)
		}
	}
	// Everything but what the lab cloud bent on purpose.
	for k, n := range seen {
		if rewritten[k] != n && k != KindUpdateChunk {
			t.Errorf("%v: %d of %d were rewritten", k, rewritten[k], n)
		}
	}
}

func checkCaptured(t *testing.T, d Dialect, k Kind, m coap.Message, raw captured, rewritten map[Kind]int) {
	t.Helper()
	if !raw.fromDevice && coap.IsRequest(m.Code) {
		if got := DispatchOnDevice(raw.wire); got != k {
			t.Errorf("%s: DispatchOnDevice says %v, Classify %v", raw.text, got, k)
		}
	}
	if !k.TypeAllowed(d, m.Type) {
		t.Errorf("%s: type not allowed for %v", raw.text, k)
	}
	if !k.SpokenBy(d) {
		t.Errorf("%s: %v not spoken by %+v", raw.text, k, d)
	}
	msg, err := Parse(k, m)
	if err != nil {
		if k == KindUpdateChunk && strings.Contains(raw.text, "payload[0]=") {
			return // the empty chunk by which the lab cloud interrupts an update
		}
		t.Errorf("%s: %v", raw.text, err)
		return
	}
	if want := summary(raw.text); want != summarize(m, msg) {
		t.Errorf("%v: got %q, want %q", k, summarize(m, msg), want)
	}
	again := msg.Message(d)
	again.ID = m.ID
	if wire := again.Append(nil); !bytes.Equal(wire, raw.wire) {
		t.Errorf("%s:\n got %x\nwant %x", raw.text, wire, raw.wire)
		return
	}
	rewritten[k]++
}

// summary reduces the decoder's line to the fields that summarize prints.
func summary(text string) string {
	if i := strings.Index(text, " payload["); i >= 0 {
		rest := text[i:]
		text = text[:i]
		if j := strings.LastIndex(rest, " (product="); j >= 0 {
			text += rest[j:]
		}
	}
	var kept []string
	for _, word := range strings.Fields(text) {
		if !strings.HasPrefix(word, "mid=") {
			kept = append(kept, word)
		}
	}
	return strings.Join(kept, " ")
}

// summarize prints a message as the decoder does, from the parsed struct where
// that has the field.
func summarize(m coap.Message, parsed Message) string {
	kind := map[coap.Type]string{
		coap.Confirmable: "CON", coap.NonConfirmable: "NON", coap.Acknowledgement: "ACK", coap.Reset: "RST",
	}[m.Type]
	code := fmt.Sprintf("%d.%02d", m.Code>>5, m.Code&31)
	switch m.Code {
	case coap.Empty:
		code = "EMPTY"
	case coap.GET:
		code = "GET"
	case coap.POST:
		code = "POST"
	case coap.PUT:
		code = "PUT"
	default:
	}
	s := kind + " " + code
	if path := m.Path(); path != "" {
		s += " /" + path
	}
	if len(m.Token) > 0 {
		s += fmt.Sprintf(" token=%x", m.Token)
	}
	return s + fieldsOf(parsed)
}

func fieldsOf(parsed Message) string {
	switch p := parsed.(type) {
	case Hello:
		return helloText(p)
	case DescribeRequest:
		return fmt.Sprintf(" Uri-Query=%02x", uint8(p.Flags))
	case DescribePost:
		s := ""
		if p.Protobuf {
			s = " Content-Format=42"
		}
		return s + fmt.Sprintf(" Uri-Query=%02x", uint8(p.Flags))
	case DescribeResponse:
		if p.Protobuf {
			return " Content-Format=42"
		}
	case Subscribe:
		if p.Scope == ScopeMyDevices {
			return ` Uri-Query="u"`
		}
	case FunctionCall:
		return " Uri-Query=" + strconv.Quote(p.Argument)
	case Chunk:
		s := fmt.Sprintf(" Uri-Query=%08x", p.CRC)
		if p.Fast {
			s += fmt.Sprintf(" Uri-Query=%04x", p.Index)
		}
		return s
	case UpdateStart:
		return fmt.Sprintf(" File-Size=%d File-SHA-256=%x Chunk-Size=%d", p.FileSize, p.SHA256, p.ChunkSize)
	case UpdateStartResponse:
		return fmt.Sprintf(" Window-Size=%d File-Size=%d", p.Window, p.Offset)
	case UpdateChunk:
		return fmt.Sprintf(" Chunk-Index=%d", p.Index)
	case UpdateAck:
		return fmt.Sprintf(" Chunk-Index=%d", p.Count)
	}
	return ""
}

func helloText(h Hello) string {
	s := fmt.Sprintf(" (product=%d version=%04x flags=%04x platform=%d", h.ProductID, h.ProductVersion, uint16(h.Flags), h.Platform)
	if h.DeviceID != nil {
		s += fmt.Sprintf(" id=%x", h.DeviceID)
	}
	if h.System != 0 {
		if h.DeviceID == nil {
			s += " id=none"
		}
		s += fmt.Sprintf(" system=%d max_message=%d max_binary=%d ota_chunk=%d", h.System, h.MaxMessage, h.MaxBinary, h.ChunkSize)
	}
	return s + ")"
}
