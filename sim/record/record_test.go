package record

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Histograms of parts, written and read, merge to exactly that of the whole.
func TestMergeIsExact(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var whole, merged Histogram
	for range 5 {
		var part Histogram
		for range 1000 {
			d := time.Duration(r.ExpFloat64() * float64(80*time.Millisecond))
			part.Add(d)
			whole.Add(d)
		}
		b, err := json.Marshal(&part)
		if err != nil {
			t.Fatal(err)
		}
		var read Histogram
		if err := json.Unmarshal(b, &read); err != nil {
			t.Fatal(err)
		}
		merged.Merge(&read)
	}
	if merged.Count() != 5000 || !merged.h.Equals(whole.h) {
		t.Fatalf("merged %d of %d durations, and not the same", merged.Count(), whole.Count())
	}
	for _, q := range []float64{0, 0.5, 0.99, 0.999, 1} {
		if a, b := merged.Quantile(q), whole.Quantile(q); a != b {
			t.Errorf("quantile %v: %v and %v", q, a, b)
		}
	}
}

func TestHistogramBounds(t *testing.T) {
	var h Histogram
	if h.Count() != 0 || h.Quantile(0.5) != 0 || h.Max() != 0 || h.Mean() != 0 || h.Over(0) != 0 {
		t.Error("an empty histogram has durations")
	}
	for _, d := range []time.Duration{-1, 0, 5 * time.Millisecond, 3 * time.Hour} {
		h.Add(d)
	}
	if h.Min() != time.Microsecond || h.Max() < 59*time.Minute || h.Over(time.Second) != 0.25 {
		t.Errorf("min %v, max %v, over a second %v", h.Min(), h.Max(), h.Over(time.Second))
	}
	var empty Histogram
	b, err := json.Marshal(map[string]*Histogram{"a": &empty})
	if err != nil || string(b) != `{"a":null}` {
		t.Errorf("%s, %v", b, err)
	}
	for _, bad := range []string{`"%%"`, `"AAAA"`, `17`} {
		if err := json.Unmarshal([]byte(bad), &h); err == nil {
			t.Errorf("%s: read", bad)
		}
	}
}

