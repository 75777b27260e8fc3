package evidence

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/muster/muster/harness/capture"
	"github.com/muster/muster/harness/ledger"
	"github.com/muster/muster/harness/report"
	"github.com/muster/muster/harness/timeline"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/trace"
	"github.com/muster/muster/transport"
)

// The files of a bundle.
const (
	readmeFile   = "README.txt"
	reportFile   = "report.json"
	trafficFile  = "traffic.pcapng"
	keysFile     = "keys.log"
	traceFile    = "trace.jsonl"
	ledgerFile   = "ledger.json"
	timelineFile = "timeline.jsonl"
	virtualFile  = "virtual.jsonl"
	virtualDir   = "virtual"
	logsDir      = "logs"
)

// A bundle is one that is being written.
type bundle struct {
	*Collector
	dir   string
	files []File
	errs  []error
}

// Finish writes the bundle of a run and returns what the report says of it. It fills
// in run.Evidence and run.Timeline. L, if not nil, has the bytes of the devices. The
// Collector takes nothing any more.
func (c *Collector) Finish(run *report.Run, m Manifest, l *ledger.Ledger) error {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	b := &bundle{Collector: c, dir: c.cfg.Dir}
	chosen := c.choose(run)
	c.virtual.number()
	run.Timeline = c.timeline.Events()
	run.Traffic = traffic(c.packets, c.virtual.staged, run.Duration)
	run.Evidence = &report.Evidence{
		Path: filepath.Base(c.cfg.Dir), Packets: chosen.packets, Devices: chosen.devices, LeftOut: chosen.leftOut, Secrets: c.cfg.Secrets,
	}
	b.traffic(chosen)
	b.keys(chosen)
	b.trace(chosen)
	b.ledger(run, chosen, l)
	b.timelineOf(run, chosen)
	b.networks()
	for _, name := range slices.Sorted(maps.Keys(c.logs)) {
		b.log(name, c.logs[name])
	}
	b.file(reportFile, "verdicts, findings and measurements", run.WriteJSON)
	b.manifest(run, m)
	b.errs = append(b.errs, c.spool.close())
	if err := errors.Join(b.errs...); err != nil {
		return fmt.Errorf("evidence: writing the bundle: %w", err)
	}
	return nil
}

// timelinePackets bounds the packets on the timeline.
const timelinePackets = 20_000

// timelineOf writes what happened, and with it the packets of those devices that matter
// most.
func (b *bundle) timelineOf(run *report.Run, chosen *choice) {
	var packets []*trace.Packet
	for _, p := range b.packets {
		if a, err := netip.ParseAddrPort(p.DeviceAddress); err == nil && chosen.has(a) {
			packets = append(packets, p)
		}
	}
	if more := len(packets) - timelinePackets; more > 0 {
		slices.SortStableFunc(packets, func(x, y *trace.Packet) int { return cmp.Compare(chosen.place(x), chosen.place(y)) })
		packets = packets[:timelinePackets]
		run.Evidence.LeftOut = append(run.Evidence.LeftOut, fmt.Sprintf("%d packets in %s: it has %d, those that findings are about first; %s has all", more, timelineFile, timelinePackets, traceFile))
	}
	events, owners := slices.Clone(run.Timeline), b.owners()
	for _, p := range packets {
		events = append(events, packetEvent(p, owners))
	}
	for _, p := range b.virtual.staged {
		e := packetEvent(p.Packet, owners)
		e.Packet, e.Check = 0, p.check // it is not in the trace of the run
		events = append(events, e)
	}
	if n := b.virtual.unstaged; n > 0 {
		run.Evidence.LeftOut = append(run.Evidence.LeftOut, fmt.Sprintf("%d packets before puppets in %s: it has %d", n, timelineFile, len(b.virtual.staged)))
	}
	slices.SortStableFunc(events, func(x, y timeline.Event) int { return cmp.Compare(x.At, y.At) })
	run.Timeline = events
	b.lines(timelineFile, "events, packets and verdicts on one time axis, a JSON object a line", func(emit func(any)) {
		for i := range events {
			emit(&events[i])
		}
	})
}

