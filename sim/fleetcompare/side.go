package fleetcompare

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/muster/muster/sim/fleetreport"
	"github.com/muster/muster/sim/record"
)

// piecesOf is how many pieces a phase has.
const piecesOf = 10

// A Side is one of two runs.
type Side struct {
	Dir    string
	Report *fleetreport.Report
	pieces map[key]*[piecesOf]piece
}

// A key names what is compared: a group ("": all) in a phase.
type key struct{ phase, group string }

// A piece is what was counted in a tenth of a phase.
type piece struct {
	counts  map[record.Counter]uint64
	bytes   map[record.Activity]uint64
	times   map[record.Timing]record.Sparse
	seconds float64
	devices float64
}

// Read reads a run's folder.
func Read(dir string) (*Side, error) {
	run, err := record.ReadRun(dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("%s has no %s: it is no folder of a run, or the run was killed, and what a killed run measured cannot be compared (muster fleet report shows it)", dir, record.RunFile)
	case err != nil:
		return nil, err
	}
	s := &Side{Dir: dir, pieces: make(map[key]*[piecesOf]piece)}
	s.Report, err = fleetreport.Read(dir, func(x *record.Sample) { s.add(run, x) })
	return s, err
}

func (s *Side) run() *record.Run { return s.Report.Run }

// add puts a sample into its piece.
func (s *Side) add(run *record.Run, x *record.Sample) {
	for _, p := range run.Phases {
		if p.Name != x.Phase || p.End <= p.Start {
			continue
		}
		// What is acknowledged after the end of its phase belongs to its last piece.
		i := int(piecesOf * (x.At - 1 - p.Start) / (p.End - p.Start))
		i = max(0, min(piecesOf-1, i))
		for _, group := range groupsOf(x.Group) {
			k := key{x.Phase, group}
			if s.pieces[k] == nil {
				s.pieces[k] = newPieces(run, p, group)
			}
			s.pieces[k][i].add(x)
		}
		return
	}
}

func groupsOf(group string) []string {
	if group == "" {
		return []string{""}
	}
	return []string{"", group}
}

func newPieces(run *record.Run, p record.Phase, group string) *[piecesOf]piece {
	devices := 0
	for _, g := range run.Groups {
		if group == "" || g.Name == group {
			devices += g.Devices
		}
	}
	list := &[piecesOf]piece{}
	for i := range list {
		list[i] = newPiece((p.End - p.Start) / piecesOf)
		list[i].devices = float64(devices)
	}
	return list
}

func newPiece(length time.Duration) piece {
	return piece{
		counts: make(map[record.Counter]uint64), bytes: make(map[record.Activity]uint64),
		times: make(map[record.Timing]record.Sparse), seconds: length.Seconds(),
	}
}

func (p *piece) add(x *record.Sample) {
	for c, n := range x.Counts {
		p.counts[c] += n
	}
	for a, n := range x.Bytes {
		p.bytes[a] += n.Total()
	}
	for name, h := range x.Times {
		if p.times[name] == nil {
			p.times[name] = make(record.Sparse)
		}
		p.times[name].Add(h)
	}
}

// whole is all pieces together.
func whole(list *[piecesOf]piece) piece {
	sum := newPiece(0)
	if list == nil {
		return sum
	}
	for i := range list {
		p := &list[i]
		sum.seconds += p.seconds
		sum.devices = p.devices
		for c, n := range p.counts {
			sum.counts[c] += n
		}
		for a, n := range p.bytes {
			sum.bytes[a] += n
		}
		for name, t := range p.times {
			if sum.times[name] == nil {
				sum.times[name] = make(record.Sparse)
			}
			sum.times[name].Merge(t)
		}
	}
	return sum
}