func TestFolder(t *testing.T) {
	dir := t.TempDir()
	w, err := Create(dir)
	if err != nil {
		t.Fatal(err)
	}
	run := &Run{Name: "storm", Phases: []Phase{{Name: "ramp"}}}
	for i := range 3 {
		s := &Sample{At: time.Duration(i+1) * time.Second, Every: time.Second, Phase: "ramp", Group: "borons"}
		s.Count(Published, 10)
		s.Error("ping timeout", 1)
		s.Time(PublishTime).Add(20 * time.Millisecond)
		s.Move(ActPublish, Traffic{Up: 100, UpPackets: 1})
		run.Cell("ramp", "borons").Add(&s.Tally)
		if err := w.Add(s); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(run); err != nil {
		t.Fatal(err)
	}
	got, samples, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	sum := got.Sum("ramp", "")
	if len(samples) != 3 || sum.Counts[Published] != 30 || sum.Errors["ping timeout"] != 3 ||
		sum.Times[PublishTime].Count() != 3 || sum.Traffic() != (Traffic{Up: 300, UpPackets: 3}) {
		t.Errorf("%d samples, %+v", len(samples), sum)
	}
	if _, _, err := Load(t.TempDir()); err == nil || !strings.Contains(err.Error(), "no folder of a run") {
		t.Errorf("an empty folder: %v", err)
	}
}

// Every name that is shown has words for people.
func TestHelp(t *testing.T) {
	for name, text := range Help {
		if name == "" || text == "" || strings.Contains(text, "_") {
			t.Errorf("%q: %q", name, text)
		}
	}
}

// A run that was killed in the middle of a line is read from its samples.
func TestKilledRun(t *testing.T) {
	dir := t.TempDir()
	w, err := Create(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i, phase := range []string{"ramp", "hold"} {
		s := &Sample{At: time.Duration(i+1) * time.Second, Every: time.Second, Phase: phase, Group: "borons", Levels: map[Level]int64{Devices: 5}}
		s.Count(Connected, 2)
		if err := w.Add(s); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.file.WriteString(`{"at": 3000, "ev`); err != nil {
		t.Fatal(err)
	}
	r, samples, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	sum := r.Sum("", "borons")
	if len(samples) != 2 || !r.Interrupted || len(r.Phases) != 2 || sum.Counts[Connected] != 4 || r.Groups[0].Devices != 5 {
		t.Errorf("%d samples, %+v", len(samples), r)
	}
	if err := w.Close(&Run{}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Load(dir); err == nil || !strings.Contains(err.Error(), "line 3") {
		t.Errorf("a broken line of a run that ended: %v", err)
	}
}

// What Each tells is what Quantile and Count tell.
func TestEach(t *testing.T) {
	var h Histogram
	for i := range 1000 {
		h.Add(time.Duration(i) * 100 * time.Microsecond)
		h.Add(time.Duration(i*i) * 3 * time.Millisecond)
	}
	bars := h.h.Distribution()
	bars = slices.DeleteFunc(bars, func(b hdrhistogram.Bar) bool { return b.Count == 0 })
	h.Each(func(d time.Duration, count int64) {
		if b := bars[0]; d.Microseconds() != b.To || count != b.Count {
			t.Fatalf("%d times %v, want %d times %d µs", count, d, b.Count, b.To)
		}
		bars = bars[1:]
	})
	var n int64
	var last time.Duration
	h.Each(func(d time.Duration, count int64) {
		if d <= last {
			t.Fatalf("%v after %v", d, last)
		}
		n, last = n+count, d
	})
	if n != h.Count() || last != h.Max() {
		t.Errorf("%d of %d, longest %v of %v", n, h.Count(), last, h.Max())
	}
}

// A Sparse has the percentiles of the histograms in it.
func TestSparse(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var whole Histogram
	sparse, other := make(Sparse), make(Sparse)
	for i := range 4 {
		var part Histogram
		for range 700 {
			part.Add(time.Duration(r.ExpFloat64() * float64(30*time.Millisecond)))
		}
		whole.Merge(&part)
		if i%2 == 0 {
			sparse.Add(&part)
		} else {
			other.Add(&part)
		}
	}
	sparse.Merge(other)
	shares := []float64{0, 0.25, 0.5, 0.99, 0.999, 1}
	for i, got := range sparse.Quantiles(shares...) {
		if want := whole.Quantile(shares[i]); got != want && shares[i] > 0 {
			t.Errorf("quantile %v: got %v, want %v", shares[i], got, want)
		}
	}
	if sparse.Count() != 2800 || make(Sparse).Quantiles(0.5)[0] != 0 {
		t.Errorf("%d durations", sparse.Count())
	}
}

// Intervals that end late, one that takes the time of three, one that joins in the
// middle and what is left at the end have their places.
func TestAxis(t *testing.T) {
	a := NewAxis(0, 1036*time.Millisecond)
	if a.Every != time.Second || NewAxis(5*time.Second, time.Second).Every != 5*time.Second || NewAxis(0, 30*time.Millisecond).Every != 30*time.Millisecond {
		t.Errorf("an axis of %v", a.Every)
	}
	for _, c := range []struct {
		at, every int // milliseconds
		first, n  int64
	}{
		{1001, 1001, 0, 1}, {2038, 1037, 1, 1}, {3000, 962, 2, 1}, {4016, 1016, 3, 1}, {7080, 3064, 4, 3}, {8000, 920, 7, 1}, {12000, 300, 11, 1}, {70005, 5, 70, 1},
	} {
		s := &Sample{At: time.Duration(c.at) * time.Millisecond, Every: time.Duration(c.every) * time.Millisecond}
		if first, n := a.Place(s); first != c.first || n != c.n {
			t.Errorf("%d ms up to %d ms: got %d and %d, want %d and %d", c.every, c.at, first, n, c.first, c.n)
		}
	}
	// Intervals that are all late, by whatever, leave none out.
	next, last := int64(0), time.Duration(0)
	for i := range 200 {
		at := last + 700*time.Millisecond + time.Duration(i*i%17)*50*time.Millisecond
		first, n := a.Place(&Sample{At: at, Every: at - last})
		if first > next {
			t.Fatalf("the one up to %v is at %d, after %d", at, first, next)
		}
		next, last = max(next, first+n), at
	}
}