// owners tells whose the addresses are that one device only had: a handshake begins
// before it shows who begins it.
func (b *bundle) owners() map[string]trace.DeviceID {
	owners, nobody := make(map[string]trace.DeviceID), trace.DeviceID{}
	note := func(p *trace.Packet) {
		if p.Device == nobody {
			return
		}
		if before, known := owners[p.DeviceAddress]; known && before != p.Device {
			owners[p.DeviceAddress] = nobody
			return
		}
		owners[p.DeviceAddress] = p.Device
	}
	for _, p := range b.packets {
		note(p)
	}
	for _, p := range b.virtual.staged {
		note(p.Packet)
	}
	return owners
}

// packetEvent is a packet on the timeline, without what it says.
func packetEvent(p *trace.Packet, owners map[string]trace.DeviceID) timeline.Event {
	e := timeline.Event{At: p.At, Lane: p.DeviceAddress, Kind: timeline.Packet, Packet: p.Serial}
	whose := p.Device
	if whose == (trace.DeviceID{}) {
		whose = owners[p.DeviceAddress]
	}
	if whose != (trace.DeviceID{}) {
		e.Lane = whose.String()
	}
	// The line begins with time and device, which the event has itself.
	e.Text = strings.TrimPrefix(p.String(), fmt.Sprintf("%v %v ", p.At, p.Device))
	if p.Lost != "" || p.Problem != "" {
		e.Level = timeline.Warn
	}
	return e
}

// trafficSlices is into how many slices of time the traffic of a run is cut.
const trafficSlices = 160

// traffic adds up the bytes of packets in slices of time.
func traffic(packets []*trace.Packet, staged []stagedPacket, duration time.Duration) []report.Traffic {
	width := max(duration/trafficSlices, time.Millisecond)
	slices := make([]report.Traffic, trafficSlices)
	for i := range slices {
		slices[i].At, slices[i].For = time.Duration(i)*width, width
	}
	add := func(p *trace.Packet) {
		i := int(time.Duration(p.At) / width)
		switch {
		case i < 0 || i >= len(slices) || p.Received && p.Lost != "":
		case p.Direction == trace.Up:
			slices[i].Up += p.Bytes()
		default:
			slices[i].Down += p.Bytes()
		}
	}
	for _, p := range packets {
		add(p)
	}
	for _, p := range staged {
		add(p.Packet)
	}
	return slices
}

// file writes one file.
func (b *bundle) file(name, about string, write func(io.Writer) error) {
	path := filepath.Join(b.dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		b.errs = append(b.errs, err)
		return
	}
	mode := os.FileMode(0o644)
	if strings.HasSuffix(name, keysFile) || strings.HasSuffix(name, trafficFile) {
		mode = 0o600 // they have the secrets of sessions
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, mode)
	if err != nil {
		b.errs = append(b.errs, err)
		return
	}
	w := bufio.NewWriterSize(f, 1<<16)
	err = errors.Join(write(w), w.Flush())
	info, err2 := f.Stat()
	if err = errors.Join(err, err2, f.Close()); err != nil {
		b.errs = append(b.errs, fmt.Errorf("%s: %w", name, err))
		return
	}
	b.files = append(b.files, File{Name: name, Size: info.Size(), About: about})
}

// lines writes a file of JSON objects, a line each.
func (b *bundle) lines(name, about string, each func(emit func(any))) {
	b.file(name, about, func(w io.Writer) error {
		encoder := json.NewEncoder(w)
		encoder.SetEscapeHTML(false)
		var failed error
		each(func(v any) {
			if failed == nil {
				failed = encoder.Encode(v)
			}
		})
		return failed
	})
}

// traffic writes the packets, and the messages in them, in the order of their times.
func (b *bundle) traffic(chosen *choice) {
	b.file(trafficFile, "packets for Wireshark: interface \"wire\", and \"coap\" with the messages in them", func(w io.Writer) error {
		var secrets []capture.Secrets
		for _, s := range b.secrets {
			if chosen.has(s.DeviceAddress) {
				secrets = append(secrets, s)
			}
		}
		var messages []*trace.Packet
		for _, p := range b.packets {
			if a, err := netip.ParseAddrPort(p.DeviceAddress); err == nil && chosen.has(a) {
				messages = append(messages, p)
			}
		}
		return b.pcap(w, secrets, messages, func(f func(transport.Sighting)) error {
			return b.spool.each(func(s transport.Sighting) {
				if chosen.has(s.Local) {
					f(s)
				}
			})
		})
	})
}

