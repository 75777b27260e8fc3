package view

import (
	"fmt"
	"math"
	"strings"
	"time"

	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/muster/muster/sim/record"
	"github.com/muster/muster/sim/selfwatch"
	"github.com/muster/muster/sim/show"
)

// A style is one of the terminal's own colours, so that they fit its theme.
type style = lipgloss.Style

var (
	plain   = lipgloss.NewStyle()
	strong  = plain.Bold(true)
	dim     = plain.Faint(true)
	good    = plain.Foreground(lipgloss.Color("2"))
	warn    = plain.Foreground(lipgloss.Color("3"))
	bad     = plain.Foreground(lipgloss.Color("1"))
	calm    = plain.Foreground(lipgloss.Color("6"))
	busy    = plain.Foreground(lipgloss.Color("4"))
	special = plain.Foreground(lipgloss.Color("5"))
)

// A block is some lines that stay together.
type block struct {
	lines []string
	// rank decides what goes first when there is no room: the highest.
	rank int
}

// draw fills a screen of some columns and rows.
func (s *state) draw(width, height int, ending bool) string {
	if width < 20 || height < 3 {
		return clip(s.line(), width)
	}
	blocks := []block{
		{s.head(width), 0}, {s.bar(width), 1}, {s.rateTable(width, height < roomy), 2}, {s.timeTable(width), 3}, {s.generator(width), 4},
	}
	if list := s.reasonTable(width); len(list) > 0 {
		blocks = append(blocks, block{list, 5})
	}
	if list := s.noteTable(); len(list) > 0 {
		blocks = append(blocks, block{list, 6})
	}
	foot := "Ctrl-C ends the run and writes its report"
	style := dim
	if ending {
		foot, style = "Ending the run. Ctrl-C again leaves at once, without a report.", warn
	}
	lines := fit(blocks, height-1)
	for i := range lines {
		lines[i] = clip(lines[i], width)
	}
	for len(lines) < height-1 {
		lines = append(lines, "")
	}
	return strings.Join(append(lines, clip(style.Render(foot), width)), "\n")
}

// fit puts blocks below one another with empty lines between while there is room,
// and leaves out what matters least.
func fit(blocks []block, height int) []string {
	size := func(gap int) (n int) {
		for _, b := range blocks {
			n += len(b.lines) + gap
		}
		return n - gap
	}
	for len(blocks) > 1 && size(0) > height {
		worst := 0
		for i, b := range blocks {
			if b.rank > blocks[worst].rank {
				worst = i
			}
		}
		// The lists at the end may be cut before they go.
		if b := &blocks[worst]; b.rank >= 5 && len(b.lines) > 2 {
			b.lines = b.lines[:max(2, len(b.lines)-(size(0)-height))]
			if size(0) <= height {
				break
			}
		}
		blocks = append(blocks[:worst], blocks[worst+1:]...)
	}
	gap := 0
	if size(1) <= height {
		gap = 1
	}
	var lines []string
	for i, b := range blocks {
		if i > 0 && gap == 1 {
			lines = append(lines, "")
		}
		lines = append(lines, b.lines...)
	}
	return lines[:min(len(lines), height)]
}

// clip cuts a line that is too long.
func clip(line string, width int) string { return ansi.Truncate(line, max(0, width), "…") }

// between puts two texts at the edges of a line.
func between(left, right string, width int) string {
	room := width - lipgloss.Width(left) - lipgloss.Width(right)
	if room < 1 {
		return clip(left, width)
	}
	return left + strings.Repeat(" ", room) + right
}

// head names the run and its phase, with a bar of how far each is.
func (s *state) head(width int) []string {
	name, right := "a run of a fleet", ""
	if s.run != nil {
		name = s.run.Name
		right = dim.Render(fmt.Sprintf("%s  seed %d", s.run.Cloud, s.run.Seed))
	}
	p, number, of := s.planned()
	text := strong.Render(p.Name)
	if p.Doing != "" {
		text += dim.Render("  " + p.Doing)
	}
	place := ""
	if of > 0 {
		place = dim.Render(fmt.Sprintf("phase %d of %d", number, of))
	}
	lines := []string{between(strong.Render(name), right, width), between(text, place, width)}
	if end := s.end(); end > 0 {
		clocks := fmt.Sprintf(" %s of %s, the run %s of %s", show.Clock(max(0, s.at-p.Start)), show.Clock(p.End-p.Start), show.Clock(s.at), show.Clock(end))
		if lipgloss.Width(clocks) > width/2 {
			clocks = fmt.Sprintf(" %s of %s", show.Clock(s.at), show.Clock(end))
		}
		lines = append(lines, s.progress(width-lipgloss.Width(clocks), end)+clocks)
	} else {
		lines = append(lines, show.Clock(s.at))
	}
	return lines
}

