package workers

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/sim/record"
	"github.com/muster/muster/sim/workers/plan"
)

// However intervals are put together and cut, the ledger has all of them in the end,
// and knows which are whole.
func TestIntervalsTogetherAndInPieces(t *testing.T) {
	var intervals []plan.Batch
	const intervalsAll, groups = 9, 4
	for i := range intervalsAll {
		b := plan.Batch{Last: i == intervalsAll-1}
		for g := range groups {
			s := record.Sample{At: time.Duration(i+1) * time.Second, Every: time.Second, Phase: "all", Group: fmt.Sprint("g", g)}
			s.Count(record.Published, 1)
			s.Error(strings.Repeat("e", 50*i), 1) // intervals of different sizes
			b.Samples = append(b.Samples, s)
		}
		intervals = append(intervals, b)
	}
	for _, size := range []int{1, 200, 450, 500, 600, 700, 1000, 1500, 2500, 100_000} {
		l := plan.NewLedger([]plan.Part{{Count: 1}}, time.Second)
		out := plan.Out{Begin: clock.Never}
		seq, told, batches := uint64(0), 0, 0
		for rest := intervals; len(rest) > 0; {
			b, n := together(rest, size)
			if b.Epoch, b.Worker = 1, "w"; n < 1 {
				t.Fatal("nothing fits")
			}
			for _, p := range pieces(b, size) {
				p.Seq = seq
				seq++
				batches++
				encoded, err := json.Marshal(&p)
				if err != nil {
					t.Fatal(err)
				}
				if len(p.Samples) > 1 && len(encoded) > size+200 {
					t.Errorf("size %d: a batch of %d samples has %d bytes", size, len(p.Samples), len(encoded))
				}
				l.Add(&p, &out)
				if whole := l.Gaps(intervalsAll * time.Second); p.More && len(whole) == 0 {
					t.Errorf("size %d: all is whole with a piece missing", size)
				}
			}
			told += n
			rest = rest[n:]
		}
		l.Give(time.Hour, &out)
		var sum record.Tally
		for i := range out.Samples {
			sum.Add(&out.Samples[i].Tally)
		}
		if sum.Counts[record.Published] != intervalsAll*groups || told != intervalsAll || len(l.Gaps(intervalsAll*time.Second)) > 0 {
			t.Errorf("size %d: %v, %d intervals, gaps %v", size, sum.Counts, told, l.Gaps(intervalsAll*time.Second))
		}
		if size == 100_000 && batches != 1 {
			t.Errorf("%d batches for what fits into one", batches)
		}
	}
}