// late is how far out of order sightings are told.
const late = clock.Instant(2e9)

// pcap writes one file of packets: secrets first, for tools read them in passing,
// then sightings and messages by their times.
func (b *bundle) pcap(w io.Writer, secrets []capture.Secrets, packets []*trace.Packet, each func(func(transport.Sighting)) error) error {
	out, err := capture.NewPcapWriter(w, capture.PcapOptions{Start: b.cfg.Start, Comment: "muster: see README.txt beside this file"})
	if err != nil {
		return err
	}
	if !b.cfg.Secrets {
		packets = nil
	}
	for _, s := range secrets {
		if b.cfg.Secrets {
			out.AddSecrets(s)
		}
	}
	packets = slices.Clone(packets)
	slices.SortStableFunc(packets, func(x, y *trace.Packet) int { return cmp.Compare(x.At, y.At) })
	flush := func(until clock.Instant) {
		for len(packets) > 0 && packets[0].At < until {
			for _, m := range packets[0].Messages() {
				if !confidential(m) {
					out.AddMessage(packets[0], m)
				}
			}
			packets = packets[1:]
		}
	}
	var waiting []transport.Sighting
	emit := func(until clock.Instant) {
		slices.SortStableFunc(waiting, func(x, y transport.Sighting) int { return cmp.Compare(x.At, y.At) })
		n := 0
		for n < len(waiting) && waiting[n].At < until {
			flush(waiting[n].At)
			out.Sight(waiting[n])
			n++
		}
		waiting = slices.Delete(waiting, 0, n)
	}
	newest := clock.Instant(0)
	err = each(func(s transport.Sighting) {
		s.Data = slices.Clone(s.Data)
		waiting = append(waiting, s)
		if newest = max(newest, s.At); len(waiting) >= 4096 {
			emit(newest - late)
			if len(waiting) >= 1<<16 {
				emit(clock.Never) // they come faster than they can wait
			}
		}
	})
	emit(clock.Never)
	flush(clock.Never)
	return errors.Join(err, out.Close())
}