// progress draws the phases as pieces of a line, the part that is over in full.
func (s *state) progress(width int, end time.Duration) string {
	if width < 4 {
		return ""
	}
	var b strings.Builder
	done := int(math.Round(float64(width) * min(1, float64(s.at)/float64(end))))
	for i := range width {
		here := time.Duration((float64(i) + 0.5) / float64(width) * float64(end))
		before := time.Duration((float64(i) - 0.5) / float64(width) * float64(end))
		r, style := "━", dim
		for _, p := range s.run.Phases {
			if i > 0 && p.Start > before && p.Start <= here {
				r = "╋"
			}
			if here >= p.Start && here < p.End && p.Name == s.phase {
				style = plain
			}
		}
		if i < done {
			style = good
		}
		b.WriteString(style.Render(r))
	}
	return b.String()
}

// bar shows what the devices are doing.
func (s *state) bar(width int) []string {
	sum := s.devices()
	all := sum[record.Devices]
	rest := all
	for _, st := range states {
		rest -= sum[st.level]
	}
	var bar, names strings.Builder
	used, seen := 0, int64(0)
	add := func(n int64, name string, style style, r rune) {
		if n <= 0 || all <= 0 {
			return
		}
		seen += n
		cells := int(math.Round(float64(width)*float64(seen)/float64(all))) - used
		cells = max(0, min(cells, width-used))
		used += cells
		bar.WriteString(style.Render(strings.Repeat(string(r), cells)))
		fmt.Fprintf(&names, "%s %s %s  ", style.Render(string(r)), name, strong.Render(show.Number(n)))
	}
	for _, st := range states {
		add(sum[st.level], st.name, st.style, st.rune)
	}
	add(rest, "booting or retrying", bad, '╳')
	return []string{strong.Render(show.Count(all, "device")), bar.String(), strings.TrimRight(names.String(), " ")}
}

// column widths of the tables.
const nameWidth, numberWidth = 20, 11

func left(text string, width int) string {
	return text + strings.Repeat(" ", max(0, width-lipgloss.Width(text)))
}

func right(text string, width int) string {
	return strings.Repeat(" ", max(0, width-lipgloss.Width(text))) + text
}

// latest is the last of some values, or 0.
func latest(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	return values[len(values)-1]
}

// roomy is how high a screen with all lines is.
const roomy = 34

// rateTable is what happens each second; with few, only what every run has, and
// failures.
func (s *state) rateTable(width int, few bool) []string {
	wide := width >= nameWidth+3*numberWidth
	head := left("each second", nameWidth) + right("now", numberWidth)
	if wide {
		head += right("at most", numberWidth) + right("in all", numberWidth+2)
	}
	lines := []string{dim.Render(head)}
	for _, r := range rates {
		total := uint64(0)
		for _, c := range r.counters {
			total += s.whole.Counts[c]
		}
		if !r.always && (total == 0 || few && !r.bad) {
			continue
		}
		h := s.history.rates[r.counters[0]]
		now := latest(h)
		style := plain
		if r.bad && now > 0 {
			style = bad
		}
		line := left(r.name, nameWidth) + style.Render(right(show.Short(math.Round(now*10)/10), numberWidth))
		if wide {
			line += right(show.Short(math.Round(s.history.peaks[r.counters[0]]*10)/10), numberWidth) + right(show.Number(total), numberWidth+2)
		}
		lines = append(lines, line+spark(h, width-lipgloss.Width(line), style))
	}
	if total := s.whole.Traffic().Total(); total > 0 {
		h := s.history.bytes
		line := left("bytes on the wire", nameWidth) + right(show.Bytes(latest(h)), numberWidth)
		if wide {
			line += right(show.Bytes(s.history.most), numberWidth) + right(show.Bytes(float64(total)), numberWidth+2)
		}
		lines = append(lines, line+spark(h, width-lipgloss.Width(line), plain))
	}
	return lines
}

// timeTable is how long things take, now and since the phase began.
func (s *state) timeTable(width int) []string {
	const w = 9
	full := width >= nameWidth+7*w
	head := left("time", nameWidth) + right("p50", w) + right("p99", w)
	if full {
		head = left("time", nameWidth) + right("now p50", w) + right("p99", w) + right("phase p50", w+2) + right("p99", w) + right("p99.9", w) + right("max", w)
	}
	lines := []string{dim.Render(head)}
	for _, t := range timings {
		h, now := s.inPhase.Times[t.name], s.last.Times[t.name]
		if h.Count() == 0 && now.Count() == 0 {
			continue
		}
		line := left(t.label, nameWidth) + right(latency(now, 0.5), w) + right(latency(now, 0.99), w)
		if full {
			line += right(latency(h, 0.5), w+2) + right(latency(h, 0.99), w) + right(latency(h, 0.999), w) + right(latency(h, 1), w)
		}
		lines = append(lines, line+spark(s.history.times[t.name], width-lipgloss.Width(line), plain))
	}
	if len(lines) == 1 {
		lines = append(lines, dim.Render("nothing was measured yet"))
	}
	return lines
}

func latency(h *record.Histogram, q float64) string {
	if h.Count() == 0 {
		return "–"
	}
	return show.Duration(h.Quantile(q))
}

