package command

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/muster/muster/sim/device"
	"github.com/muster/muster/sim/loadtest"
	"github.com/muster/muster/sim/record"
	"github.com/muster/muster/sim/show"
)

// A table writes rows with a name.
type table struct{ w io.Writer }

func (t table) row(name, format string, args ...any) {
	fmt.Fprintf(t.w, "  %-22s %s\n", name, fmt.Sprintf(format, args...))
}

// summarize tells how a run went: the last thing on the screen.
func summarize(w io.Writer, r *record.Run) {
	t := table{w}
	sum := r.Sum("", "")
	n := func(c record.Counter) uint64 { return sum.Counts[c] }
	var devices, online, asleep int64
	for group, l := range r.Levels {
		if group != "" {
			devices, online, asleep = devices+l[record.Devices], online+l[record.Online], asleep+l[record.Sleeping]
		}
	}
	var took time.Duration
	if len(r.Phases) > 0 {
		took = r.Phases[len(r.Phases)-1].End
	}
	fmt.Fprintf(w, "%s: %s against %s, %v, seed %d\n", r.Name, show.Count(devices, "device"), r.Cloud, took.Round(time.Second), r.Seed)
	at := fmt.Sprintf("%d of %d", online, devices)
	if asleep > 0 {
		at += fmt.Sprintf(", %d asleep", asleep)
	}
	t.row("online at the end", "%s", at)
	t.row("attempts to connect", "%d: %d handshakes, %d resumes", n(record.Attempts), n(record.Handshakes), n(record.Resumes))
	t.times("time to connect", sum.Times[record.ConnectTime])
	lost, refused := apart(sum.Errors)
	if len(lost) > 0 {
		t.row("connections ended", "%d, by errors: %s", n(record.Offline), loadtest.Summary(lost))
		for _, hint := range hints(lost) {
			t.row("", "%s", hint)
		}
	} else {
		t.row("connections ended", "%d, none by an error", n(record.Offline))
	}
	t.row("events published", "%d of %d due, %d failed, %d refused by devices", n(record.Published), n(record.Publishes)+n(record.PublishRefused), n(record.PublishFailed), n(record.PublishRefused))
	if n(record.PublishFailed) > 0 && n(record.Published) == 0 {
		t.row("", "the cloud acknowledged none of them; over TCP not every cloud does: publish without (--no-ack, or ack: false in a scenario)")
	}
	t.times("time to publish", sum.Times[record.PublishTime])
	t.times("time to deliver", sum.Times[record.DeliveryTime])
	t.row("from the cloud", "%d events, %d functions, %d variables, %d updates", n(record.EventsReceived), n(record.FunctionsCalled), n(record.VariablesRead), n(record.UpdatesApplied))
	if n(record.Calls) > 0 {
		failed := fmt.Sprintf("%d failed", n(record.CallsFailed))
		if len(refused) > 0 {
			failed += ": " + loadtest.Summary(refused)
		}
		t.row("calls of the API", "%d, %s", n(record.Calls), failed)
		t.times("time to call", sum.Times[record.CallTime])
	}
	t.times("time to update", sum.Times[record.UpdateTime])
	all := sum.Traffic()
	t.row("on the wire", "%s up in %d packets, %s down in %d", show.Bytes(float64(all.Up)), all.UpPackets, show.Bytes(float64(all.Down)), all.DownPackets)
	t.bytes(&sum)
	if drops := n(record.SocketDrops); drops > 0 {
		t.row("lost by this machine", "%d datagrams: its receive buffers were full; lower the rate, or raise net.core.rmem_max", drops)
	}
	if refused := n(record.SendRefused); refused > 0 {
		t.row("refused", "%d datagrams: nobody listens at %s", refused, r.Cloud)
	}
	verdicts(w, r)
}

// hints say what to do about errors of connections that nearly always mean one thing.
func hints(lost map[string]uint64) (list []string) {
	for _, h := range []struct {
		is   device.Error
		text string
	}{
		{device.KeyTimeout, "no key: the cloud hung up when it saw the key of a device. Does it know these devices (--register), and is --cloud-key its own? A cloud that lets some in is too slow for --rate."},
		{device.BadSignature, "bad signature: the cloud has another key than --cloud-key"},
		{device.NonceTimeout, "no nonce: what listens at the TCP port takes connections and says nothing: is it the cloud?"},
	} {
		if lost[h.is.String()] > 0 {
			list = append(list, h.text)
		}
	}
	return list
}

// apart tells errors of connections from those of calls.
func apart(errors map[string]uint64) (lost, refused map[string]uint64) {
	lost, refused = make(map[string]uint64), make(map[string]uint64)
	for reason, n := range errors {
		if text, is := strings.CutPrefix(reason, "api: "); is {
			refused[text] = n
		} else {
			lost[reason] = n
		}
	}
	return lost, refused
}

// times writes percentiles.
func (t table) times(name string, h *record.Histogram) {
	if h.Count() == 0 {
		return
	}
	q := func(p float64) string { return show.Duration(h.Quantile(p)) }
	t.row(name, "p50 %s, p95 %s, p99 %s, max %s", q(0.5), q(0.95), q(0.99), show.Duration(h.Max()))
}

// bytes writes what one of each activity cost.
func (t table) bytes(sum *record.Tally) {
	var parts []string
	for _, one := range []struct {
		name string
		act  record.Activity
		of   record.Counter
	}{
		{"handshake", record.ActHandshake, record.Handshakes},
		{"resume", record.ActResume, record.Resumes},
		{"event", record.ActPublish, record.Publishes},
		{"ping", record.ActKeepAlive, record.Pings},
	} {
		if n := sum.Counts[one.of]; n > 0 && sum.Bytes[one.act] != (record.Traffic{}) {
			parts = append(parts, fmt.Sprintf("%s %.0f", one.name, float64(sum.Bytes[one.act].Total())/float64(n)))
		}
	}
	if len(parts) > 0 {
		t.row("bytes for one", "%s (headers of IP included)", strings.Join(parts, ", "))
	}
}

// marks are how verdicts look.
var marks = map[record.Verdict]string{record.Pass: "✓", record.Fail: "✗", record.Inconclusive: "?"}

// verdicts writes the thresholds and what the run came to.
func verdicts(w io.Writer, r *record.Run) {
	if len(r.Thresholds) > 0 {
		fmt.Fprintln(w)
	}
	for _, t := range r.Thresholds {
		text := t.Text
		if t.Phase != "" {
			text += " in " + t.Phase
		}
		if t.Group != "" {
			text += " of " + t.Group
		}
		what := "it was " + measured(t)
		if t.Verdict == record.Inconclusive {
			what = t.Why
		}
		fmt.Fprintf(w, "  %s %-48s %s\n", marks[t.Verdict], text, what)
	}
	for _, n := range r.Notes {
		if n.Kind == "generator" {
			fmt.Fprintf(w, "  ! %s\n", n.Text)
		}
	}
	if r.Verdict != "" {
		fmt.Fprintf(w, "%s: %s\n", strings.ToUpper(string(r.Verdict)), r.Why)
	}
}

// measured writes the value of a threshold.
func measured(t record.Threshold) string {
	switch t.Unit {
	case "s":
		return show.Seconds(t.Value)
	case "%":
		return fmt.Sprintf("%.4g%%", t.Value)
	case "B":
		return fmt.Sprintf("%.0f bytes", t.Value)
	case "/s":
		return fmt.Sprintf("%.4g/s", t.Value)
	}
	return fmt.Sprintf("%.6g", t.Value)
}
