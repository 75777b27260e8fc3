package report

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/muster/muster/harness/timeline"
)

// FormatVersion is the version of the JSON form of a Run. It grows when a field
// changes its meaning or goes; new fields do not change it.
const FormatVersion = 1

// A Run is the whole result of one call of the harness.
type Run struct {
	Format      int           `json:"format"`  // FormatVersion
	Tool        string        `json:"tool"`    // "muster conform"
	Version     string        `json:"version"` // of Muster
	Seed        uint64        `json:"seed"`
	Started     time.Time     `json:"started"`
	Duration    time.Duration `json:"duration_ns"`
	Cloud       string        `json:"cloud"`  // the cloud in the run, in words
	Device      string        `json:"device"` // the devices in the run, in words
	Cohorts     []Cohort      `json:"cohorts"`
	Results     []Result      `json:"results"`
	Ledger      []LedgerRow   `json:"ledger"`
	Repeat      string        `json:"repeat"` // the command that repeats the run
	Interrupted bool          `json:"interrupted,omitempty"`

	// Requirements are those that the results cite, for the reader's eye.
	Requirements []Requirement `json:"requirements,omitempty"`
	// Capabilities are what the targets say they can do and what a probe found.
	Capabilities []Capability `json:"capabilities,omitempty"`
	// Omissions are checks that were not even begun, with the reason: not
	// selected, of another shard, switched off, without a target.
	Omissions []Omission `json:"omissions,omitempty"`
	// Baseline is what the run was compared with; nil if with nothing.
	Baseline *Baseline `json:"baseline,omitempty"`
	// Flakes is the budget for results that needed more than one attempt; nil
	// if nothing was tried again.
	Flakes *FlakeBudget `json:"flakes,omitempty"`
	// Shard is "2/4" for the second of four parts; empty for all.
	Shard string `json:"shard,omitempty"`
	// Order are the names of the checks in the order in which they ran, if that was
	// drawn from the seed.
	Order []string `json:"order,omitempty"`
	// Notes are what a reader should know of the run, a line each: what could not be
	// read, and why.
	Notes []string `json:"notes,omitempty"`
	// Evidence tells what the bundle beside the report holds; nil if there is
	// none.
	Evidence *Evidence `json:"evidence,omitempty"`
	// Traffic is how many bytes went when, for the timeline.
	Traffic []Traffic `json:"traffic,omitempty"`
	// Timeline is what happened, in the order of its times. It is in a file of
	// its own, not in the JSON form of the run.
	Timeline []timeline.Event `json:"-"`
}

// A Cohort is a group of equal devices: one board at one Device OS version.
type Cohort struct {
	Board     string `json:"board"`
	DeviceOS  string `json:"device_os"`
	Transport string `json:"transport"` // "udp" or "tcp"
	Devices   int    `json:"devices"`
}

// A Requirement is one row of the catalogue, as far as a report shows it.
type Requirement struct {
	ID     string `json:"id"`
	Level  string `json:"level,omitempty"` // MUST, SHOULD, OBSERVED
	Role   string `json:"role,omitempty"`  // cloud, device
	Text   string `json:"text,omitempty"`
	Source string `json:"source,omitempty"`
}

// A Capability is one thing that a target can or cannot do.
type Capability struct {
	Target string `json:"target,omitempty"`
	Name   string `json:"name"` // "udp", "resume", "ota3"
	// Declared and Probed are "yes", "no" or "" for unknown.
	Declared string `json:"declared,omitempty"`
	Probed   string `json:"probed,omitempty"`
	Text     string `json:"text,omitempty"` // how it was found out
}

// Contradicts reports whether the probe found something else than the target
// declares.
func (c *Capability) Contradicts() bool {
	return c.Declared != "" && c.Probed != "" && c.Declared != c.Probed
}

// An Omission is a check, or a group of them, that was not run on purpose.
type Omission struct {
	What   string `json:"what"` // a check, a suite, or a pattern
	Reason string `json:"reason"`
	Checks int    `json:"checks,omitempty"` // how many it stands for
}

// A Baseline is a list of expected deviations that a run was compared with.
type Baseline struct {
	Name        string       `json:"name"` // the file
	Differences []Difference `json:"differences,omitempty"`
}

// A Difference is a result that is not what the baseline expects.
type Difference struct {
	Check     string  `json:"check"` // "resume/bytes"
	DeviceOS  string  `json:"device_os,omitempty"`
	Transport string  `json:"transport,omitempty"`
	Expected  Verdict `json:"expected"`
	Actual    Verdict `json:"actual"`
	Text      string  `json:"text,omitempty"` // "new failure", "fixed", "the deviation expired"
}

// A Deviation is a result that is not as required and is known: somebody answers
// for it until a day.
type Deviation struct {
	Owner   string `json:"owner"`
	Reason  string `json:"reason"`
	Expires string `json:"expires,omitempty"` // 2026-12-31
}

