package fleet

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/muster/muster/sim/device"
	"github.com/muster/muster/transport"
)

// writeSummary tells how a run went.
func writeSummary(w io.Writer, cloud string, took time.Duration, m Metrics) {
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "  %-22s %s\n", name, fmt.Sprintf(format, args...))
	}
	fmt.Fprintf(w, "%d devices against %s, %v\n", m.Devices, cloud, took.Round(time.Second))
	row("online at the end", "%d of %d", m.Online, m.Devices)
	row("attempts to connect", "%d: %d handshakes, %d resumes", m.Attempts, m.Handshakes, m.Resumes)
	if t := m.ConnectTime; t.Count > 0 {
		row("time to connect", "p50 %v, p95 %v, p99 %v, max %v", short(t.P50), short(t.P95), short(t.P99), short(t.Max))
	}
	row("connections lost", "%d%s", m.Offline, reasons(m.Errors))
	row("events published", "%d, %d failed", m.Published, m.PublishFailed)
	row("from the cloud", "%d events, %d functions, %d variables, %d updates", m.EventsReceived, m.FunctionsCalled, m.VariablesRead, m.UpdatesApplied)
	wire := m.Wire
	row("sent", "%d datagrams, %d bytes; TCP %d bytes", wire[transport.DatagramsOut], wire[transport.DatagramBytesOut], wire[transport.StreamBytesOut])
	row("received", "%d datagrams, %d bytes; TCP %d bytes", wire[transport.DatagramsIn], wire[transport.DatagramBytesIn], wire[transport.StreamBytesIn])
	if n := wire[transport.DropSocketFull]; n > 0 {
		row("lost by this machine", "%d datagrams: its receive buffers were full; lower --rate, or raise net.core.rmem_max", n)
	}
	if n := wire[transport.SendRefused]; n > 0 {
		row("refused", "%d datagrams: nobody listens at %s", n, cloud)
	}
}

// short rounds to what a reader can use.
func short(d time.Duration) time.Duration {
	if d > time.Second {
		return d.Round(10 * time.Millisecond)
	}
	return d.Round(100 * time.Microsecond)
}

// reasons lists why connections were lost, the most frequent first.
func reasons(errors map[device.Error]uint64) string {
	var list []device.Error
	for e := range errors {
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b device.Error) int {
		if errors[a] != errors[b] {
			return int(int64(errors[b]) - int64(errors[a]))
		}
		return int(a) - int(b)
	})
	var text []string
	for _, e := range list {
		text = append(text, fmt.Sprintf("%s %d", e.String(), errors[e]))
	}
	if len(text) == 0 {
		return ""
	}
	return ": " + strings.Join(text, ", ")
}