// generator is how loaded the generator is.
func (s *state) generator(width int) []string {
	if len(s.self) == 0 {
		return []string{dim.Render("generator") + "  nothing is known of it yet"}
	}
	self, worker, strain, why := s.worst()
	style := map[selfwatch.Strain]style{selfwatch.Calm: good, selfwatch.Busy: warn, selfwatch.Bottleneck: bad}[strain]
	text := style.Bold(true).Render(strain.String())
	if why != "" {
		text += "  " + style.Render(why)
	}
	if worker != "" {
		text += dim.Render(fmt.Sprintf("  (%s, the most loaded of %s)", worker, show.Count(len(s.self), "worker")))
	}
	const size = 16
	share := self.CPU / float64(max(1, self.Cores))
	others := max(0, self.MachineCPU-self.CPU) / float64(max(1, self.Cores))
	mine := min(size, int(math.Round(size*share)))
	theirs := max(0, min(size-mine, int(math.Round(size*others))))
	gauge := style.Render(strings.Repeat("█", mine)) + dim.Render(strings.Repeat("▒", theirs)+strings.Repeat("░", size-mine-theirs))
	line := fmt.Sprintf("%s%s %.1f of %d cores, machine %.1f", left("processor", nameWidth), gauge, self.CPU, self.Cores, self.MachineCPU)
	more := fmt.Sprintf("%slag %s · wait for a core %s · memory %s · garbage %s", left("", nameWidth), show.Duration(self.Lag), show.Duration(self.SchedDelay), show.Memory(self.Resident), show.Percent(self.GCCPU))
	if n := s.whole.Counts[record.SocketDrops]; n > 0 {
		more += " · " + bad.Render("dropped "+show.Number(n))
	}
	return []string{left(dim.Render("generator"), nameWidth) + text, clip(line, width), clip(more, width)}
}

// reasonTable is why connections ended.
func (s *state) reasonTable(width int) []string {
	list := s.reasons()
	if len(list) == 0 {
		return nil
	}
	name := max(nameWidth, min(48, width-2*numberWidth-2))
	lines := []string{dim.Render(left("why connections and attempts end", name) + right("a second", numberWidth) + right("in all", numberWidth+2))}
	for _, r := range list {
		style := plain
		if r.now > 0 {
			style = bad
		}
		lines = append(lines, left(clip(r.text, name), name)+style.Render(right(show.Short(math.Round(r.now*10)/10), numberWidth))+right(show.Number(r.total), numberWidth+2))
	}
	return lines
}

// noteTable is what happened once, the latest first.
func (s *state) noteTable() []string {
	lines := []string{dim.Render("to know")}
	for i := len(s.notes) - 1; i >= 0; i-- {
		if s.notes[i].Kind != "phase" { // which stands above
			lines = append(lines, noteLine(s.notes[i]))
		}
	}
	if len(lines) == 1 {
		return nil
	}
	return lines
}

func noteLine(n record.Note) string {
	text := right(show.Clock(n.At), 8) + "  " + n.Text
	if n.Count > 1 {
		text += fmt.Sprintf(" (%s times)", show.Number(n.Count))
	}
	return text
}

// spark draws the latest values as small columns, after a gap, if there is room.
func spark(values []float64, width int, style style) string {
	const gap, most, least = 3, 60, 8
	width = min(width-gap, most)
	if width < least || len(values) == 0 {
		return ""
	}
	values = values[max(0, len(values)-width):]
	top := 0.0
	for _, v := range values {
		top = max(top, v)
	}
	var b strings.Builder
	columns := []rune("▁▂▃▄▅▆▇█")
	for _, v := range values {
		switch {
		case v <= 0 || top <= 0:
			b.WriteByte(' ')
		default:
			b.WriteRune(columns[min(len(columns)-1, int(v/top*float64(len(columns))))])
		}
	}
	return strings.Repeat(" ", gap) + style.Faint(style.GetForeground() == plain.GetForeground()).Render(b.String())
}

// line is all that matters in one line.
func (s *state) line() string {
	sum := s.devices()
	rate := func(c record.Counter) float64 { return math.Round(latest(s.history.rates[c])*10) / 10 }
	parts := []string{
		show.Clock(s.at), s.phase, fmt.Sprintf("online %s of %s", show.Number(sum[record.Online]+sum[record.Updating]), show.Number(sum[record.Devices])),
	}
	if n := sum[record.Connecting] + sum[record.Queued]; n > 0 {
		parts = append(parts, "connecting "+show.Number(n))
	}
	for _, r := range []struct {
		counter record.Counter
		name    string
	}{{record.Handshakes, "handshakes"}, {record.Resumes, "resumes"}, {record.Published, "events"}, {record.PublishFailed, "failed"}, {record.Offline, "ended"}} {
		if v := rate(r.counter); v > 0 {
			parts = append(parts, r.name+" "+show.Rate(v))
		}
	}
	for _, t := range timings[:2] {
		if h := s.last.Times[t.name]; h.Count() > 0 {
			parts = append(parts, fmt.Sprintf("%s p99 %s", t.label, show.Duration(h.Quantile(0.99))))
		}
	}
	if _, _, strain, why := s.worst(); strain > selfwatch.Calm {
		parts = append(parts, fmt.Sprintf("generator %s: %s", strain, why))
	}
	return strings.Join(parts, "  ")
}