// A FlakeBudget is how many results may need more than one attempt.
type FlakeBudget struct {
	Allowed int `json:"allowed"`
	Used    int `json:"used"`
}

// Evidence is what the bundle of a run holds, and what it does not.
type Evidence struct {
	Path    string `json:"path"` // of the folder, relative to the report
	Packets int    `json:"packets"`
	Devices int    `json:"devices"` // whose packets are in it
	// LeftOut is why some of the run is not in it, a line each.
	LeftOut []string `json:"left_out,omitempty"`
	// Secrets is true if the bundle holds the secrets of sessions.
	Secrets bool `json:"secrets"`
}

// A Result is one check on one generation of devices.
type Result struct {
	Suite        string        `json:"suite"`
	Check        string        `json:"check"`            // stable within the suite
	Target       string        `json:"target,omitempty"` // its name, where a run has several
	DeviceOS     string        `json:"device_os"`
	Transport    string        `json:"transport"`
	Requirements []string      `json:"requirements"`
	Verdict      Verdict       `json:"verdict"`
	Reason       string        `json:"reason,omitempty"` // why it did not run or is inconclusive
	Devices      int           `json:"devices"`          // how many took part
	Findings     []Finding     `json:"findings,omitempty"`
	Measurements []Measurement `json:"measurements,omitempty"`
	// Began is when the check began on this generation, since the run began.
	Began    time.Duration `json:"began_ns,omitempty"`
	Duration time.Duration `json:"duration_ns"`
	Repeat   string        `json:"repeat,omitempty"` // the command that repeats this one
	Text     string        `json:"text,omitempty"`   // what the check requires, in one sentence
	// Attempts are all tries, the last of which is the result, if there was more
	// than one.
	Attempts []Attempt `json:"attempts,omitempty"`
	// Deviation, if not nil, is the entry of the baseline that expects this.
	Deviation *Deviation `json:"deviation,omitempty"`
}

// An Attempt is one try of a check.
type Attempt struct {
	Verdict  Verdict       `json:"verdict"`
	Reason   string        `json:"reason,omitempty"`
	Findings []Finding     `json:"findings,omitempty"`
	Duration time.Duration `json:"duration_ns"`
}

// Name is the name of the check, such as "resume/bytes".
func (r *Result) Name() string { return r.Suite + "/" + r.Check }

// A Finding is one thing that a check saw and that was not as required, or
// that is worth a remark.
type Finding struct {
	Verdict     Verdict  `json:"verdict"`
	Requirement string   `json:"requirement,omitempty"`
	Device      string   `json:"device,omitempty"` // 24 hex digits
	Text        string   `json:"text"`
	Expected    string   `json:"expected,omitempty"`
	Actual      string   `json:"actual,omitempty"`
	Packets     []string `json:"packets,omitempty"` // decoded, in order
}

// A Measurement is a number with a limit, such as the bytes of a resume.
type Measurement struct {
	Requirement string `json:"requirement,omitempty"`
	Name        string `json:"name"`
	Unit        string `json:"unit"`
	Min         int64  `json:"min"`
	Median      int64  `json:"median"`
	Max         int64  `json:"max"`
	Limit       int64  `json:"limit,omitempty"` // 0: none
	Exact       bool   `json:"exact,omitempty"` // the limit is the required value
	Count       int    `json:"count"`
	// Samples show how the value comes about: those with the least, the median
	// and the most, as far as the check told its packets.
	Samples []Sample `json:"samples,omitempty"`
}

// Over reports whether a measured value is out of bounds.
func (m *Measurement) Over() bool {
	return m.Limit > 0 && (m.Max > m.Limit || m.Exact && m.Min != m.Limit)
}

// Bound returns what is required, such as "at most 200 B", "" for nothing.
func (m *Measurement) Bound() string {
	switch {
	case m.Exact:
		return fmt.Sprintf("exactly %d %s", m.Limit, m.Unit)
	case m.Limit > 0:
		return fmt.Sprintf("at most %d %s", m.Limit, m.Unit)
	}
	return ""
}

// Range returns what was measured, such as "142 B" or "142 to 160 B".
func (m *Measurement) Range() string {
	if m.Min == m.Max {
		return fmt.Sprintf("%d %s", m.Min, m.Unit)
	}
	return fmt.Sprintf("%d to %d %s", m.Min, m.Max, m.Unit)
}

// A Sample is one measured value with the packets that make it up.
type Sample struct {
	Device  string   `json:"device,omitempty"`
	Value   int64    `json:"value"`
	Packets []string `json:"packets,omitempty"` // decoded, in order
}

// A LedgerRow is what one phase of a connection cost on the wire, over all
// devices of one Device OS version and transport.
type LedgerRow struct {
	Phase     string `json:"phase"`
	DeviceOS  string `json:"device_os"`
	Transport string `json:"transport"`
	Devices   int    `json:"devices"`
	Count     int    `json:"count"` // how many times the phase was seen
	Up        Cost   `json:"up"`    // device to cloud, a phase, median
	Down      Cost   `json:"down"`  // cloud to device, a phase, median
	Total     Spread `json:"total"` // both ways, headers included, in bytes
	Budget    int    `json:"budget,omitempty"`
}

