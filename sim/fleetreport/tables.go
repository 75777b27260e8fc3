package fleetreport

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/muster/muster/sim/record"
	"github.com/muster/muster/sim/show"
)

// mentions reports whether an expression has a word.
func mentions(text, word string) bool {
	isWord := func(r rune) bool {
		return r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
	}
	for _, w := range strings.FieldsFunc(text, func(r rune) bool { return !isWord(r) }) {
		if w == word {
			return true
		}
	}
	return false
}

// A tile is a number that a reader looks for first.
type tile struct{ Value, Name, Sub string }

func (r *Report) tiles(p points) (list []tile) {
	sum := r.Run.Sum("", "")
	devices, online := 0, int64(0)
	for _, g := range r.Run.Groups {
		devices += g.Devices
		online += r.Run.Levels[g.Name][record.Online]
	}
	add := func(value, name, sub string) { list = append(list, tile{value, name, sub}) }
	add(show.Number(devices), "devices", show.Number(online)+" online at the end")
	if n := sum.Counts[record.Connected]; n > 0 {
		add(show.Rate(top(p.rate("", "", record.Handshakes))), "handshakes at most", show.Number(sum.Counts[record.Handshakes])+" in all")
		if resumes := sum.Counts[record.Resumes]; resumes > 0 {
			add(show.Rate(top(p.rate("", "", record.Resumes))), "resumes at most", show.Number(resumes)+" in all")
		}
	}
	if n := sum.Counts[record.Published]; n > 0 {
		add(show.Rate(top(p.rate("", "", record.Published))), "events acknowledged at most", fmt.Sprintf("%s in all, %s failed", show.Number(n), show.Number(sum.Counts[record.PublishFailed])))
	}
	for _, t := range []struct {
		timing record.Timing
		name   string
	}{{record.PublishTime, "an event, p99"}, {record.ConnectTime, "to connect, p99"}} {
		if h := sum.Times[t.timing]; h.Count() > 0 {
			add(show.Duration(h.Quantile(0.99)), t.name, fmt.Sprintf("p50 %s, max %s", show.Duration(h.Quantile(0.5)), show.Duration(h.Max())))
		}
	}
	if devices > 0 {
		add(show.Bytes(float64(sum.Traffic().Total())/float64(devices)), "on the wire a device", show.Bytes(float64(sum.Traffic().Total()))+" in all")
	}
	return list
}

// top is the largest value of a line.
func top(l line) float64 {
	best := 0.0
	for i, v := range l.Y {
		if l.High != nil {
			v = l.High[i]
		}
		if !math.IsNaN(v) {
			best = max(best, v)
		}
	}
	return best
}

// A thresholdView is a condition with its bar.
type thresholdView struct {
	record.Threshold
	ValueText, LimitText string
	Bar, Limit           float64 // percent of the track
	Where                string
}

func (r *Report) thresholds() (list []thresholdView) {
	for _, t := range r.Run.Thresholds {
		v := thresholdView{Threshold: t, ValueText: show.InUnit(t.Value, t.Unit), LimitText: show.InUnit(t.Limit, t.Unit)}
		if whole := 1.25 * max(t.Value, t.Limit); whole > 0 {
			v.Bar, v.Limit = 100*max(0, t.Value)/whole, 100*max(0, t.Limit)/whole
		}
		switch {
		case t.Phase != "" && t.Group != "":
			v.Where = t.Group + " in " + t.Phase
		case t.Phase != "" || t.Group != "":
			v.Where = "in " + t.Phase + t.Group
		default:
			v.Where = "whole run"
		}
		list = append(list, v)
	}
	return list
}

// A row is what a phase, or a group in it, came to.
type row struct {
	Name, Doing, Length            string
	Handshakes, Resumes, Ended     string
	Connect                        string // p50 / p99
	Published, PublishRate, Failed string
	P50, P99, P999, Max, PerDevice string
	Groups                         []row
	Spoilt                         string // why the generator was the bottleneck
}

func (r *Report) rows() (list []row) {
	for _, p := range r.Run.Phases {
		sum := r.Run.Sum(p.Name, "")
		took := p.End - p.Start
		row := newRow(p.Name, &sum, took, r.devicesOf(""))
		row.Doing, row.Length = p.Doing, show.Duration(took)
		for _, f := range r.Findings {
			if f.Phase == p.Name {
				row.Spoilt = f.String()
			}
		}
		if len(r.Run.Groups) > 1 {
			for _, g := range r.Run.Groups {
				sum := r.Run.Sum(p.Name, g.Name)
				row.Groups = append(row.Groups, newRow(g.Name, &sum, took, g.Devices))
			}
		}
		list = append(list, row)
	}
	return list
}

func (r *Report) devicesOf(group string) (n int) {
	for _, g := range r.Run.Groups {
		if group == "" || g.Name == group {
			n += g.Devices
		}
	}
	return n
}

