package ledger

import (
	"bytes"
	"cmp"
	"iter"
	"slices"

	"github.com/muster/muster/harness/report"
	"github.com/muster/muster/protocol/trace"
)

// A Summary is what a phase cost over several occurrences.
type Summary struct {
	Phase  Phase
	Count  int
	Median Cost // of the occurrence in the middle
	Total  report.Spread
	// Data is the size of the largest event of Publish, in bytes.
	Data int
}

func (t *tally) summary(ph Phase) Summary {
	s := Summary{Phase: ph, Count: t.count, Data: t.data, Median: t.at(0.5)}
	s.Total.Min, s.Total.Max = t.extremes()
	s.Total.Median = s.Median.Bytes()
	return s
}

// snapshot returns all accounts with what is open added. l is locked.
func (l *Ledger) snapshot() map[account]*[numPhases]tally {
	shadow := New()
	for a, t := range l.accounts {
		shadow.accounts[a] = new([numPhases]tally)
		for ph := range t {
			shadow.accounts[a][ph].merge(&t[ph])
		}
	}
	for _, b := range l.books {
		b.close(shadow)
	}
	return shadow.accounts
}

// Device returns what each phase cost a device so far, over both transports, in
// the order of phases. The zero id is for what belongs to no known device.
func (l *Ledger) Device(id trace.DeviceID) []Summary {
	for _, all := range l.Each([]trace.DeviceID{id}) {
		return all
	}
	return nil
}

// Each yields what each phase cost each of the devices so far, as Device does, in
// the order of the ids.
func (l *Ledger) Each(ids []trace.DeviceID) iter.Seq2[trace.DeviceID, []Summary] {
	l.mu.Lock()
	wanted := make(map[trace.DeviceID]*[numPhases]tally, len(ids))
	for _, id := range ids {
		wanted[id] = new([numPhases]tally)
	}
	for a, t := range l.snapshot() {
		if sum := wanted[a.device]; sum != nil {
			for ph := range t {
				sum[ph].merge(&t[ph])
			}
		}
	}
	l.mu.Unlock()
	return func(yield func(trace.DeviceID, []Summary) bool) {
		for _, id := range ids {
			var all []Summary
			for ph := range wanted[id] {
				if t := &wanted[id][ph]; t.count > 0 {
					all = append(all, t.summary(Phase(ph)))
				}
			}
			if !yield(id, all) {
				return
			}
		}
	}
}

// Devices returns the devices with costs, in the order of their ids.
func (l *Ledger) Devices() []trace.DeviceID {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []trace.DeviceID
	for a := range l.snapshot() {
		all = append(all, a.device)
	}
	slices.SortFunc(all, func(a, b trace.DeviceID) int { return bytes.Compare(a[:], b[:]) })
	return slices.Compact(all)
}

// Rows returns the report's rows: each phase on each generation. deviceOS names
// the release of a device, such as "3.1.0"; devices that it does not know are left
// out.
func (l *Ledger) Rows(deviceOS func(trace.DeviceID) (release string, known bool)) []report.LedgerRow {
	l.mu.Lock()
	defer l.mu.Unlock()
	type key struct {
		deviceOS, transport string
		phase               Phase
	}
	sums, devices := map[key]*tally{}, map[key]int{}
	for a, t := range l.snapshot() {
		release, known := deviceOS(a.device)
		if !known {
			continue
		}
		for ph := range t {
			k := key{release, a.transport.String(), Phase(ph)}
			if t[ph].count == 0 {
				continue
			}
			if sums[k] == nil {
				sums[k] = new(tally)
			}
			sums[k].merge(&t[ph])
			devices[k]++
		}
	}
	keys := make([]key, 0, len(sums))
	for k := range sums {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b key) int {
		return cmp.Or(cmp.Compare(a.phase, b.phase), cmp.Compare(a.deviceOS, b.deviceOS), cmp.Compare(a.transport, b.transport))
	})
	rows := make([]report.LedgerRow, 0, len(keys))
	for _, k := range keys {
		s := sums[k].summary(k.phase)
		row := report.LedgerRow{
			Phase: k.phase.String(), DeviceOS: k.deviceOS, Transport: k.transport, Devices: devices[k],
			Count: s.Count, Up: s.Median.Up, Down: s.Median.Down, Total: s.Total,
		}
		if budget, _ := Budget(k.phase, k.deviceOS, k.transport); k.phase != Publish || s.Data <= PublishData {
			row.Budget = budget
		}
		rows = append(rows, row)
	}
	return rows
}