func (b *bundle) keys(chosen *choice) {
	if !b.cfg.Secrets {
		return
	}
	b.file(keysFile, "the secrets of the sessions in traffic.pcapng, as an NSS key log; it has them too", func(w io.Writer) error {
		log := capture.NewKeyLog(w)
		for _, s := range b.secrets {
			if chosen.has(s.DeviceAddress) {
				if err := log.Add(s); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func (b *bundle) trace(chosen *choice) {
	packets := slices.Clone(b.packets)
	slices.SortStableFunc(packets, func(x, y *trace.Packet) int { return cmp.Or(cmp.Compare(x.At, y.At), cmp.Compare(x.Serial, y.Serial)) })
	b.lines(traceFile, "the packets, decoded, a JSON object a line", func(emit func(any)) {
		for _, p := range packets {
			if a, err := netip.ParseAddrPort(p.DeviceAddress); err == nil && chosen.has(a) {
				emit(traceLine(p, b.cfg.Secrets))
			}
		}
	})
}

// A LedgerFile is ledger.json.
type LedgerFile struct {
	Rows    []report.LedgerRow `json:"rows"` // as in the report
	Devices []DeviceLedger     `json:"devices,omitempty"`
}

// A DeviceLedger is what the phases of one device cost, in bytes.
type DeviceLedger struct {
	Device string        `json:"device"`
	Phases []DevicePhase `json:"phases"`
}

// A DevicePhase is what one phase cost a device.
type DevicePhase struct {
	Phase string        `json:"phase"`
	Count int           `json:"count"`
	Up    report.Cost   `json:"up"`   // of the one in the middle
	Down  report.Cost   `json:"down"` // of the same
	Total report.Spread `json:"total"`
}

// ledgerDevices bounds the devices with a ledger of their own.
const ledgerDevices = 200

func (b *bundle) ledger(run *report.Run, chosen *choice, l *ledger.Ledger) {
	file := LedgerFile{Rows: run.Ledger}
	if l != nil {
		in := make(map[trace.DeviceID]bool)
		for _, p := range b.packets {
			if a, err := netip.ParseAddrPort(p.DeviceAddress); err == nil && chosen.has(a) && p.Device != (trace.DeviceID{}) {
				in[p.Device] = true
			}
		}
		file.Devices = deviceLedgers(l, in)
		if more := len(in) - ledgerDevices; more > 0 {
			run.Evidence.LeftOut = append(run.Evidence.LeftOut, fmt.Sprintf("the ledgers of %d single devices in %s: it has those of %d; trace.jsonl has what they are made from", more, ledgerFile, ledgerDevices))
		}
	}
	b.file(ledgerFile, "bytes per phase, of generations and of single devices", func(w io.Writer) error {
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", " ")
		return encoder.Encode(file)
	})
}

func deviceLedgers(l *ledger.Ledger, in map[trace.DeviceID]bool) []DeviceLedger {
	ids := slices.SortedFunc(maps.Keys(in), func(x, y trace.DeviceID) int { return slices.Compare(x[:], y[:]) })
	var list []DeviceLedger
	for id, summaries := range l.Each(ids[:min(len(ids), ledgerDevices)]) {
		d := DeviceLedger{Device: id.String()}
		for _, s := range summaries {
			d.Phases = append(d.Phases, DevicePhase{Phase: s.Phase.String(), Count: s.Count, Up: s.Median.Up, Down: s.Median.Down, Total: s.Total})
		}
		list = append(list, d)
	}
	return list
}

// networks writes the lines of the virtual networks, and the packets of those that
// are kept.
func (b *bundle) networks() {
	for _, n := range b.virtual.done {
		if !n.keep {
			continue
		}
		n.line.File = fmt.Sprintf("%s/%s_%s_%d", virtualDir, strings.ReplaceAll(n.line.Check, "/", "_"), n.line.Device, n.line.Number)
		b.file(n.line.File+".pcapng", "packets of a stage of "+n.line.Check, func(w io.Writer) error {
			return b.pcap(w, n.secrets, n.packets, func(f func(transport.Sighting)) error {
				for _, s := range n.seen {
					f(s)
				}
				return nil
			})
		})
		b.lines(n.line.File+".trace.jsonl", "the same, decoded", func(emit func(any)) {
			for _, p := range n.packets {
				emit(traceLine(p, b.cfg.Secrets))
			}
		})
	}
	b.lines(virtualFile, "the virtual networks: what a replay compares", func(emit func(any)) {
		for _, n := range b.virtual.done {
			if !n.live {
				emit(&n.line)
			}
		}
	})
}

func (b *bundle) log(name string, l *logFile) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b.file(logsDir+"/"+name+".log", "what "+name+" said", func(w io.Writer) error {
		_, err := w.Write(l.b)
		if l.dropped > 0 && err == nil {
			_, err = fmt.Fprintf(w, "… %d more bytes were left out: a log holds %d MiB\n", l.dropped, logMax>>20)
		}
		return err
	})
}

func (b *bundle) manifest(run *report.Run, m Manifest) {
	m.describe()
	m.Tool, m.Version, m.Started, m.Duration, m.Seed = run.Tool, run.Version, run.Started, run.Duration, run.Seed
	m.Cloud, m.Device, m.Verdict, m.Exit = run.Cloud, run.Device, run.Verdict().String(), run.ExitCode()
	m.Evidence = *run.Evidence
	b.file(readmeFile, "how to open all this", func(w io.Writer) error { return writeReadme(w, &m, b.files) })
	slices.SortFunc(b.files, func(x, y File) int { return cmp.Compare(x.Name, y.Name) })
	m.Files = b.files
	// The manifest comes last: it says that the bundle is complete.
	b.file(manifestFile, "", func(w io.Writer) error {
		encoder := json.NewEncoder(w)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		return encoder.Encode(m)
	})
}