func newRow(name string, t *record.Tally, took time.Duration, devices int) row {
	count := func(c record.Counter) string {
		if t.Counts[c] == 0 {
			return "–"
		}
		return show.Number(t.Counts[c])
	}
	r := row{
		Name: name, Handshakes: count(record.Handshakes), Resumes: count(record.Resumes), Ended: count(record.Offline),
		Published: count(record.Published), Failed: count(record.PublishFailed), Connect: "–", PublishRate: "–", P50: "–", P99: "–", P999: "–", Max: "–", PerDevice: "–",
	}
	if n := t.Counts[record.Published]; n > 0 && took > 0 {
		r.PublishRate = show.Rate(float64(n) / took.Seconds())
	}
	if h := t.Times[record.ConnectTime]; h.Count() > 0 {
		r.Connect = show.Duration(h.Quantile(0.5)) + " · " + show.Duration(h.Quantile(0.99))
	}
	if h := t.Times[record.PublishTime]; h.Count() > 0 {
		r.P50, r.P99, r.P999, r.Max = show.Duration(h.Quantile(0.5)), show.Duration(h.Quantile(0.99)), show.Duration(h.Quantile(0.999)), show.Duration(h.Max())
	}
	if bytes := t.Traffic().Total(); bytes > 0 && devices > 0 {
		r.PerDevice = show.Bytes(float64(bytes) / float64(devices))
	}
	return r
}

// A reason is why connections ended.
type reason struct {
	Text  string
	Count string
	Share float64 // percent of the most frequent
}

func (r *Report) reasons() (list []reason) {
	sum := r.Run.Sum("", "")
	order := byCount(sum.Errors)
	for _, text := range order {
		n := sum.Errors[text]
		list = append(list, reason{text, show.Number(n), 100 * float64(n) / float64(sum.Errors[order[0]])})
	}
	return list
}

// Activities in the order of the bars, with their colours and what one of them is.
var activities = []struct {
	activity record.Activity
	name     string
	class    string
	per      record.Counter // what a device does with these bytes
	one      string
}{
	{record.ActHandshake, "full handshake", "c1", record.Handshakes, "a session made by a full handshake, until online"},
	{record.ActResume, "resume", "c2", record.Resumes, "a session resumed, until online"},
	{record.ActPublish, "events", "c3", record.Published, "an event acknowledged"},
	{record.ActKeepAlive, "keep-alive", "c4", record.Pings, "a keep-alive"},
	{record.ActUpdate, "updates", "c5", record.UpdatesApplied, "an update applied"},
	{record.ActOther, "everything else", "soft", "", ""},
}

// A ledger is bytes a device, by phase and group.
type ledger struct {
	Phase string
	Doing string
	Bars  []ledgerBar
}

type ledgerBar struct {
	Group, Total string
	Parts        []part
}

// A part is a piece of a bar, in percent of the track.
type part struct {
	Class, Title string
	Width        float64
}

func (r *Report) ledgers() (list []ledger) {
	most := 0.0
	perDevice := func(phase, group string) (t record.Tally, devices float64) {
		t = r.Run.Sum(phase, group)
		devices = float64(max(1, r.devicesOf(group)))
		return t, devices
	}
	for _, p := range r.Run.Phases {
		for _, g := range r.Run.Groups {
			t, n := perDevice(p.Name, g.Name)
			most = max(most, float64(t.Traffic().Total())/n)
		}
	}
	for _, p := range r.Run.Phases {
		l := ledger{Phase: p.Name, Doing: p.Doing}
		for _, g := range r.Run.Groups {
			t, n := perDevice(p.Name, g.Name)
			bar := ledgerBar{Group: g.Name, Total: show.Bytes(float64(t.Traffic().Total()) / n)}
			for _, a := range activities {
				bytes := t.Bytes[a.activity]
				if total := bytes.Total(); total > 0 {
					bar.Parts = append(bar.Parts, part{
						Class: a.class, Width: 100 * float64(total) / n / most,
						Title: fmt.Sprintf("%s: %s a device, %s up and %s down", a.name, show.Bytes(float64(total)/n), show.Bytes(float64(bytes.Up)/n), show.Bytes(float64(bytes.Down)/n)),
					})
				}
			}
			l.Bars = append(l.Bars, bar)
		}
		list = append(list, l)
	}
	return list
}

// A cost is what one of something takes on the wire.
type cost struct {
	What, Class            string
	Count, Up, Down, Total string
	UpPackets, DownPackets string
	Of                     string // all bytes of the activity
	Share                  string // of all bytes
}

func (r *Report) costs() (list []cost) {
	sum := r.Run.Sum("", "")
	all := float64(max(1, sum.Traffic().Total()))
	for _, a := range activities {
		bytes := sum.Bytes[a.activity]
		if bytes.Total() == 0 {
			continue
		}
		c := cost{
			What: a.name, Class: a.class, Of: show.Bytes(float64(bytes.Total())), Share: show.Percent(float64(bytes.Total()) / all),
			Count: "–", Up: "–", Down: "–", Total: "–", UpPackets: "–", DownPackets: "–",
		}
		if count := float64(sum.Counts[a.per]); a.per != "" && count > 0 {
			c.What, c.Count = a.one, show.Number(sum.Counts[a.per])
			c.Up, c.Down, c.Total = show.Bytes(float64(bytes.Up)/count), show.Bytes(float64(bytes.Down)/count), show.Bytes(float64(bytes.Total())/count)
			c.UpPackets, c.DownPackets = show.Short(float64(bytes.UpPackets)/count), show.Short(float64(bytes.DownPackets)/count)
		}
		list = append(list, c)
	}
	return list
}