// A Cost is the bytes of one direction of one phase.
type Cost struct {
	Packets int `json:"packets"` // datagrams, or writes over TCP
	Payload int `json:"payload"` // bytes of UDP or TCP payload
	Headers int `json:"headers"` // bytes of IPv4 and UDP (28) or IPv4 and TCP (40) headers
}

// Bytes returns payload and headers together.
func (c Cost) Bytes() int { return c.Payload + c.Headers }

// A Spread is the range of one number over many devices.
type Spread struct {
	Min    int `json:"min"`
	Median int `json:"median"`
	Max    int `json:"max"`
}

// Verdict adds up a list of results: the worst one, NotRun for none.
func verdictOf(results []Result) Verdict {
	worst := NotRun
	for _, r := range results {
		worst = Worse(worst, r.Verdict)
	}
	return worst
}

// Verdict is the worst result of the run.
func (r *Run) Verdict() Verdict { return verdictOf(r.Results) }

// Count returns how many results ended in each verdict.
func (r *Run) Count() map[Verdict]int {
	counts := make(map[Verdict]int)
	for _, result := range r.Results {
		counts[result.Verdict]++
	}
	return counts
}

// ExitCode returns the process exit code that the run deserves. A run without
// a single judged result is inconclusive, never clean: a filter that matches
// nothing must not look like success.
//
// With a baseline any difference from it is what counts, and what it expects does
// not.
func (r *Run) ExitCode() int {
	counts := r.Count()
	for i := range r.Results {
		if r.Results[i].Deviation != nil {
			counts[r.Results[i].Verdict]--
			counts[PassWithRemark]++
		}
	}
	switch {
	case r.Interrupted:
		return ExitInterrupted
	case r.Baseline != nil && len(r.Baseline.Differences) > 0:
		return ExitBaseline
	case counts[Fail] > 0:
		return ExitFailures
	case counts[Inconclusive] > 0, counts[NotRun] > 0, counts[Pass]+counts[PassWithRemark] == 0:
		return ExitInconclusive
	default:
		return ExitClean
	}
}

// Suites returns the names of the suites in the order of their first result.
func (r *Run) Suites() []string {
	return distinct(r.Results, func(result Result) string { return result.Suite })
}

// A Generation is one column of the matrix.
type Generation struct{ DeviceOS, Transport string }

// String returns the column's heading, such as "3.1.0 udp".
func (g Generation) String() string {
	if g.Transport == "" {
		return g.DeviceOS
	}
	return g.DeviceOS + " " + g.Transport
}

// Generations returns the columns of the matrix, oldest Device OS first, TCP
// before UDP.
func (r *Run) Generations() []Generation {
	all := distinct(r.Results, func(result Result) Generation {
		return Generation{result.DeviceOS, result.Transport}
	})
	slices.SortFunc(all, func(a, b Generation) int {
		return cmp.Or(compareVersions(a.DeviceOS, b.DeviceOS), cmp.Compare(a.Transport, b.Transport))
	})
	return all
}

// Cell returns the results of one suite on one generation.
func (r *Run) Cell(suite string, g Generation) []Result {
	var cell []Result
	for _, result := range r.Results {
		if result.Suite == suite && result.DeviceOS == g.DeviceOS && result.Transport == g.Transport {
			cell = append(cell, result)
		}
	}
	return cell
}

// Phases returns the ledger's phases in the order of their first row.
func (r *Run) Phases() []string {
	return distinct(r.Ledger, func(row LedgerRow) string { return row.Phase })
}

// distinct returns the keys of items in order of first appearance.
func distinct[T any, K comparable](items []T, key func(T) K) []K {
	var keys []K
	seen := make(map[K]bool)
	for _, item := range items {
		if k := key(item); !seen[k] {
			seen[k] = true
			keys = append(keys, k)
		}
	}
	return keys
}

// compareVersions orders "0.5.3" before "1.4.4" before "10.0.0". Anything that
// is not a number sorts as text behind the numbers.
func compareVersions(a, b string) int {
	as, bs := versionParts(a), versionParts(b)
	if c := slices.Compare(as, bs); c != 0 {
		return c
	}
	return cmp.Compare(a, b)
}

func versionParts(s string) []int {
	var parts []int
	n, digits := 0, false
	for _, c := range s {
		switch {
		case c >= '0' && c <= '9' && n < 1<<20:
			n, digits = n*10+int(c-'0'), true
		case c == '.' && digits:
			parts, n, digits = append(parts, n), 0, false
		default:
			if len(parts) == 0 && !digits {
				return []int{1 << 30}
			}
		}
	}
	return append(parts, n)
}
