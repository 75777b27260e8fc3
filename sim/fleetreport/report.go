package fleetreport

import (
	"fmt"
	"math"
	"time"

	"github.com/muster/muster/sim/record"
	"github.com/muster/muster/sim/selfwatch"
)

// A Report is a run, ready to be drawn.
type Report struct {
	Run *record.Run
	// Findings say where the generator was the bottleneck.
	Findings []selfwatch.Finding
	series   series
}

// Read reads a run's folder. Others may hear of each sample, too.
func Read(dir string, others ...func(*record.Sample)) (*Report, error) {
	r := &Report{}
	if run, err := record.ReadRun(dir); err == nil {
		r.series.axis.Every = run.Every
	}
	run, err := record.Read(dir, func(s *record.Sample) error {
		r.series.add(s)
		for _, hear := range others {
			hear(s)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("fleetreport: %w", err)
	}
	r.Run = run
	r.series.judge.Hosts = run.Hosts
	r.Findings = r.series.judge.Findings()
	return r, nil
}

// length is how long the run took.
func (r *Report) length() (end time.Duration) {
	for _, p := range r.Run.Phases {
		end = max(end, p.End)
	}
	return max(end, time.Duration(r.series.last+1)*r.series.axis.Every)
}

// charts makes the curves over time.
func (r *Report) charts(p points) []*chart {
	rate := func(name, class string, c record.Counter) line { return p.rate(name, class, c) }
	list := []*chart{
		r.devices(p),
		{
			ID: "connections", Title: "Connections", Unit: perSecond, Sub: "sessions made by a full handshake and with an old session, and what ended",
			Lines: []line{rate("handshakes", "c1", record.Handshakes), rate("resumes", "c2", record.Resumes), rate("ended", "bad", record.Offline)},
		},
		{ID: "errors", Title: "Why connections and attempts ended", Sub: "by reason", Unit: perSecond, Stack: true, Lines: p.errors()},
		{
			ID: "connect-time", Title: "Time to connect", Unit: seconds, Log: true, Sub: "from the beginning of an attempt until the device was online",
			Lines: p.quantiles(record.ConnectTime), Marks: r.marks(record.ConnectTime),
		},
		{
			ID: "publishes", Title: "Events", Unit: perSecond, Sub: "due by the scenario (with arrivals of devices), begun, and acknowledged by the cloud",
			Lines: []line{
				rate("due", "soft", record.Arrivals), rate("published", "c1", record.Publishes), rate("acknowledged", "c2", record.Published),
				rate("failed", "bad", record.PublishFailed), rate("refused by the device", "c4", record.PublishRefused),
			},
		},
		{
			ID: "publish-time", Title: "Time of an event", Unit: seconds, Log: true, Sub: "from when it was due until its acknowledgement, waiting included",
			Lines: p.quantiles(record.PublishTime), Marks: r.marks(record.PublishTime),
		},
	}
	for _, t := range []struct {
		timing         record.Timing
		id, title, sub string
	}{
		{record.DeliveryTime, "delivery-time", "Time of a delivery", "from an event's publication until somebody else has it"},
		{record.CallTime, "call-time", "Time of a call over the API", "of a function or a variable"},
		{record.UpdateTime, "update-time", "Time of an update", "from its start until the device runs it"},
	} {
		if r.series.measured(t.timing) {
			list = append(list, &chart{
				ID: t.id, Title: t.title, Unit: seconds, Log: true, Sub: t.sub,
				Lines: p.quantiles(t.timing), Marks: r.marks(t.timing),
			})
		}
	}
	list = append(list, &chart{
		ID: "bytes", Title: "Bytes on the wire", Unit: bytesRate, Sub: "with IP, UDP and TCP headers",
		Lines: []line{
			p.curve("from devices", "up", func(s *slot) float64 { return s.rate(s.up) }),
			p.curve("to devices", "down", func(s *slot) float64 { return s.rate(s.down) }),
		},
	}, &chart{
		ID: "traffic", Title: "What else happened", Sub: "in the fleet", Unit: perSecond,
		Lines: []line{
			rate("keep-alives", "soft", record.Pings), rate("events to devices", "c2", record.EventsReceived), rate("calls over the API", "c1", record.Calls),
			rate("calls failed", "bad", record.CallsFailed), rate("updates applied", "c3", record.UpdatesApplied), rate("updates failed", "c4", record.UpdatesFailed),
		},
	})
	return r.finish(list, p)
}

// finish leaves out lines and charts without any value, and adds what all have.
func (r *Report) finish(list []*chart, p points) (kept []*chart) {
	phases, strained, x := r.phases(), p.strained(), p.times()
	for _, c := range list {
		var lines []line
		for _, l := range c.Lines {
			if one := (&chart{Lines: []line{l}}); !one.Empty() {
				lines = append(lines, l)
			}
		}
		if c.Lines = lines; len(lines) == 0 {
			continue
		}
		c.X, c.Phases, c.Strained = x, phases, strained
		c.prepare(r.length())
		kept = append(kept, c)
	}
	return kept
}

func (r *Report) phases() (list []span) {
	for _, p := range r.Run.Phases {
		title := p.Name
		if p.Doing != "" {
			title += ": " + p.Doing
		}
		list = append(list, span{From: p.Start.Seconds(), To: p.End.Seconds(), Name: p.Name, Title: title})
	}
	return list
}

// devices is the chart of states. What is in no other state boots, or is between two
// attempts.
func (r *Report) devices(p points) *chart {
	lines := []line{
		p.level("online", "good", record.Online), p.level("updating", "c3", record.Updating), p.level("asleep", "c2", record.Sleeping),
		p.level("connecting", "c1", record.Connecting), p.level("waiting for their turn", "warn", record.Queued), p.level("switched off", "soft", record.Off),
	}
	online, updating := &lines[0], lines[1]
	all := p.level("booting or retrying", "bad", record.Devices)
	for i := range all.Y {
		online.Y[i] -= updating.Y[i] // which are online too
		for _, l := range lines {
			all.Y[i] -= l.Y[i]
		}
		all.Y[i] = max(0, all.Y[i])
	}
	lines = append(lines, all)
	for i := range lines {
		lines[i].High = nil // of a sum of parts, only the parts at one moment add up
	}
	return &chart{ID: "devices", Title: "Devices", Sub: "what each of them is doing", Unit: plain, Stack: true, Lines: lines, Wide: true}
}

// marks are the limits of thresholds on percentiles of a timing.
func (r *Report) marks(name record.Timing) (list []mark) {
	for _, t := range r.Run.Thresholds {
		if t.Unit == "s" && mentions(t.Text, string(name)) && !math.IsNaN(t.Limit) && t.Limit > 0 {
			m := mark{Y: t.Limit, Text: t.Text}
			for _, p := range r.Run.Phases {
				if p.Name == t.Phase {
					m.From, m.To = p.Start.Seconds(), p.End.Seconds()
				}
			}
			list = append(list, m)
		}
	}
	return list
}

// generator makes the charts of the generator itself.
func (r *Report) generator(p points) []*chart {
	self := func(name, class string, get func(*record.Self) float64) line {
		return p.curve(name, class, func(s *slot) float64 {
			if s.self == nil {
				return math.NaN()
			}
			return get(s.self)
		})
	}
	cpu := &chart{
		ID: "cpu", Title: "Processor", Unit: cores, Sub: "cores in use",
		Lines: []line{
			self("this machine", "soft", func(s *record.Self) float64 { return s.MachineCPU }),
			self("the generator", "c1", func(s *record.Self) float64 { return s.CPU }),
			self("collecting garbage", "c3", func(s *record.Self) float64 { return s.GCCPU * s.CPU }),
		},
	}
	most := 0
	for _, s := range r.series.slots {
		if s.self != nil {
			most = max(most, s.self.Cores)
		}
	}
	if most > 0 {
		cpu.Marks = []mark{{Y: float64(most), Text: fmt.Sprintf("%d cores", most)}}
	}
	return r.finish([]*chart{
		cpu,
		{
			ID: "lag", Title: "Lateness", Unit: seconds, Log: true, Sub: "what the generator itself adds",
			Lines: []line{
				self("latest arrival", "bad", func(s *record.Self) float64 { return s.Lag.Seconds() }),
				self("wait for a core, p99", "c1", func(s *record.Self) float64 { return s.SchedDelay.Seconds() }),
				self("longest pause of the garbage collector", "c3", func(s *record.Self) float64 { return s.GCPause.Seconds() }),
			},
			Marks: []mark{{Y: selfwatch.LagMax.Seconds(), Text: "late"}, {Y: selfwatch.WaitMax.Seconds(), Text: "waits long"}},
		},
		{
			ID: "memory", Title: "Memory", Sub: "of the generator", Unit: memoryUnit,
			Lines: []line{
				self("resident", "c1", func(s *record.Self) float64 { return float64(s.Resident) }),
				self("live objects", "c2", func(s *record.Self) float64 { return float64(s.Heap) }),
			},
		},
		{
			ID: "drops", Title: "Datagrams that this machine dropped", Sub: "because a receive buffer was full", Unit: perSecond,
			Lines: []line{self("dropped", "bad", func(s *record.Self) float64 { return float64(s.SocketDrops) / p.s.axis.Every.Seconds() })},
		},
	}, p)
}

// The curve of percentiles has a point for each of these steps of log10(1/(1-q)).
const rankStep = 0.05

// ranks draws all percentiles of each timing.
func (r *Report) ranks() *chart {
	c := &chart{
		ID: "percentiles", Title: "All percentiles", Unit: seconds, Log: true, Ranks: true, Wide: true,
		Sub: "of the whole run; where the two curves of events part, events waited for their turn behind a slow cloud",
	}
	sum := r.Run.Sum("", "")
	for i, t := range []struct {
		timing record.Timing
		name   string
	}{
		{record.HandshakeTime, "connect, full handshake"},
		{record.ResumeTime, "connect, old session"},
		{record.PublishTime, "event, from when due"},
		{record.PublishService, "event, from when sent"},
		{record.DeliveryTime, "delivery"},
		{record.CallTime, "call over the API"},
	} {
		h := sum.Times[t.timing]
		if h.Count() == 0 {
			continue
		}
		l := line{Name: t.name, Class: []string{"c1", "c2", "c3", "c4", "c5", "soft"}[i]}
		deepest := math.Log10(float64(h.Count()))
		for x := 0.0; x <= 5; x += rankStep {
			y := math.NaN()
			if x <= deepest+rankStep {
				y = h.Quantile(1 - math.Pow(10, -x)).Seconds()
			}
			l.Y = append(l.Y, y)
		}
		c.Lines = append(c.Lines, l)
	}
	for x := 0.0; x <= 5; x += rankStep {
		c.X = append(c.X, x)
	}
	c.prepare(0)
	return c
}
